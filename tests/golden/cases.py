"""The golden cases: which traffic, which budget, and where the reviewed decisions are.

A case is one folder of files: `<case>/budget.yaml`, `<case>/events.jsonl.gz` and `<case>/decisions.jsonl`, which is
stdout of `rollback-budget replay`, byte for byte as it was when somebody reviewed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One golden case.

    Attributes:
        traffic: The case whose events it shares, or its own name.
        exit_codes: Of the command with `--fail-on tier-a` and `--fail-on tier-b`.
    """

    name: str
    traffic: str
    exit_codes: tuple[int, int]

    @property
    def budget(self) -> Path:
        """The budget file."""
        return FOLDER / self.name / "budget.yaml"

    @property
    def events(self) -> Path:
        """The recorded events."""
        return FOLDER / self.traffic / "events.jsonl.gz"

    @property
    def decisions(self) -> Path:
        """The reviewed decisions."""
        return FOLDER / self.name / "decisions.jsonl"

    def arguments(self, events: Path | None = None) -> list[str]:
        """Return the command's arguments, for these events or its own."""
        return ["replay", "--budget", str(self.budget), "--events", str(events or self.events)]


CASES = (
    Case("task_success", "task_success", (3, 3)),  # tier A: rolled back at once
    Case("task_success_observed", "task_success", (3, 3)),  # the same traffic, and nothing is asked for
    Case("latency_silence", "latency_silence", (3, 3)),  # tier B: paged, nobody decides, rolled back
    Case("latency_hold", "latency_silence", (0, 3)),  # the same traffic; silence holds
    Case("incident_clean", "incident_clean", (3, 3)),  # the baseline has none: the first one rolls back
    Case(
        "incident_normal", "incident_normal", (3, 3)
    ),  # the baseline has them too: a page, then beyond chance
    Case("healthy", "healthy", (0, 0)),
    Case(
        "masked_tenant", "masked_tenant", (3, 3)
    ),  # one tenant is harmed, everybody's average is not: a page
    Case("inconclusive", "inconclusive", (0, 0)),  # too little traffic: says what it could have shown
    Case("hostile", "hostile", (3, 3)),  # `task_success` among lines that do not fit
)
