"""What an objective came to, in a sentence: the verdict, and why it is not healthy where that needs to be said."""

from __future__ import annotations

from monitor.core.watch import HEALTHY_NATS, Watch
from monitor.core.wording import indicator_words, slice_words, unit_words


def verdict_words(watch: Watch, now: int) -> str:
    """Return `cost per request: inconclusive, because …`; of any other verdict the evidence says why."""
    verdict = watch.verdict(now)
    why = _why_inconclusive(watch, now) if verdict == "inconclusive" else ""
    return f"{indicator_words(watch.objective)}{slice_words(watch.view)}: {verdict}{why}"


def _why_inconclusive(watch: Watch, now: int) -> str:
    if watch.is_overspent:
        return (
            f", because it was evidently beyond its limit for {watch.spend.minutes} min in all, "
            f"more than the {watch.objective.hold_min} granted"
        )
    if not watch.has_samples:
        return f", because an arm has fewer than the {watch.rule.min_samples:,} requests that the budget asks for"
    shown = [watch.gauge_within(gauge, now) for gauge in watch.gauges]
    if len(shown) == 1 or shown[0] is None or min(shown[0]) < HEALTHY_NATS:
        return ""
    delta, unit = watch.observe_all(now).delta, unit_words(watch.objective.unit)
    told = "" if delta is None else f" ({delta:+.1f} {unit})"
    return f", because only up to the baseline's p99 it is evidently within its limit, not with what lies above{told}"
