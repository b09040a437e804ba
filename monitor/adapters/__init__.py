"""Adapters: one package per outside system; each port also has a twin in `memory`."""
