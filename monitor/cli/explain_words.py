"""The sentences of `explain`: what a record's numbers mean, for somebody who was just woken up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from monitor.cli.backtest_report import REFUSALS
from monitor.core.budget import Objective, Tier, Unit
from monitor.core.cohort import cohort_key
from monitor.core.decision import ABOUT_PROOF, Reason
from monitor.core.derivation import Derivation
from monitor.core.indicator import Direction, indicator
from monitor.core.record import StageMove, moved_most
from monitor.core.stats.evidence import p_value
from monitor.core.stats.thresholds import look_count
from monitor.core.wording import indicator_words, slice_words, unit_words, value_words
from monitor.engine.page_commands import for_open_page, order
from monitor.wire.cloudevent import CloudEvent

_MANY: Final = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
_BEYOND_COUNTING: Final = 1e15
_MEASURES: Final = {
    "capped": "the mean of requests counted up to the baseline's p99; the plain mean is judged beside it",
    "plain": "the plain mean; the mean of requests counted up to the baseline's p99 is judged beside it",
}
Fact = tuple[str, str]


def objective_of(data: Mapping[str, Any]) -> Objective:
    """Return the objective a decision is about, as far as words need it."""
    numbers = (data.get("evidence") or {}).get("rule") or {}
    found = indicator(str(data["metric"]))
    limit = float(data.get("limit", numbers.get("limit")) or 0.0)
    worse = found.worse or (Direction.LOWER_IS_WORSE if limit < 0 else Direction.HIGHER_IS_WORSE)
    unit = Unit((data.get("observed") or {}).get("unit") or numbers.get("unit") or "increase")
    hold = int(numbers.get("hold_min", 0))
    return Objective(str(data["objective"]), found, worse, limit, unit, hold, Tier(data.get("tier") or "B"))


def value_form(data: Mapping[str, Any]) -> Callable[[float], str]:
    """Return what turns a value of the decision's indicator into text."""
    objective = objective_of(data)
    return lambda value: value_words(objective, value)


def facts(data: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield what a decision says, label by label."""
    evidence = data.get("evidence")
    if data.get("objective") is None or data.get("metric") is None:
        return
    objective = objective_of(data)
    tier = f" (tier {data['tier']})" if data.get("tier") else ""
    limit = f"limit {objective.limit:+g} {unit_words(objective.unit)}"
    held = f" for {objective.hold_min} min" if evidence and evidence["kind"] != "incidents" else ""
    yield "what", f"{data['objective']}{tier}: {indicator_words(objective)}, {limit}{held}"
    view = cohort_key(data.get("cohort") or {})
    yield "for whom", slice_words(view).removeprefix(" for ") or "everybody"
    if data.get("breach_started_at"):
        yield "since", f"{data['breach_started_at']}, {data.get('held_min')} min"
    yield from _observed(data, objective)
    yield from _stages(data)
    if evidence is None:
        return
    if evidence["kind"] == "incidents":
        yield from _incidents(evidence)
    else:
        yield from _rule(evidence, objective)


def _observed(data: Mapping[str, Any], objective: Objective) -> Iterator[Fact]:
    seen, samples = data.get("observed"), data.get("samples")
    if not seen or not samples:
        return
    if objective.unit is Unit.COUNT:
        return
    unit = unit_words(objective.unit)
    arms = " against ".join(
        f"{value_words(objective, seen[arm])} of {samples[arm]:,} requests"
        for arm in ("candidate", "baseline")
    )
    delta = "" if seen["delta"] is None else f": {seen['delta']:+.3g} {unit}"
    yield "shown", f"{arms}{delta}"
    yield from _capped(seen.get("capped"), objective)
    low, high = (None if seen[end] is None else f"{seen[end]:+.3g}" for end in ("lower", "upper"))
    if low or high:
        yield (
            "interval",
            f"{100 * seen['confidence']:.0f} % sure it lies in {low or '-∞'} to {high or '∞'} {unit}",
        )
    if seen["mde"] is not None:
        yield (
            "could show",
            f"{seen['mde']:+.3g} {unit} is the smallest harm that so many requests would have shown",
        )


def _capped(capped: Mapping[str, Any] | None, objective: Objective) -> Iterator[Fact]:
    """Yield what a mean's other measure shows; an older record has none."""
    if not capped or capped["cap"] is None or None in (capped["above_candidate"], capped["above_baseline"]):
        return
    arms = " against ".join(value_words(objective, capped[arm]) for arm in ("candidate", "baseline"))
    delta = "" if capped["delta"] is None else f": {capped['delta']:+.3g} {unit_words(objective.unit)}"
    yield "up to p99", f"{arms}{delta}, each request counted up to the baseline's p99"
    yield (
        "above p99",
        (
            f"{capped['above_candidate'] * 100:.1f} % of the candidate's requests lie above it, "
            f"{capped['above_baseline'] * 100:.1f} % of the baseline's ({value_words(objective, capped['cap'])})"
        ),
    )


def _stages(data: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield a line for each stage of an end-to-end latency; an older record has none."""
    stages = [
        StageMove(**{part.name: stage[part.name] for part in fields(StageMove)})
        for stage in data.get("stages") or ()
    ]
    most = moved_most(stages)
    for one in stages:
        low, high = ("?" if end is None else f"{end:+.3g}" for end in (one.lower_pct, one.upper_pct))
        yield (
            "stage",
            (
                f"{one.stage}: {one.candidate_ms:,.0f} ms against {one.baseline_ms:,.0f} ms: "
                f"{one.delta_pct:+.3g} % ({low} to {high} %)" + (", moved most" if one is most else "")
            ),
        )


def _rule(evidence: Mapping[str, Any], objective: Objective) -> Iterator[Fact]:
    rule, stretches = evidence["rule"], evidence["stretches"]
    if rule["mode"] == "off":
        yield "how sure", "no evidence is asked for (`evidence: off`): the letter of the rule decides"
    else:
        yield "how sure", _sure(evidence)
    if evidence.get("measure"):
        yield "judged", _MEASURES[evidence["measure"]]
    for role, label in (("window", "window W"), ("newest", "newest"), ("weakest", "least bad")):
        if role in stretches:
            yield label, _stretch(stretches[role], objective)
    if "rest" in stretches:
        rest = stretches["rest"]
        cut = f"{_clock(rest['cut'][0])} to {_clock(rest['cut'][1])}" if rest["cut"] else "nothing"
        yield (
            "left out J",
            f"{cut}, the stretch shorter than {rule['hold_min']} min that carries most of the harm",
        )
        yield "rest R", f"{_stretch(rest, objective)} where {number_words(rest['needed'])} is needed"
    if "window" not in stretches and "recent" in stretches:
        yield "newest", _stretch(stretches["recent"], objective)
    if rule["mode"] != "off":
        yield "noise", _noise(stretches.get("window") or stretches.get("recent"))
    if evidence["refusal"] is not None:
        yield "not yet", f"the rule does not fire: {REFUSALS[evidence['refusal']]}"
    if evidence["spent"]["minutes"]:
        yield (
            "spent",
            f"{evidence['spent']['minutes']} of {rule['hold_min']} min in all were evidently beyond the limit",
        )


def _sure(evidence: Mapping[str, Any]) -> str:
    rule, strongest = evidence["rule"], evidence["stretches"].get("strongest")
    looks = look_count(rule["hold_min"], rule["window_min"]) * max(1, len(evidence.get("dispersions") or ()))
    err = looks * p_value(rule["x_star"])
    asked = f"at x* all looks at it together err in {_one_in(err)} harmless releases"
    if strongest is None:
        return f"no window is beyond the limit with any evidence; {asked}"
    x = strongest["x"]
    chance = (
        "chance alone never shows this"
        if x is None
        else f"chance alone shows this in {_one_in(p_value(x))} looks"
    )
    shown = f"x = {number_words(x)} nats over {strongest['minutes']} min against x* = {rule['x_star']:.3g}"
    return f"{shown}: {chance}; {asked}"


def _one_in(p: float) -> str:
    if p <= 1.0 / _BEYOND_COUNTING:
        return "fewer than 1 of a thousand trillion"
    many = 1.0 / p
    for size, name in _MANY:
        if many >= size:
            return f"1 of {many / size:.3g} {name}"
    return f"1 of {many:,.0f}"


def _stretch(stretch: Mapping[str, Any], objective: Objective) -> str:
    arms = " against ".join(
        "no data" if not stretch["samples"][arm] else value_words(objective, stretch[arm])
        for arm in ("candidate", "baseline")
    )
    without = " without J" if stretch["cut"] else ""
    span = f"{_clock(stretch['start'])} to {_clock(stretch['end'])}{without} ({stretch['minutes']} min)"
    return f"{span}: {arms}, x = {number_words(stretch['x'])}"


def _noise(stretch: Mapping[str, Any] | None) -> str:
    phi = 1.0 if stretch is None else stretch["phi"]
    if phi <= 1.0:
        return "phi = 1: the minutes vary as independent requests do"
    return f"phi = {phi:.3g}: outcomes share causes, so evidence counts for 1/{phi:.3g} of itself"


def _incidents(evidence: Mapping[str, Any]) -> Iterator[Fact]:
    counts = evidence["counts"]
    yield (
        "incidents",
        (
            f"{counts['closed'] + counts['opened']} of the candidate in {counts['requests']:,} requests "
            f"({counts['opened']} in minutes still open); {counts['reference_incidents']} of the baseline in "
            f"{counts['reference_requests']:,}; {counts['allowed_increase']} more are allowed"
        ),
    )
    mu = number_words(evidence["mu"])
    if counts["literal"]:
        yield "how sure", "`literal: true`: the first incident above what is allowed is beyond the limit"
    elif not counts["reference_incidents"] and counts["reference_requests"]:
        yield "how sure", "the baseline has none: the first one is beyond the limit"
    else:
        yield (
            "how sure",
            (
                f"the baseline's rate predicts mu = {mu}; {evidence['k']} are more than chance where mu is at most "
                f"g = {number_words(evidence['g_k'])} (error rate {counts['alpha']:g} over the whole watch)"
            ),
        )


def verdict_facts(row: Mapping[str, Any], name: str) -> Iterator[Fact]:
    """Yield what an assessment's row says."""
    evidence, text = row.get("evidence") or {}, f"{name}: {row.get('summary')}"
    if evidence.get("kind") == "verdict" and evidence["within"] is not None:
        least = min(evidence["within"], evidence["within_recent"] or 0.0)
        text += f"; evidence of being within the limit {least:.3g}, healthy from {evidence['needed']:.3g}"
    if row.get("mde") is not None:
        unit = unit_words(Unit(row["observed"]["unit"]))
        text += f"; {row['mde']:+.3g} {unit} could have been shown"
    yield str(row.get("verdict")), text


def next_steps(event: CloudEvent) -> Iterator[str]:
    """Yield what follows from the decision, and what to type."""
    data = event.data
    if event.name == "breach.started":
        yield "nothing is asked for yet; it acts when the harm has lasted and holds the evidence"
    elif event.name == "breach.cleared":
        yield "nothing: the objective is back within its limit"
    elif event.name == "rollback.requested":
        flag = data.get("flag")
        turn = (
            f"flag {flag['key']} goes to {data.get('baseline_variation')}" if flag else "consumers of it act"
        )
        yield f"{turn}; the release stays locked until `{_arm(event.subject)}`"
    elif event.name == "rollback.applied":
        yield "the traffic has to show it now: `rollback.verified` follows, or a page"
    elif event.name == "rollback.verified":
        yield f"nothing; the release stays locked until `{_arm(event.subject)}`"
    elif event.name == "rollback.failed":
        yield "see what still serves it, and turn it by hand where the monitor cannot"
    elif event.name == "page.opened":
        yield from _page_steps(event, data)
    elif event.name == "decision.observed":
        yield f"nothing: `mode: observe`; with `mode: auto` this would be {data.get('would_be')}"
    elif event.name == "evaldebt.created":
        yield f"an evaluation case is due by {data.get('due_at')}, of {data.get('owner') or 'nobody named'}"


def _arm(release: str) -> str:
    return order("arm", release, None, "--reason", "mended")


def _page_steps(event: CloudEvent, data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("reason") == Reason.ROLLBACK_DID_NOT_HELP:
        yield "look for another cause than the release; this page is resolved when the metric is back"
        return
    if data.get("reason") in ABOUT_PROOF:
        yield "the rollback is decided; this page is resolved when the traffic shows that the candidate is gone"
        return
    if data.get("deadline") is None:
        yield "no deadline: this page never acts by itself"
    else:
        silence = {"rollback": "the release rolls back", "hold": "the release stays as it is"}
        then = silence.get(str(data.get("on_silence")), "the budget's `on_commander_silence` decides")
        yield f"decide by {data['deadline']} (later if it was delivered later); in silence {then}"
    yield from (
        f"{what}: {line}"
        for what, line in for_open_page(
            event.subject,
            str(data.get("page_id")),
            event.id,
            str(data.get("reason")),
            is_seen=False,
            has_deadline=data.get("deadline") is not None,
            is_new=False,  # this is the explanation
        )
    )


def answer_words(found: Derivation) -> str:
    """Return what follows from a record: `fires, x = 17.3 >= x* = 14.9 (recorded 17.3)`."""
    if found.kind == "incidents":
        return (
            f"{found.answer}, mu = {number_words(found.x)}, g = {number_words(found.needed)} "
            f"(recorded mu = {number_words(found.recorded_x)})"
        )
    if found.kind == "verdict":
        return found.answer
    why = f" ({REFUSALS[found.refusal]})" if found.refusal else ""
    if found.x is None or found.needed is None:
        return f"{found.answer}{why}"
    star = "first evidence" if found.answer == "suspect" else "x*"
    sign = ">=" if found.x >= found.needed else "<"
    return (
        f"{found.answer}{why}, x = {number_words(found.x)} {sign} {star} = {number_words(found.needed)} "
        f"(recorded {number_words(found.recorded_x)})"
    )


def number_words(value: object, digits: int = 4) -> str:
    """Return a number as people read it."""
    if value is None:
        return "unbounded"
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return f"{value:.{digits}g}"
        except OverflowError:
            return f"{'-' * (value < 0)}a number of {len(str(abs(value)))} digits"
    return str(value)


def _clock(moment: str) -> str:
    return moment[11:16]
