"""Runs a case over its seeds and holds what the monitor did against the truth over all rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from benchmarks.real_rows.case import Case
from benchmarks.real_rows.play import Act, Played, Subject, play
from benchmarks.real_rows.rows import TASKS, DataMissing, Rows, committed_rows, task_rows
from benchmarks.real_rows.traffic import Arrivals, arrivals_of, recording
from benchmarks.real_rows.truth import Truth, Zone, truth_of, workflow_of, zone_of
from monitor.config.budget_file import load_budget
from monitor.console.demo.pools import load_pools
from monitor.core.budget import Budget, Objective
from monitor.core.cohort import OVERALL, CohortKey, cohort_key

BUDGETS: Final = Path(__file__).parent / "budgets"
WORKFLOW: Final = "workflow"
NOT_ASSESSED: Final = "not_assessed"


class Measured:
    """Every row and every arrival there is.

    Args:
        data: The folder of the rows that may not be redistributed; None = go without them.
    """

    def __init__(self, data: Path | None) -> None:
        self._data = data
        pools = load_pools()
        self.arrivals: Arrivals = arrivals_of(pools)
        self._rows = committed_rows(pools)

    def has(self, source: str) -> bool:
        """Tell whether a source is at hand."""
        return source in self._rows or self._data is not None

    def rows(self, source: str, release: str) -> Rows:
        """Return all rows of a release.

        Raises:
            DataMissing: The source is not at hand.
        """
        if source == TASKS and self._data is not None and source not in self._rows:
            self._rows[source] = task_rows(self._data)
        if source not in self._rows:
            raise DataMissing(f"{source} does not come with this project; name its folder with --data")
        return self._rows[source][release]


@dataclass
class Run:
    """One case, its truth, and what the monitor did in each seed."""

    case: Case
    baseline: Rows
    candidate: Rows
    played: Sequence[Played]

    @cached_property
    def budget(self) -> Budget:
        return budget_of(self.case)

    def data(self) -> dict[str, Any]:
        """Return everything that a report says, JSON-ready."""
        case = self.case
        return {
            "name": case.name,
            "title": case.title,
            "source": case.source,
            "baseline": case.baseline,
            "candidate": case.candidate,
            "budget": case.budget,
            "minutes": case.minutes,
            "rollback": case.rollback,
            "often": list(case.often),
            "spell": None if case.spell is None else [case.spell.start, case.spell.end],
            "seeds": len(self.played),
            "rows": {"baseline": len(self.baseline), "candidate": len(self.candidate)},
            "subjects": [self._subject(objective, view) for objective, view in self._subjects()],
            "other_pages": self._other_pages(),
            "rollback_says": next((one.rollback.says for one in self.played if one.rollback), None),
            "broken_promises": self.broken(),
        }

    def _subjects(self) -> list[tuple[Objective, CohortKey]]:
        """Every objective for everybody; of watched workflows those that are beyond the limit or were acted on."""
        found: list[tuple[Objective, CohortKey]] = []
        for objective in self.budget.objectives:
            found += [(objective, view) for view in objective.views()]
            if WORKFLOW in objective.watched_dimensions:
                found += [(objective, view) for view in self._workflows() if self._matters(objective, view)]
        return found

    def _workflows(self) -> list[CohortKey]:
        return [cohort_key({WORKFLOW: name}) for name in sorted({workflow_of(row) for row in self.baseline})]

    def _matters(self, objective: Objective, view: CohortKey) -> bool:
        if zone_of(objective, self._truth(objective, view)) is Zone.BEYOND:
            return True
        return any(act.subject == (objective.objective_id, view) for one in self.played for act in acts(one))

    def _truth(self, objective: Objective, view: CohortKey) -> Truth:
        return truth_of(objective, self.baseline, self.candidate, dict(view).get(WORKFLOW))

    def _subject(self, objective: Objective, view: CohortKey) -> dict[str, Any]:
        truth = self._truth(objective, view)
        subject = (objective.objective_id, view)
        verdicts: dict[str, int] = {}
        for one in self.played:
            name = one.assessed[subject].verdict if subject in one.assessed else NOT_ASSESSED
            verdicts[name] = verdicts.get(name, 0) + 1
        first = self.played[0].assessed.get(subject)
        pages = [act for one in self.played if (act := paged(one, subject)) is not None]
        return {
            "objective": objective.objective_id,
            "metric": objective.indicator.name,
            "workflow": dict(view).get(WORKFLOW),
            "share_of_rows": self._share(view),
            "limit": objective.limit,
            "unit": objective.unit.value,
            "hold_min": objective.hold_min,
            "truth": {"baseline": truth.baseline, "candidate": truth.candidate, "delta": truth.delta},
            "zone": zone_of(objective, truth).value,
            "pooled_delta": self._pooled(objective, view),
            "rolled_back_at": self._minutes(subject, (one.rollback for one in self.played)),
            "paged_at": self._minutes(subject, pages),
            "page_reasons": sorted({act.reason for act in pages}),
            "page_says": next((act.says for act in pages), None),
            "verdicts": verdicts,
            "first_seed": None
            if first is None
            else {
                "verdict": first.verdict,
                **first.observed,
                "samples": list(first.samples),
                "mde": first.mde,
            },
        }

    def _pooled(self, objective: Objective, view: CohortKey) -> float | None:
        """Return the delta that requests of both mixes, thrown together, would show; None where the mix is one."""
        if not self.case.often or view:
            return None
        return truth_of(objective, self.baseline, served(self.case, self.candidate)).delta

    def _other_pages(self) -> list[dict[str, Any]]:
        """Return the pages that say something else than that a limit was broken, and in how many seeds they came."""
        found: dict[tuple[Subject, str], list[Act]] = {}
        for one in self.played:
            for act in one.pages:
                if not act.is_breach:
                    found.setdefault((act.subject, act.reason), []).append(act)
        return [
            {
                "objective": objective,
                "workflow": dict(view).get(WORKFLOW),
                "reason": reason,
                "seeds": len(acts_),
                "says": acts_[0].says,
            }
            for ((objective, view), reason), acts_ in sorted(found.items())
        ]

    def _share(self, view: CohortKey) -> float:
        if not view:
            return 1.0
        mine = sum(workflow_of(row) == dict(view)[WORKFLOW] for row in self.candidate)
        return mine / len(self.candidate)

    @staticmethod
    def _minutes(subject: Subject, acts_: Iterable[Act | None]) -> list[float]:
        return sorted(act.minute for act in acts_ if act is not None and act.subject == subject)

    def broken(self) -> list[str]:
        """Return every promise of the case that a seed did not keep, in words."""
        if self.case.contrast:
            return []
        return [
            f"seed {seed}: {words}" for seed, one in enumerate(self.played, 1) for words in self._broken(one)
        ]

    def _broken(self, one: Played) -> list[str]:
        case, rollback = self.case, one.rollback
        broken: list[str] = []
        if case.rolls_back and (rollback is None or rollback.subject[0] != case.rolls_back):
            what = "nothing was" if rollback is None else f"{rollback.subject[0]} was"
            broken.append(f"{what} rolled back, not {case.rolls_back}")
        if case.names and (rollback is None or case.names not in rollback.says.replace("_", " ")):
            said = "nothing was rolled back" if rollback is None else f"it only says: {rollback.says}"
            broken.append(f"the rollback does not name {case.names}; {said}")
        if case.rollback == "never" and rollback is not None:
            broken.append(f"rolled back at minute {rollback.minute:g}: {rollback.says}")
        for objective, workflow in case.pages:
            if paged(one, (objective, view_of(workflow))) is None and rollback is None:
                broken.append(f"{objective} was not paged" + (f" for {workflow}" if workflow else ""))
        for act in acts(one):
            if act.subject in self._left_alone:
                broken.append(
                    f"{act.subject[0]} acted on at minute {act.minute:g} ({act.reason}): {act.says}"
                )
        return broken + [
            f"{subject[0]} is beyond its limit and was called healthy"
            for subject in self._in_zone(Zone.BEYOND)
            if case.spell is None and one.assessed[subject].verdict == "healthy"
        ]

    @cached_property
    def _left_alone(self) -> frozenset[Subject]:
        """Objectives that nobody may act on, for everybody: what the case says, and those that are harmless.

        Pages about watched workflows are not among them: of these, 1 in 20 may be false.
        """
        harmless = self._in_zone(Zone.WITHIN) if self.case.spell is None else ()
        return frozenset((*harmless, *((name, OVERALL) for name in self.case.never)))

    def _in_zone(self, zone: Zone) -> tuple[Subject, ...]:
        return tuple(
            (objective.objective_id, OVERALL)
            for objective in self.budget.objectives
            if zone_of(objective, self._truth(objective, OVERALL)) is zone
        )


def acts(one: Played) -> tuple[Act, ...]:
    """Return what was done because a limit was broken: pages, and the rollback."""
    pages = tuple(act for act in one.pages if act.is_breach)
    return pages if one.rollback is None else (*pages, one.rollback)


def paged(one: Played, subject: Subject) -> Act | None:
    """Return the first page that says that a limit was broken."""
    return next((act for act in one.pages if act.subject == subject and act.is_breach), None)


def view_of(workflow: str) -> CohortKey:
    """Return the slice of a workflow; everybody for an empty name."""
    return cohort_key({WORKFLOW: workflow}) if workflow else OVERALL


def budget_of(case: Case) -> Budget:
    """Return the case's budget."""
    path = BUDGETS / f"{case.budget}.yaml"
    return load_budget(path.read_text(encoding="utf-8"), path.name)


def served(case: Case, candidate: Rows) -> Rows:
    """Return the rows that the candidate's requests are drawn from."""
    return candidate + 2 * tuple(row for row in candidate if workflow_of(row) in case.often)


def run_case(case: Case, measured: Measured, seeds: int) -> Run:
    """Play a case with the seeds 1 to `seeds`; every case has random numbers of its own."""
    baseline, candidate = (measured.rows(case.source, name) for name in (case.baseline, case.candidate))
    budget = budget_of(case)
    played = [
        play(
            budget,
            recording(
                measured.arrivals,
                baseline,
                served(case, candidate),
                minutes=case.minutes,
                seed=crc32(case.name.encode()) + seed,
                spell=case.spell,
            ),
        )
        for seed in range(1, seeds + 1)
    ]
    return Run(case, baseline, candidate, played)


def broken_promises(cases: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return every broken promise of every case."""
    return [f"{case['name']}: {words}" for case in cases for words in case["broken_promises"]]
