"""What a drill is made of: its steps, what it needs of the outside, and how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from monitor.core.decision import Decision
from monitor.core.errors import MonitorError
from monitor.core.rehearsal import StandIns
from monitor.engine.ports import Effect, RollbackOrder


class Step(Enum):
    """The steps of a drill, in their order."""

    FLAG = "flag"
    ARM = "arm"
    DECIDE = "decide"
    APPLY = "apply"
    VERIFY = "verify"
    DISARM = "disarm"
    RESTORE = "restore"


class StepFailed(MonitorError):
    """A step did not end as it must; the message says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")


class Served(NamedTuple):
    """One request of the drill's traffic."""

    event_id: str
    release: str
    at_ms: int
    has_incident: bool = False


class DrillFlag(Protocol):
    """A flag system, as a drill needs it beside `Actuator`."""

    async def serves_baseline(self, order: RollbackOrder) -> bool:
        """Read the flag; raises `ActuatorFailed` where that is not possible."""

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """As `Actuator` says."""


class FlagSetBack(DrillFlag, Protocol):
    """A flag system in which a drill can set the flag back."""

    async def keep(self, order: RollbackOrder) -> dict[str, object]:
        """Return the flag as it stands."""

    async def put_back(self, order: RollbackOrder, kept: dict[str, object]) -> None:
        """Set it back; raises `ActuatorFailed` where it is not as the drill had left it."""


class Monitor(Protocol):
    """The running monitor, as people and serving stacks reach it. Every call is bounded, and raises `MonitorError`."""

    async def publish_budget(self, *, is_armed: bool) -> None:
        """Publish the drill's budget, or take it back."""

    async def take_back(self, release: str) -> None:
        """Take back what another drill left behind."""

    async def send(self, requests: Sequence[Served]) -> None:
        """Write trace events, marked as rehearsal."""

    async def heard(self) -> Sequence[Decision]:
        """Return what is on record since the last call; at the first one, everything."""


@dataclass(frozen=True, slots=True)
class Drill:
    """What is rehearsed.

    Attributes:
        order: The flag, as the drill's request will name it.
        set_back: The same flag system where it can set a flag back, else None.
        is_real: It is the flag that users are served by.
        verify_s: How long the proof may take, seconds of real time.
    """

    run: str
    names: StandIns
    order: RollbackOrder
    flag: DrillFlag
    set_back: FlagSetBack | None
    is_real: bool
    verify_s: float


@dataclass(slots=True)
class Rehearsal:
    """How it went; `seconds` of real time by step, among them `total`."""

    seconds: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    failed_at: Step | None = None
    restored: bool = True

    @property
    def succeeded(self) -> bool:
        """Tell whether every step ended as it must."""
        return self.failed_at is None and not self.problems


Told = Callable[[Step, str], None]
"""Told of a step as it begins (an empty text), and how it ended."""
