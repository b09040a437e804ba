"""One group of a budget file becomes its objectives; every impossible combination is reported with its place."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import count
from typing import Final

from monitor.config.budget_model import GroupSpec
from monitor.config.duration import in_words
from monitor.config.limits import LimitName, direction, limit_name, stage_remark, value_complaint
from monitor.config.source import Path, Source
from monitor.core.budget import Accounting, BaselineMode, EvidenceMode, Objective, OnNoData, Scope, Tier
from monitor.core.cohort import EVERY, CohortKey, cohort_key
from monitor.core.indicator import Indicator, IndicatorKind

_TIER_A: Final = frozenset({"high_severity_incidents", "task_success"})


@dataclass(frozen=True, slots=True)
class Group:
    """A group with all that its checks look at.

    Attributes:
        given: The keys the file has, also the refused ones: what is there is not missing.
        refused: The places of refused values; the report has them already, and `spec` leaves them out.
        window_min: None where the file's window is missing or refused.
    """

    name: str
    spec: GroupSpec
    given: AbstractSet[str]
    refused: AbstractSet[Path]
    window_min: int | None
    source: Source

    def path(self, *steps: str | int) -> Path:
        """Return the path of a key of this group."""
        return ("rollback_budget", self.name, *steps)

    @property
    def immediate(self) -> bool:
        """Tell whether the group acts on the incident itself."""
        return self.spec.action is not None


def objectives_of(group: Group) -> tuple[Objective, ...]:
    """Return the group's objectives, those that can be built; problems go into the group's source."""
    names = {key: name for key in group.given if (name := _named(group, key))}
    if not names and not group.given - set(GroupSpec.model_fields):
        group.source.error(
            group.path(), "a group without any limit; add one, such as task_success_delta_pct: -2"
        )
    _check_hold(group, names)
    _check_label_delay(group, names)
    _check_incident_keys(group, names)
    _check_cohorts(group)
    _warn_unevaluated(group, names)
    return tuple(
        _objective(group, key, name, group.spec.limits[key])
        for key, name in names.items()
        if key in group.spec.limits and _accepted(group, key, name, group.spec.limits[key])
    )


def _named(group: Group, key: str) -> LimitName | None:
    """Return what a limit's key says; None for the group's other keys and, with a complaint, for unknown ones."""
    if key in GroupSpec.model_fields:
        return None
    name = limit_name(key)
    if isinstance(name, LimitName):
        return name
    group.source.error(group.path(key), name, mark=group.source.keys.get(group.path(key)))
    return None


def _accepted(group: Group, key: str, name: LimitName, value: float) -> bool:
    if complaint := value_complaint(name, value):
        group.source.error(group.path(key), complaint)
        return False
    if remark := stage_remark(name.indicator):
        group.source.warning(group.path(key), remark)
    return True


def _check_hold(group: Group, names: dict[str, LimitName]) -> None:
    hold, window = group.spec.max_duration_min, group.window_min
    if hold is not None and window is not None and hold > window:
        message = f"{hold} minutes are longer than the window of {in_words(window)}; use at most {window}"
        group.source.error(group.path("max_duration_min"), message)
    if group.immediate:
        if hold:
            message = (
                f"{hold} contradicts action: immediate_rollback, which acts at once; remove one of the two"
            )
            group.source.error(group.path("max_duration_min"), message)
    elif names and "max_duration_min" not in group.given and "action" not in group.given:
        hint = "; or action: immediate_rollback" if _only_incidents(names) else ""
        message = f"max_duration_min is missing; add the minutes a breach must last: 0 (at once) or 4 and more{hint}"
        group.source.error(group.path(), message)
    if hold and not group.immediate and any(not _guarded(name) for name in names.values()):
        message = f"incidents are judged as they come: the {hold} minutes do not delay them"
        group.source.warning(group.path("max_duration_min"), message)


def _check_label_delay(group: Group, names: dict[str, LimitName]) -> None:
    """Check that something is left of the window once labels have been waited for, or the limit never acts."""
    hold, delay, window = max(group.spec.max_duration_min or 0, 1), group.spec.label_delay, group.window_min
    if not delay or window is None or hold > window or not any(_guarded(name) for name in names.values()):
        return
    if hold + delay > window:
        message = (
            f"labels that are waited for {in_words(delay)} leave too little of the window of {in_words(window)} "
            f"for {hold} min; use at most {in_words(window - hold)}, or a longer window"
        )
        group.source.error(group.path("label_delay"), message)


def _check_incident_keys(group: Group, names: dict[str, LimitName]) -> None:
    """Check what only incidents may have: acting at once, literally, and through an override."""
    others = ", ".join(sorted(key for key, name in names.items() if _guarded(name)))
    spec = group.spec
    for key, is_set in (
        ("action", group.immediate),
        ("literal", spec.literal),
        ("ignores_override", spec.ignores_override),
    ):
        if is_set and others:
            message = (
                f"only high_severity_incidents_increase may have it; move {others} to a group of its own"
            )
            group.source.error(group.path(key), message)
    if spec.tier == "B" and (group.immediate or spec.literal):
        key = "action: immediate_rollback" if group.immediate else "literal: true"
        message = f"tier B asks the commander first, which contradicts {key}; remove one of the two"
        group.source.error(group.path("tier"), message)


def _check_cohorts(group: Group) -> None:
    seen: set[str] = set()
    positions = (at for at in count() if group.path("cohorts", at) not in group.refused)
    for position, entry in zip(positions, group.spec.cohorts, strict=False):
        dimension, _, value = entry.partition("=")
        if value == EVERY:
            message = f'"{entry}" names one value; to watch every value of {dimension}, write {dimension}'
            group.source.error(group.path("cohorts", position), message)
        elif entry in seen:
            group.source.error(group.path("cohorts", position), f'"{entry}" is listed twice; remove one')
        elif dimension in group.spec.where:
            message = f"where already fixes {dimension} to one value; remove one of the two"
            group.source.error(group.path("cohorts", position), message)
        seen.add(entry)
    for dimension, value in group.spec.where.items():
        if value == EVERY:
            message = f'"{EVERY}" is no value; name the one to look at, or watch every value: cohorts: [{dimension}]'
            group.source.error(group.path("where", dimension), message)
    if group.spec.scope == "cohort" and not _critical(group) and not _refused_below(group, "cohorts"):
        message = "cohort needs a critical cohort to take back; add cohorts: [dimension=value]"
        group.source.error(group.path("scope"), message)


def _refused_below(group: Group, key: str) -> bool:
    return any(path[:3] == group.path(key) for path in group.refused)


def _critical(group: Group) -> set[str]:
    return {entry for entry in group.spec.cohorts if "=" in entry}


def _warn_unevaluated(group: Group, names: dict[str, LimitName]) -> None:
    """Say loudly what is accepted but does nothing, so that nobody relies on it."""
    spec, watched = group.spec, [entry for entry in group.spec.cohorts if "=" not in entry]
    if watched and any(not _guarded(name) for name in names.values()):
        message = (
            f"incidents are judged as a whole: watched dimensions ({', '.join(watched)}) change nothing there"
        )
        group.source.warning(group.path("cohorts"), message)
    if watched and spec.baseline_mode == "frozen":
        message = (
            f"discovered cohorts ({', '.join(watched)}) have no past on record: they are compared with the baseline's "
            "traffic of the same minutes; name critical ones as dimension=value"
        )
        group.source.warning(group.path("baseline_mode"), message)
    if spec.evidence == "off":
        message = (
            "off is meant for tests: chance alone will break the limit; use default or strict on live traffic"
        )
        group.source.warning(group.path("evidence"), message)


def _guarded(name: LimitName) -> bool:
    return name.indicator.kind is not IndicatorKind.INCIDENTS


def _only_incidents(names: dict[str, LimitName]) -> bool:
    return not any(_guarded(name) for name in names.values())


def _cohort(entry: str) -> CohortKey:
    dimension, _, value = entry.partition("=")
    return cohort_key({dimension: value})


def tier_of(meant: Indicator) -> Tier:
    """Return the tier of an indicator where the budget names none."""
    return Tier.A if meant.name in _TIER_A else Tier.B


def _objective(group: Group, key: str, name: LimitName, value: float) -> Objective:
    spec = group.spec
    return Objective(
        objective_id=f"{group.name}.{key}",
        indicator=name.indicator,
        worse=direction(name.indicator, value),
        limit=value,
        unit=name.unit,
        hold_min=spec.max_duration_min or 0,
        tier=Tier(spec.tier) if spec.tier else tier_of(name.indicator),
        immediate=group.immediate,
        where=cohort_key(spec.where),
        critical_cohorts=tuple(sorted(_cohort(entry) for entry in _critical(group))),
        watched_dimensions=tuple(sorted(entry for entry in spec.cohorts if "=" not in entry)),
        scope=Scope(spec.scope),
        accounting=Accounting(spec.accounting),
        evidence=EvidenceMode(spec.evidence),
        min_samples=spec.min_samples,
        label_delay_min=spec.label_delay,
        on_no_data=OnNoData(spec.on_no_data),
        baseline_mode=BaselineMode(spec.baseline_mode),
        literal=spec.literal,
        ignores_override=spec.ignores_override,
    )
