"""The sustained rule over the stretches that a record kept: the checks of `core.sustained`, in their order.

Of a check over many stretches the record has the extreme one, so the rule follows from it; that it is the
extreme is what the record asserts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitor.core.budget import EvidenceMode, Unit
from monitor.core.derivation import Check, Derivation, bounded
from monitor.core.indicator import Direction
from monitor.core.moment import moment_ms
from monitor.core.spend import SPEND_NATS
from monitor.core.stats.dispersion import Dispersion
from monitor.core.stats.limit import KAPPA, Limit
from monitor.core.stats.minutes import length_min
from monitor.core.stats.thresholds import quarter
from monitor.core.sums import MeanSums, Sums, sums_from
from monitor.core.sustained import (
    NOW_SHARE,
    RECOVERY_NATS,
    SUSPECT_NATS,
    Answer,
    Refusal,
    make_rule,
    rest_nats,
)
from monitor.core.window import minute_of

_CLAIMS: Final = {
    ("breach", "rollback"): "fires",
    ("breach", "page"): "fires",
    ("recovered", "watch"): "recovered",
}
"""What the rule must have answered for a decision of this reason and action."""


class Stretch:
    """One stretch of a record, with what follows from its sums.

    Args:
        dispersion: None for one that was judged in its own time: its phi is taken as the record has it.
    """

    def __init__(
        self, record: Mapping[str, Any], kind: str, limit: Limit, dispersion: Dispersion | None
    ) -> None:
        self.record, self.limit = record, limit
        self.start, self.end = _minute(record["start"]), _minute(record["end"])
        cut = record["cut"]
        self.cut = None if cut is None else (_minute(cut[0]), _minute(cut[1]))
        self.minutes = length_min(self.start, self.end, self.cut)
        self.sums: Sums = sums_from(kind, record["sums"])
        self.phi = float(record["phi"]) if dispersion is None else self._phi(dispersion)
        self.x = self.sums.evidence_in(limit) / self.phi
        self.x_within = self.sums.evidence_out(limit) / self.phi
        self.beyond = self.sums.beyond(limit, 1.0)

    def _phi(self, dispersion: Dispersion) -> float:
        noise = self.sums.noise(self.limit, self.minutes)
        return dispersion.phi if noise is None else dispersion.at(noise)

    def checks(self, role: str, scale: float) -> Iterator[Check]:
        """Yield what the record says of it beside what follows from its sums."""
        record, counts, seen = self.record, self.sums.counts(), self.sums.observed(self.limit)
        yield Check(f"{role}: minutes", record["minutes"], self.minutes)
        for arm in ("baseline", "candidate"):
            yield Check(f"{role}: requests of the {arm}", record["samples"][arm], getattr(counts, arm))
            value = getattr(seen, arm)
            yield Check(f"{role}: {arm}", record[arm], bounded(value, scale))
        yield Check(f"{role}: delta", record["delta"], bounded(seen.delta))
        yield Check(f"{role}: beyond the limit", record["beyond"], self.beyond)
        yield Check(f"{role}: phi", record["phi"], self.phi)
        yield Check(f"{role}: x", record["x"], bounded(self.x))
        if "x_within" in record:
            yield Check(f"{role}: x of being within", record["x_within"], bounded(self.x_within))


class RuleRecord:
    """The sustained rule and its two variants, over the stretches of a record."""

    def __init__(self, evidence: Mapping[str, Any]) -> None:
        self.evidence, self.kind, numbers = evidence, evidence["kind"], evidence["rule"]
        self.numbers = numbers
        mode = EvidenceMode(numbers["mode"])
        self.limit = Limit(
            worse=Direction(numbers["worse"]),
            unit=Unit(numbers["unit"]),
            size=numbers["limit"],
            kappa=KAPPA[mode],
            needs_evidence=mode is not EvidenceMode.OFF,
            quantile=numbers["quantile"],
        )
        self.hold, self.x_star = int(numbers["hold_min"]), float(numbers["x_star"])
        self.rule = make_rule(self.hold, window_min=int(numbers["window_min"]), objectives=1)
        self.now = _minute(evidence["judged_to"])
        self.dispersion = Dispersion(**evidence["dispersion"])
        kind = numbers["indicator"]
        self.stretches = {
            role: Stretch(one, kind, self.limit, self._noise_of(role))
            for role, one in evidence["stretches"].items()
        }
        self.spent = [Stretch(one, kind, self.limit, None) for one in evidence["spent"]["blocks"]]

    def _noise_of(self, role: str) -> Dispersion:
        """What was known of the noise of the measure that a stretch is taken by: of a mean there are two."""
        measure = {"shown": "plain", "shown_capped": "capped"}.get(role)
        known = self.evidence.get("dispersions", {}).get(measure)
        return self.dispersion if known is None else Dispersion(**known)

    def derive(self, data: Mapping[str, Any]) -> Derivation:
        """Compute the answer, and hold everything against the record."""
        refusal = self._refusal()
        answer = Answer.FIRES if refusal is None else self._recent()
        found = Derivation(self.kind, answer.value, None if refusal is None else refusal.value)
        role = "recent" if answer is Answer.SUSPECT else "strongest"
        settled = self.stretches.get(role)
        if settled is not None and self.limit.needs_evidence:
            found.x, found.recorded_x = settled.x, settled.record["x"]
            found.needed = SUSPECT_NATS if role == "recent" else self.x_star
        found.checks += [
            Check("answer", self.evidence["answer"], found.answer),
            Check("refusal", self.evidence["refusal"], found.refusal),
            *self._numbers(data),
            *self._places(),
            *self._needed(),
            *self._spent(data),
            *self._shown(data),
            *self._claim(data, found.answer),
        ]
        for name, stretch in self.stretches.items():
            found.checks += stretch.checks(name, self.numbers["scale"])
        return found

    def _numbers(self, data: Mapping[str, Any]) -> Iterator[Check]:
        yield Check("kind", self.kind, self._kind())
        if "measure" in self.evidence:
            noise = self.evidence["dispersions"][self.evidence["measure"]]
            yield Check("dispersion: of the measure that answered", noise, self.evidence["dispersion"])
        yield Check("rule: kappa", self.numbers["kappa"], self.limit.kappa)
        for name, mine in (("limit", "limit"), ("unit", "unit")):
            told = data.get("observed") or {}
            said = data.get("limit") if name == "limit" else told.get("unit")
            if said is not None:
                yield Check(f"rule: {name}", self.numbers[mine], said)

    def _kind(self) -> str:
        if not self.limit.needs_evidence:
            return "literal"
        return "sustained" if self.hold else "at_once"

    def _x(self, role: str) -> float:
        return self.stretches[role].x if role in self.stretches else 0.0

    def _refusal(self) -> Refusal | None:
        """The checks of `core.sustained`, in their order, over what the record kept of each."""
        window = self.stretches.get("window")
        if self._kind() != "literal" and (refusal := self._too_weak()) is not None:
            return refusal
        if window is None:
            told = self.evidence[
                "refusal"
            ]  # no window of the hold's length yet: only the store could tell more
            return Refusal(told) if told in ("no_data", "younger_or_burst") else Refusal.NO_DATA
        if min(window.sums.counts()) < self.numbers["min_samples"]:
            return Refusal.MIN_SAMPLES
        if self._kind() == "literal":
            return self._literal()
        if self._kind() == "at_once":
            return self._at_once(window)
        return self._still_bad(window) or self._lasting(window)

    def _too_weak(self) -> Refusal | None:
        strongest = self.stretches.get("strongest")
        if strongest is not None and strongest.beyond and strongest.x >= self.x_star:
            return None
        told = self.evidence["refusal"]  # whether any window had data is not in the record
        return Refusal.NO_DATA if told == "no_data" and strongest is None else Refusal.NOT_ENOUGH_EVIDENCE

    def _literal(self) -> Refusal | None:
        if self.stretches["weakest"].beyond is None:
            return Refusal.NO_DATA
        if not self.stretches["newest"].beyond:
            return Refusal.NOT_BEYOND_NOW
        return None if self.stretches["weakest"].beyond else Refusal.YOUNGER_OR_BURST

    def _at_once(self, window: Stretch) -> Refusal | None:
        if not window.beyond or window.x < self.x_star:
            return Refusal.NOT_ENOUGH_EVIDENCE
        return None if self.stretches["newest"].beyond else Refusal.NOT_BEYOND_NOW

    def _still_bad(self, window: Stretch) -> Refusal | None:
        if window.beyond is None:
            return Refusal.NO_DATA
        if window.beyond and window.x < NOW_SHARE * self.x_star:
            return Refusal.NOT_ENOUGH_EVIDENCE
        newest = self.stretches["newest"].beyond if window.beyond else False
        if newest is None:
            return Refusal.NO_DATA
        return None if newest else Refusal.NOT_BEYOND_NOW

    def _lasting(self, window: Stretch) -> Refusal | None:
        weakest = self.stretches["weakest"]
        if not weakest.sums.beyond(self.limit, self.limit.kappa):
            return Refusal.HEALTHY_FIFTH
        rest = self.stretches["rest"]
        needed = rest_nats(max(self._x("strongest"), window.x, self.x_star), self.x_star)
        if not rest.beyond or rest.x < needed:
            return Refusal.YOUNGER_OR_BURST
        recovery = self.stretches["recovery"]
        return Refusal.EVIDENTLY_BACK if recovery.x_within >= self._recovery_nats(window, recovery) else None

    def _recovery_nats(self, window: Stretch, recovery: Stretch) -> float:
        span = next((span for span in self.rule.spans if span.length_min == window.minutes), None)
        if span is None:
            raise ValueError(f"no window of this rule is {window.minutes} minutes long")
        whole = recovery.minutes == self.rule.recent_min
        # A whole newest quarter is asked both questions; the record says which one it is nearest to answer.
        return span.block_nats if whole and recovery.record["needed"] != RECOVERY_NATS else RECOVERY_NATS

    def _recent(self) -> Answer:
        recent = self.stretches.get("recent")
        if recent is None or recent.beyond is None:
            return Answer.UNKNOWN
        if not recent.beyond:
            return Answer.RECOVERED
        is_first = not self.limit.needs_evidence or recent.x >= SUSPECT_NATS
        return Answer.SUSPECT if is_first else Answer.UNKNOWN

    def _places(self) -> Iterator[Check]:
        """Where the stretches must lie."""
        window = self.stretches.get("window")
        for role in ("strongest", "window", "newest", "rest", "recent"):
            if role in self.stretches:
                yield Check(f"{role}: ends at the tick", self.stretches[role].end, self.now)
        for role in ("weakest", "newest", "recovery", "rest"):
            if role in self.stretches:
                inside = window is not None and self.stretches[role].start >= window.start
                yield Check(
                    f"{role}: lies in the window", True, inside and self.stretches[role].end <= self.now
                )
        if "strongest" in self.stretches:
            lengths = {one.length_min for one in self.rule.windows}
            yield Check("strongest: is of the grid", True, self.stretches["strongest"].minutes in lengths)
        if "recent" in self.stretches:
            yield Check("recent: minutes", self.stretches["recent"].minutes, self.rule.recent_min)
        if window is not None and self._kind() == "sustained":
            yield from self._sustained_places(window)
        elif window is not None:
            newest = quarter(window.minutes) if self._kind() == "at_once" else 1
            yield Check("newest: minutes", self.stretches["newest"].minutes, newest)

    def _sustained_places(self, window: Stretch) -> Iterator[Check]:
        span = next((one for one in self.rule.spans if one.length_min == window.minutes), None)
        yield Check("window: is of the grid", True, span is not None)
        if span is None:
            return
        widths = {"newest": span.newest_min, "weakest": span.fifth_min}
        for role, width in widths.items():
            if role in self.stretches:
                yield Check(f"{role}: minutes", self.stretches[role].minutes, width)
        rest = self.stretches.get("rest")
        if rest is not None:
            yield Check("rest: begins with the window", rest.start, window.start)
            longest = rest.cut is not None and rest.cut[1] - rest.cut[0] < self.hold
            yield Check("rest: leaves out less than the hold", True, longest)

    def _needed(self) -> Iterator[Check]:
        """What each check asks of its stretch."""
        window = self.stretches.get("window")
        asked: dict[str, float | None] = {"recent": SUSPECT_NATS, "strongest": self.x_star}
        if window is not None and self._kind() != "literal":
            asked["window"] = self.x_star * (NOW_SHARE if self._kind() == "sustained" else 1.0)
            strongest = max(self._x("strongest"), window.x, self.x_star)
            asked["rest"] = rest_nats(strongest, self.x_star)
        if window is not None and "recovery" in self.stretches:
            asked["recovery"] = self._recovery_nats(window, self.stretches["recovery"])
        for role, stretch in self.stretches.items():
            yield Check(f"{role}: needed", stretch.record["needed"], asked.get(role))

    def _spent(self, data: Mapping[str, Any]) -> Iterator[Check]:
        minutes = self.evidence["spent"]["minutes"]
        yield Check("spent: whole blocks", 0, minutes % self.rule.recent_min)
        for block in self.spent:
            yield from block.checks("spent block", self.numbers["scale"])
            yield Check("spent block: minutes", block.minutes, self.rule.recent_min)
            yield Check("spent block: needed", block.record["needed"], SPEND_NATS)
            is_bad = bool(block.beyond) and (not self.limit.needs_evidence or block.x >= SPEND_NATS)
            yield Check("spent block: is bad", True, is_bad)
        if data.get("reason") == "cumulative":
            shown = sum(block.minutes for block in self.spent)
            yield Check("spent: more than granted", True, min(minutes, shown) > self.hold)

    def _shown(self, data: Mapping[str, Any]) -> Iterator[Check]:
        """What the decision says to people beside the stretch it speaks of."""
        shown, told = self.stretches.get("shown"), data.get("observed")
        if shown is None or told is None:
            return
        seen = shown.sums.observed(self.limit)
        for name, scale in (
            ("candidate", self.numbers["scale"]),
            ("baseline", self.numbers["scale"]),
            ("delta", 1.0),
        ):
            yield Check(f"observed: {name}", told[name], bounded(getattr(seen, name), scale))
        counts = shown.sums.counts()
        for arm in ("baseline", "candidate"):
            yield Check(f"samples: {arm}", data["samples"][arm], getattr(counts, arm))
        yield from self._shown_capped(told.get("capped"))
        yield Check("held_min", data["held_min"], shown.minutes)
        yield Check("breach_started_at", _minute(data["breach_started_at"]), shown.start)

    def _shown_capped(self, told: Mapping[str, Any] | None) -> Iterator[Check]:
        """What the decision says of a mean's other measure."""
        shown = self.stretches.get("shown_capped")
        if told is None or shown is None or not isinstance(shown.sums, MeanSums) or shown.sums.above is None:
            yield Check("observed: capped", told is None, shown is None)
            return
        seen, scale = shown.sums.observed(self.limit), self.numbers["scale"]
        yield Check("observed: capped: delta", told["delta"], bounded(seen.delta))
        arms = (
            ("candidate", seen.candidate, shown.sums.candidate),
            ("baseline", seen.baseline, shown.sums.baseline),
        )
        for (arm, value, moments), above in zip(arms, shown.sums.above, strict=True):
            yield Check(f"observed: capped: {arm}", told[arm], bounded(value, scale))
            share = above / moments.n if moments.n else None
            yield Check(f"observed: above the cap of the {arm}", told[f"above_{arm}"], share)

    def _claim(self, data: Mapping[str, Any], answer: str) -> Iterator[Check]:
        """What the decision's reason says the rule answered."""
        if self.numbers["accounting"] == "cumulative":
            return
        claimed = _CLAIMS.get((str(data.get("reason")), str(data.get("action"))))
        if claimed is not None:
            yield Check("the decision: the rule's answer", claimed, answer)
        elif data.get("reason") == "breach" and data.get("action") == "watch":
            yield Check("the decision: has first evidence", True, answer in ("suspect", "fires"))


def _minute(moment: str) -> int:
    return minute_of(moment_ms(moment))
