"""Spans, metrics and logs of the monitor itself, through OpenTelemetry and structlog."""
