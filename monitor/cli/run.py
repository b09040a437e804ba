"""The verb `run`: a worker against Kafka and Redis."""

from __future__ import annotations

from typing import Final

RUN_EXAMPLE: Final = "ROLLBACK_BUDGET_BUDGETS=budgets/ rollback-budget run"


def run() -> None:
    """Run a worker: reads trace events, evaluates budgets, rolls back and pages. Settings by environment or file."""
    from monitor.app import run_worker
    from monitor.config.settings_source import load_settings

    run_worker(load_settings())
