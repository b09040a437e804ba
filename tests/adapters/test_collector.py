"""Processes that take in events by the thousand let the cyclic collector look seldom, and bind nobody else by that."""

from __future__ import annotations

import gc

import pytest

from monitor.adapters.collector import SELDOM, looking_seldom, spare_what_is_here


def test_the_collector_looks_seldom_while_a_block_runs_and_as_before_behind_it() -> None:
    before = gc.get_threshold()
    with looking_seldom():
        assert gc.get_threshold() == SELDOM
        assert gc.isenabled()  # cycles are garbage like any other
    assert gc.get_threshold() == before


def test_a_block_that_fails_leaves_the_collector_as_it_was() -> None:
    before = gc.get_threshold()
    with pytest.raises(RuntimeError), looking_seldom():
        raise RuntimeError
    assert gc.get_threshold() == before


def test_what_is_there_at_a_workers_start_is_never_looked_at_again() -> None:
    before = gc.get_threshold()
    try:
        spare_what_is_here()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == SELDOM
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
