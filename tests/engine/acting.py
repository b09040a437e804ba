"""Everything around `Act`, in memory: a request, a page, a ledger that may fail, and a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.adapters.memory.actuator import MemoryActuator, MemoryFlag
from monitor.adapters.memory.pager import MemoryPager
from monitor.core.decision import Type
from monitor.engine.act import Act
from monitor.engine.act_events import follow_up_id
from monitor.engine.errors import ActuatorFailed
from monitor.engine.tell import PagePast

REQUEST_ID = "ab" * 32
SCHEMAS = Path(__file__).parents[2] / "schemas"
APPLIED = follow_up_id(Type.ROLLBACK_APPLIED, REQUEST_ID)
FAILED = follow_up_id(Type.ROLLBACK_FAILED, REQUEST_ID)


def request(**data: object) -> dict[str, Any]:
    """Return a rollback request as the ledger holds it."""
    return {
        "type": "dev.rollbackbudget.rollback.requested.v1",
        "id": REQUEST_ID,
        "data": {
            "release": "model-v42",
            "baseline": "model-v41",
            "budget": "chat",
            "budget_digest": "5e" * 32,
            "arming": 1,
            "objective": "quality.task_success_delta_pct",
            "cohort": {"tenant": "acme"},
            "tier": "A",
            "reason": "breach",
            "summary": "roll back: task success is 12.3 % below the baseline",
            "flag": {"actuator": "memory", "key": "chat-model", "scope": None},
            "baseline_variation": "v41",
            "candidate_variation": "v42",
        }
        | data,
    }


def page(kind: str = "page.opened", **data: object) -> dict[str, Any]:
    """Return an event of the pages topic."""
    return {
        "type": f"dev.rollbackbudget.{kind}.v1",
        "id": f"e-{kind}",
        "data": {"release": "model-v42", "page_id": "p1", "summary": "latency is up"} | data,
    }


@dataclass
class FakeLedger:
    """A ledger that may refuse a write once."""

    records: dict[str, tuple[Type, str, Mapping[str, object]]] = field(default_factory=dict)
    appended: int = 0
    crash_at: int | None = None
    pages: dict[str, PagePast] = field(default_factory=dict)

    async def known(self, decision_id: str) -> bool:
        return decision_id in self.records

    async def record(self, kind: Type, decision_id: str, release: str, data: Mapping[str, object]) -> None:
        self.appended += 1
        if self.appended == self.crash_at:
            raise ConnectionResetError("the worker dies here")
        self.records[decision_id] = (kind, release, data)

    async def event(self, decision_id: str) -> Mapping[str, Any] | None:
        return request() if decision_id == REQUEST_ID else None

    async def page(self, release: str, page_id: str) -> PagePast:
        return self.pages.get(page_id, PagePast())

    def of(self, kind: Type) -> list[Mapping[str, object]]:
        """Return the data of all records of that type."""
        return [data for held, _, data in self.records.values() if held is kind]


@dataclass
class World:
    """Everything around `Act`, in memory, with time that passes only by being waited for."""

    flag: MemoryFlag = field(default_factory=lambda: MemoryFlag(("v41", "v42"), serving="v42"))
    ledger: FakeLedger = field(default_factory=FakeLedger)
    failures: list[ActuatorFailed] = field(default_factory=list)
    pager: MemoryPager = field(default_factory=MemoryPager)
    at_ms: int = 1_795_000_000_000
    waits: list[float] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at_ms += int(seconds * 1000)

    def act(self, **more: Any) -> Act:
        """Return a new `Act`: as after a restart, nothing is remembered but the world."""
        actuators = {"memory": MemoryActuator({"chat-model": self.flag}, self.failures)}
        return Act(
            more.pop("actuators", actuators),
            more.pop("pagers", {"memory": self.pager}),
            self.ledger,
            clock=more.pop("clock", self),
            steady=lambda: self.at_ms / 1000,
            sleep=more.pop("sleep", self.sleep),
            **more,
        )

    def told(self) -> list[tuple[str, str]]:
        """Return state and text of each notice."""
        return [(notice.state, notice.text) for notice in self.pager.delivered.values()]
