"""Severe incidents under the engine's safety watch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.operating_characteristics.stories import DAY_MIN, Traffic, Whole
from benchmarks.operating_characteristics.tally import NEVER
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Objective, Tier, Unit
from monitor.core.exemplar import Exemplar
from monitor.core.indicator import INCIDENTS, Direction, indicator
from monitor.core.safety import SafetyWatch
from monitor.core.window import tick_ms

OBJECTIVE: Final = Objective(
    objective_id="safety.high_severity_incidents_increase",
    indicator=indicator(INCIDENTS),
    worse=Direction.HIGHER_IS_WORSE,
    limit=0,
    unit=Unit.COUNT,
    hold_min=0,
    tier=Tier.A,
    immediate=True,
)
_BUDGET: Final = Budget("candidate", "baseline", "", DAY_MIN, (OBJECTIVE,))


@dataclass(frozen=True, slots=True)
class IncidentStory:
    """Severe incidents of one day.

    Attributes:
        per_day: Incidents that all the traffic would have in a day, if all of it went to the baseline.
        times: How many times the baseline's rate the candidate has, from `onset` on; 1 is healthy.
        onset: Minute from which on; before it the candidate is healthy.
        clean: The baseline has no incident at all, and the candidate's own begin at the onset.
        past_days: Days before the release that are known, in which the baseline served all the traffic.
    """

    traffic: Traffic
    per_day: float
    times: float = 1.0
    onset: int = 0
    clean: bool = False
    past_days: int = 0


def play(story: IncidentStory, rng: np.random.Generator, releases: int) -> dict[str, Counter[int]]:
    """Return when the safety watch fired, when a rule that acts on any excess would have, and the first incidents."""
    shape = (releases, DAY_MIN)
    n_c = rng.poisson(story.traffic.candidate_per_min, shape)
    n_b = rng.poisson(story.traffic.baseline_per_min, shape)
    chance = story.per_day / (60.0 * story.traffic.per_second * DAY_MIN)
    times = np.where(np.arange(DAY_MIN) < story.onset, 0.0 if story.clean else 1.0, story.times)
    k_c = rng.binomial(n_c, chance * times)
    k_b = rng.binomial(n_b, 0.0 if story.clean else chance)
    seen = round(60 * story.traffic.per_second) * DAY_MIN * story.past_days
    past = rng.binomial(seen, 0.0 if story.clean else chance, releases).tolist()
    fired = Counter(_watched((past[i], seen), k_c[i], n_c[i], k_b[i], n_b[i]) for i in range(releases))
    excess = (k_c.cumsum(axis=1) * n_b.cumsum(axis=1)) > (k_b.cumsum(axis=1) * n_c.cumsum(axis=1))
    return {"guard": fired, "any_excess": _first(excess), "first_incident": _first(k_c > 0)}


def _first(holds: NDArray[np.bool_]) -> Counter[int]:
    """The first ticks at which something holds."""
    return Counter(np.where(holds.any(axis=1), holds.argmax(axis=1) + 1, NEVER).tolist())


def _watched(before: tuple[int, int], k_c: Whole, n_c: Whole, k_b: Whole, n_b: Whole) -> int:
    """The first tick at which the watch asks for a rollback; it is asked when an incident has arrived."""
    watch = SafetyWatch(OBJECTIVE)
    watch.before = before
    for minute, (bad, requests, bad_b, requests_b) in enumerate(
        zip(k_c.tolist(), n_c.tolist(), k_b.tolist(), n_b.tolist(), strict=True)
    ):
        watch.append(minute, _minute(bad, requests, minute), _minute(bad_b, requests_b, minute))
        verdict = watch.judge(_BUDGET, tick_ms(minute + 1), held=False) if bad else None
        if verdict is not None and verdict.is_breach:
            return minute + 1
    return NEVER


def _minute(incidents: int, requests: int, minute: int) -> Aggregate:
    """One minute of one arm."""
    cell = Aggregate()
    cell.requests, cell.incidents = requests, incidents
    for number in range(min(incidents, 5)):
        cell.keep(INCIDENTS, Exemplar(minute, f"{minute}-{number}", ""))
    return cell
