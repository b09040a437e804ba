"""Pasts of a baseline, and releases that are compared with them: simulated, seeded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from monitor.core.aggregate import Aggregate
from monitor.core.budget import EvidenceMode
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.history import HistoryHour, measures_of, references, usable
from monitor.core.indicator import LABELS
from monitor.core.reference import BaselineChoice, Reference
from monitor.core.rules import rules_for
from monitor.core.watch import Watch
from tests.engine.worlds import BASELINE, budget, cell, objective

SUCCESS = LABELS.index("task_success")
FIRST_H = 480_009  # nine o'clock of a day


@dataclass(frozen=True)
class Service:
    """Traffic and success of a service that has quiet nights, good and bad days, and restless hours.

    Attributes:
        by_day, by_hour, by_minute: Standard deviations of the success rate's moves, each of its own length.
        weekend: How much lower success is on two days of the week.
    """

    days: int
    by_day: float = 0.0
    by_hour: float = 0.0
    by_minute: float = 0.0
    weekend: float = 0.0
    per_min: float = 60.0

    def rate(self, hour: int) -> float:
        """Success expected of an hour."""
        usual = 0.92 + 0.02 * np.sin(2 * np.pi * hour / 24)
        return float(usual - (self.weekend if hour // 24 % 7 in (2, 3) else 0.0))

    def traffic(self, hour: int) -> float:
        """Requests expected of a minute: by day five times as many as at night and more."""
        return float(self.per_min * (1 + 0.8 * np.sin(2 * np.pi * (hour - 8) / 24)))


class Release:
    """One seed's past, and the day that its candidate serves everybody's requests.

    Args:
        view: Of a slice, which the objective names as a critical cohort; everybody by default.
    """

    def __init__(self, service: Service, seed: int, view: CohortKey = OVERALL) -> None:
        self.service = service
        self.view = view
        self._draw = np.random.default_rng(seed)
        self._days: dict[int, float] = {}
        self._hours: dict[int, float] = {}

    @cached_property
    def past(self) -> list[HistoryHour]:
        """The hours of the baseline before the release."""
        first = FIRST_H - 24 * self.service.days
        return [HistoryHour(BASELINE, hour, 60, False, self._hour(hour)) for hour in range(first, FIRST_H)]

    @cached_property
    def reference(self) -> Reference:
        """What is captured of it for one objective, task success."""
        one = budget(objective(evidence=EvidenceMode.DEFAULT))
        return next(references(usable(self.past, FIRST_H), BASELINE, FIRST_H, measures_of(one)))

    def fires_after(
        self, *, harm: float = 0.0, onset_min: int = 0, minutes: int = 1_440, alone_from: int = 0
    ) -> int | None:
        """Return after how many minutes of the release it breaks -2 % for 20 minutes.

        Args:
            harm: The part of successes that is lost from `onset_min` on.
            alone_from: From when on the candidate serves everybody, and no baseline is about; a tenth before.
        """
        critical = (self.view,) if self.view else ()
        one = objective(hold=20, evidence=EvidenceMode.DEFAULT, critical_cohorts=critical)
        first = FIRST_H * 60
        watch = Watch(one, self.view, rules_for(budget(one))[one.objective_id, self.view], first)
        choice = BaselineChoice(replace(self.reference, slices={self.view: self.reference}))
        for at in range(minutes):
            part = 1.0 if at >= alone_from else 0.1
            candidate = self._minute(first + at, part, lost=harm if at >= onset_min else 0.0)
            baseline = Aggregate() if at >= alone_from else self._minute(first + at, 1 - part)
            choice.see(first + at, baseline)
            pair, strata = choice.arms(watch, first + at, (candidate, baseline), ())
            watch.append(first + at, *pair, strata)
            if watch.fires(watch.judge(first + at + 1)):
                return at + 1
        return None

    def _moved(self, hour: int) -> float:
        by_day = self._days.setdefault(hour // 24, self._draw.normal(0.0, self.service.by_day))
        return by_day + self._hours.setdefault(hour, self._draw.normal(0.0, self.service.by_hour))

    def _hour(self, hour: int) -> Aggregate:
        return self._requests(60 * self.service.traffic(hour), self.service.rate(hour) + self._moved(hour))

    def _minute(self, minute: int, part: float, *, lost: float = 0.0) -> Aggregate:
        hour = minute // 60
        shock = self._draw.normal(0.0, self.service.by_minute)
        rate = self.service.rate(hour) + self._moved(hour) + shock
        return self._requests(part * self.service.traffic(hour), rate * (1 - lost))

    def _requests(self, expected: float, rate: float) -> Aggregate:
        n = int(self._draw.poisson(expected))
        return cell(n, task_success=int(self._draw.binomial(n, min(1.0, max(0.0, rate)))))
