"""`breach.started.v1` and `breach.cleared.v1`: an objective is beyond its limit with first evidence, or no longer."""

from __future__ import annotations

from monitor.wire.decision import DecisionData


class BreachStarted(DecisionData):
    """An objective is beyond its limit with first evidence; nothing is asked for yet."""


class BreachCleared(DecisionData):
    """The objective is back within its limit."""
