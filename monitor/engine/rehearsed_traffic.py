"""Rehearsed traffic: a script of what two releases serve, as the trace events that real traffic would send.

Nothing is drawn. Every quantity follows a schedule that keeps its stated value at every point of the way, so
that a test of a budget gives one answer and never flaps:

- arrivals are evenly spaced, and each request goes to the arm and the slice that is furthest behind its share;
- of n requests a rate of p is true for p*n of them, never more than one off, evenly spread;
- latencies, costs and tokens run through their distribution along the golden-ratio sequence, which fills it
  evenly; a distribution is lognormal through the stated quantiles, or about the stated mean.

The seed (a test's name) only moves where in their round the schedules begin, so that the measures of a
request are not in step. Real traffic scatters about what is rehearsed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from math import exp, log
from statistics import NormalDist
from typing import Any, Final

from monitor.core.cohort import Role
from monitor.core.event import MAX_LATENCY_MS
from monitor.core.indicator import IndicatorKind, indicator
from monitor.core.traffic_script import Slice, Stretch, TrafficScript, Values

START_MS: Final = 1_767_225_600_000
"""When rehearsed traffic begins: 2026-01-01T00:00:00Z; any whole minute would do."""

LATENCY_SIGMA: Final = 0.8  # spread of a lognormal of which one quantile is stated: usual for model latencies
AMOUNT_SIGMA: Final = 0.5  # spread of costs and tokens, of which the mean is stated
_MINUTE_MS: Final = 60_000
_ONE: Final = 10**12  # a share of 1 in whole steps
_ROUND: Final = 1 << 64
_GOLDEN: Final = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: the step that fills [0, 1) most evenly
_NORMAL: Final = NormalDist()


def rehearsed(script: TrafficScript, *, release: str, baseline: str, seed: str) -> Iterator[bytes]:
    """Yield the events of a script as lines of JSON, in the order of their time.

    Args:
        release, baseline: The names that the candidate's and the baseline's requests carry.
        seed: Where the schedules begin; the same seed gives the same bytes on any machine.
    """
    names = {Role.CANDIDATE: release, Role.BASELINE: baseline}
    traffic = _Traffic(script.slices, seed)
    start_ms = START_MS
    for stretch in script.stretches:
        for event in traffic.of(stretch, start_ms):
            event["release"] = names[event["release"]]
            yield json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        start_ms += stretch.minutes * _MINUTE_MS


class _Traffic:
    """Hands the requests out to arms and slices, and remembers where every schedule stands."""

    def __init__(self, slices: tuple[Slice, ...], seed: str) -> None:
        self._slices = {one.name: one for one in slices}
        shares = {one.name: _steps(one.share) for one in slices}
        self._turns = {role: _Turns(shares) for role in Role}
        self._arms = _Portion(_ONE // 2)
        self._lanes = {
            (role, name): _Lane(f"{seed}\n{role.value}\n{name}") for role in Role for name in self._slices
        }
        self._made = 0

    def of(self, stretch: Stretch, start_ms: int) -> Iterator[dict[str, Any]]:
        """Yield the events of one stretch; each names its arm as `release`."""
        recipes = {lane: _recipe(values) for lane, values in stretch.values.items()}
        due = _due_incidents(stretch, start_ms)
        share = _steps(stretch.candidate_share)
        requests, in_minutes = stretch.per_min.numerator, stretch.per_min.denominator
        for number in range(stretch.requests):
            at_ms = start_ms + (2 * number + 1) * _MINUTE_MS * in_minutes // (2 * requests)
            role = Role.CANDIDATE if self._arms.next(share) else Role.BASELINE
            name = self._turns[role].next()
            self._made += 1
            event = {
                "event_id": f"request-{self._made}",
                "trace_id": f"trace-{self._made}",
                "at": at_ms,
                "release": role,
            }
            if cohort := self._slices[name].cohort:
                event["cohort"] = dict(cohort)
            event |= self._lanes[role, name].facts(recipes[role, name])
            if _is_incident(due, role, name, at_ms):
                event["incident_severity"] = "critical"
            yield event


def _due_incidents(stretch: Stretch, start_ms: int) -> dict[tuple[Role, str | None], list[int]]:
    """Return when incidents are due, the last one first; they lie in the middle of equal parts of the stretch."""
    span_ms = stretch.minutes * _MINUTE_MS
    return {
        lane: [start_ms + (2 * number + 1) * span_ms // (2 * count) for number in reversed(range(count))]
        for lane, count in stretch.incidents.items()
    }


def _is_incident(due: Mapping[tuple[Role, str | None], list[int]], role: Role, name: str, at_ms: int) -> bool:
    for lane in ((role, name), (role, None)):
        waiting = due.get(lane)
        if waiting and waiting[-1] <= at_ms:
            waiting.pop()
            return True
    return False


class _Portion:
    """Says yes to exactly a share of the questions, evenly spread: never more than one off."""

    __slots__ = ("_owed",)

    def __init__(self, owed: int) -> None:
        self._owed = owed

    def next(self, share: int) -> bool:
        self._owed += share
        if self._owed < _ONE:
            return False
        self._owed -= _ONE
        return True


class _Turns:
    """Gives every turn to the name that is furthest behind its share."""

    def __init__(self, shares: Mapping[str, int]) -> None:
        self._shares = shares
        self._owed = dict.fromkeys(shares, 0)

    def next(self) -> str:
        for name, share in self._shares.items():
            self._owed[name] += share
        chosen = max(self._owed, key=self._owed.__getitem__)
        self._owed[chosen] -= _ONE
        return chosen


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What the requests of one lane show during one stretch."""

    error: int = 0
    timeout: int = 0  # of the requests that did not end in an error
    labels: list[tuple[str, int]] = field(default_factory=list)
    outcomes: list[tuple[str, int]] = field(default_factory=list)
    sizes: list[tuple[str, _Size]] = field(default_factory=list)


class _Size:
    """A distribution of positive sizes: ln(size) is piecewise linear in the normal score."""

    def __init__(self, points: list[tuple[float, float]], sigma: float) -> None:
        """Take (normal score, ln size), in rising order; beyond the ends the nearest slope goes on."""
        self._points = points if len(points) > 1 else [points[0], (points[0][0] + 1, points[0][1] + sigma)]

    def at(self, position: float) -> float:
        """Return the size below which a share of `position` (within 0 to 1) of all lie."""
        score = _NORMAL.inv_cdf(position)
        after = next(
            (index for index, point in enumerate(self._points) if point[0] >= score), len(self._points) - 1
        )
        (low, from_), (high, to) = self._points[max(after, 1) - 1 : max(after, 1) + 1]
        return exp(from_ + (score - low) / (high - low) * (to - from_))


class _Lane:
    """The schedules of one arm's requests in one slice."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._portions: dict[str, _Portion] = {}
        self._positions: dict[str, int] = {}

    def facts(self, recipe: _Recipe) -> dict[str, Any]:
        """Return what the next request shows."""
        facts: dict[str, Any] = {name: self._is_true(name, share) for name, share in recipe.labels}
        if recipe.outcomes:
            facts["outcomes"] = {
                name: self._is_true(f"outcome.{name}", share) for name, share in recipe.outcomes
            }
        if recipe.error and self._is_true("error", recipe.error):
            facts["status"] = "error"
        elif recipe.timeout and self._is_true("timeout", recipe.timeout):
            facts["status"] = "timeout"
        for source, size in recipe.sizes:
            _put(facts, source, size.at(self._position(source)))
        return facts

    def _is_true(self, name: str, share: int) -> bool:
        portion = self._portions.get(name)
        if portion is None:
            portion = self._portions[name] = _Portion(self._start(name) % _ONE)
        return portion.next(share)

    def _position(self, source: str) -> float:
        before = self._positions.get(source)
        position = self._start(source) if before is None else (before + _GOLDEN) % _ROUND
        self._positions[source] = position
        return ((position >> 12) + 0.5) / (1 << 52)  # as many bits as a float below 1 has: never 0, never 1

    def _start(self, name: str) -> int:
        return int.from_bytes(sha256(f"{self._seed}\n{name}".encode()).digest()[:8])


def _put(facts: dict[str, Any], source: str, size: float) -> None:
    """Write a size where a trace event has it; an unfinished request has no latency."""
    if source == "cost":
        facts["cost_usd"] = round(size, 6)
    elif source == "tokens":
        total = round(size)
        facts["tokens_in"], facts["tokens_out"] = total - total // 4, total // 4
    elif "status" not in facts:
        ms = round(min(size, MAX_LATENCY_MS), 3)
        if source == "latency":
            facts["latency_ms"] = ms
        else:
            facts.setdefault("stage_ms", {})[source.removeprefix("stage.")] = ms


def _steps(share: Fraction) -> int:
    return round(share * _ONE)


def _recipe(values: Values) -> _Recipe:
    recipe = _Recipe(error=_steps(values.get("error", Fraction(0))), timeout=_timeout(values))
    quantiles: dict[str, list[tuple[float, float]]] = {}
    for name, value in values.items():
        found = indicator(name)
        if found.kind is IndicatorKind.QUANTILE:
            assert found.quantile is not None, "a quantile has its share"
            quantiles.setdefault(found.source, []).append((_NORMAL.inv_cdf(found.quantile), log(value)))
        elif found.kind is IndicatorKind.MEAN and value:
            # Of a lognormal about m, the logarithms lie about ln(m) - sigma**2 / 2.
            middle = (0.0, log(value) - AMOUNT_SIGMA**2 / 2)
            recipe.sizes.append((found.source, _Size([middle], AMOUNT_SIGMA)))
        elif found.source.startswith("outcome."):
            recipe.outcomes.append((found.source.removeprefix("outcome."), _steps(value)))
        elif found.kind is IndicatorKind.RATE and found.source not in ("error", "timeout"):
            recipe.labels.append((found.source, _steps(value)))
    for source, points in quantiles.items():
        recipe.sizes.append((source, _Size(sorted(points), LATENCY_SIGMA)))
    return recipe


def _timeout(values: Values) -> int:
    """Return the timeouts' share of the requests that are no errors."""
    rest = 1 - values.get("error", Fraction(0))
    return _steps(values.get("timeout", Fraction(0)) / rest) if rest else 0
