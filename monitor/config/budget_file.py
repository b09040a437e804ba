"""A budget file, strictly loaded: all its problems in one report, or the budget that it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.budget_model import (
    MAX_OBJECTIVES,
    BudgetFile,
    DecisionSpec,
    EscalationSpec,
    FlagSpec,
    GroupSpec,
    TrafficSpec,
    VerifySpec,
)
from monitor.config.canonical import with_digest
from monitor.config.escalation import check_escalation, steps_of
from monitor.config.flag_check import check_flag, check_verify
from monitor.config.group import Group, objectives_of
from monitor.config.limits import LimitName, limit_name
from monitor.config.problem import BudgetInvalid, Problem, errors_of, in_order, shown
from monitor.config.source import BROKEN, Path, Source
from monitor.config.translate import message_of, place_of
from monitor.config.yaml_source import read_source
from monitor.core.budget import (
    Budget,
    FlagTarget,
    Mode,
    Objective,
    OnSilence,
    RollbackBy,
    TierAction,
    TrafficSplit,
    Verification,
)
from monitor.core.history import SLICES_MAX, slices_of
from monitor.core.wording import slice_words

__all__ = ["BudgetFile", "BudgetInvalid", "BudgetReport", "Problem", "check_budget", "load_budget"]

_GROUPS: Final = "rollback_budget"
_NESTED: Final[Mapping[str, type[BaseModel]]] = {
    "decision": DecisionSpec,
    "flag": FlagSpec,
    "traffic": TrafficSpec,
    "verify": VerifySpec,
}


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """What a file says: its budget, where it has no error, and every problem, warnings too, by place."""

    file: str
    budget: Budget | None
    problems: tuple[Problem, ...]


def load_budget(text: str | bytes, path: str, *, require_owner: bool = False) -> Budget:
    """Return the budget that a YAML or JSON text means.

    Args:
        path: Names the text in problems; one ending in `.json` must be JSON.
        require_owner: A missing `owner` or `on_call` is an error instead of a warning.
    Raises:
        BudgetInvalid: With every problem of the file; nothing else is raised, whatever the text.
    """
    report = check_budget(text, path, require_owner=require_owner)
    if report.budget is None:
        raise BudgetInvalid(report.problems)
    return report.budget


def check_budget(text: str | bytes, path: str, *, require_owner: bool = False) -> BudgetReport:
    """Return the budget that a text means together with everything that is to be said about it."""
    source = read_source(text, path)
    budget = None if source.data is BROKEN else _budget(source, require_owner=require_owner)
    return BudgetReport(path, None if errors_of(source.problems) else budget, in_order(source.problems))


def _budget(source: Source, *, require_owner: bool) -> Budget | None:
    """Return the budget, or None; the structure, the meaning and the owners are checked in any case."""
    source.refuse_empty()
    file, refused = _structure(source)
    kept = source.data if isinstance(source.data, dict) else {}
    _check_head(kept, source)
    check_flag(kept, source)
    objectives = _objectives(kept, refused, source)
    _check_page(kept, objectives, source)
    _check_mode(kept, objectives, source)
    check_verify(kept, source)
    check_escalation(kept, refused, source)
    _check_slices(objectives, source)
    _check_owners(source, require_owner=require_owner)
    if file is None or errors_of(source.problems):
        return None
    return with_digest(_assembled(file, objectives))


def _structure(source: Source) -> tuple[BudgetFile | None, frozenset[Path]]:
    """Report what does not fit the models, and leave in `source.data` only what does.

    Returns:
        The file where it fits as a whole, and the places of what was refused.
    """
    try:
        return BudgetFile.model_validate(source.data), frozenset()
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
    for error in errors:
        _report(error, source)
    refused = frozenset(map(place_of, errors))
    kept = deepcopy(source.data, {id(BROKEN): BROKEN})
    groups_named_badly = {place_of(error) for error in errors if error["loc"][-1:] == ("[key]",)}
    for path in sorted(refused, key=_positions, reverse=True):
        if not (
            len(path) == 2 and path in groups_named_badly
        ):  # what such a group holds is checked all the same
            _prune(kept, path)
    source.data = kept
    return None, refused


def _positions(path: Path) -> tuple[int, ...]:
    """Return the list positions of a place: later items are pruned first, so that the others keep theirs."""
    return tuple(step for step in path if isinstance(step, int))


def _report(error: ErrorDetails, source: Source) -> None:
    path = place_of(error)
    if error["input"] is BROKEN or _is_unknown_in_group(path):
        return  # reported already, or as an unknown key by the group's own check
    if path == () and error["type"].startswith("model_"):
        source.error(path, "a budget is a mapping; it begins with release, baseline and window")
        return
    if len(path) == 2 and path[0] == _GROUPS and error["type"].startswith("model_"):
        message = f"got {shown(error['input'])}; a group is a mapping of limits and the keys that they share"
        source.error(path, message)
        return
    mark = source.keys.get(path) if error["type"] == "extra_forbidden" else None
    source.error(path, message_of(error, _model_of(path)), mark=mark)


def _is_unknown_in_group(path: Path) -> bool:
    if len(path) != 3 or path[0] != _GROUPS or path[2] in GroupSpec.model_fields:
        return False
    return not isinstance(limit_name(str(path[2])), LimitName)


def _model_of(path: Path) -> type[BaseModel] | None:
    """Return the model that the last key of a path belongs to."""
    match path:
        case (str(),):
            return BudgetFile
        case ("rollback_budget", str(), str()):
            return GroupSpec
        case (str(parent), str()) if parent in _NESTED:
            return _NESTED[parent]
        case ("escalation", int(), str()):
            return EscalationSpec
    return None


def _prune(data: Any, path: Path) -> None:
    """Remove the node at a path, where there is one."""
    for step in path[:-1]:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return  # a parent is gone already
    if isinstance(data, dict) and path:
        data.pop(path[-1], None)
    elif isinstance(data, list) and path and isinstance(path[-1], int) and path[-1] < len(data):
        del data[path[-1]]


def _check_head(kept: Mapping[str, Any], source: Source) -> None:
    """Check what the keys of a budget say about each other."""
    release, baseline = kept.get("release"), kept.get("baseline")
    if release is not None and release == baseline:
        message = f'"{release}" is the release itself; name the release that served before it'
        source.error(("baseline",), message)
    flag = kept.get("flag")
    if isinstance(flag, dict) and (served := flag.get("baseline_variation")) is not None:
        if served == flag.get("candidate_variation"):
            message = f'"{served}" is the baseline\'s variation too: turning the flag would change nothing'
            source.error(("flag", "candidate_variation"), message)


def _check_owners(source: Source, *, require_owner: bool) -> None:
    given = source.keys
    for key, whom in (("owner", "answers for this budget"), ("on_call", "a page reaches")):
        if (key,) in given or not isinstance(source.data, dict):
            continue
        message = f"missing; say who {whom}" if key == "owner" else f"missing; say whom {whom}"
        (source.error if require_owner else source.warning)((key,), message)


def _objectives(kept: Mapping[str, Any], refused: frozenset[Path], source: Source) -> tuple[Objective, ...]:
    """Return the objectives of all groups in the order of their ids, so that the order in the file means nothing."""
    groups = kept.get(_GROUPS)
    if not isinstance(groups, dict):
        return ()
    if not groups and not _keys_of_groups(source) and not any(path[:1] == (_GROUPS,) for path in refused):
        source.error((_GROUPS,), "a budget without any objective; add a group with a limit")
    window_min, given = _window_of(kept), _keys_of_groups(source)
    found = [
        objective
        for name, spec in _specs(groups)
        for objective in objectives_of(
            Group(name, spec, given.get(name, frozenset()), refused, window_min, source)
        )
    ]
    if len(found) > MAX_OBJECTIVES:
        message = f"{len(found)} objectives are too many to decide within a day; use at most {MAX_OBJECTIVES}"
        source.error((_GROUPS,), message)
    return tuple(sorted(found, key=lambda objective: objective.objective_id))


def _keys_of_groups(source: Source) -> dict[str, set[str]]:
    """Return the keys that each group has in the file, the refused ones too."""
    given: dict[str, set[str]] = {}
    for path in source.keys:
        if len(path) == 3 and path[0] == _GROUPS:
            given.setdefault(str(path[1]), set()).add(str(path[2]))
    return given


def _window_of(kept: Mapping[str, Any]) -> int | None:
    head = {**kept, _GROUPS: {}, "release": "a", "baseline": "b"}
    try:
        return BudgetFile.model_validate(head).window
    except ValidationError:
        return None


def _specs(groups: Mapping[str, Any]) -> Iterator[tuple[str, GroupSpec]]:
    for name, kept in groups.items():
        try:
            yield name, GroupSpec.model_validate(kept)
        except ValidationError:
            continue  # not a mapping: the report has it


def _check_page(kept: Mapping[str, Any], objectives: tuple[Objective, ...], source: Source) -> None:
    decision = kept.get("decision")
    pages = isinstance(decision, dict) and decision.get("tier_a_breach") == TierAction.PAGE.value
    if pages and any(objective.immediate for objective in objectives):
        message = (
            "page holds for action: immediate_rollback too: the first incident pages and does not roll back"
        )
        source.warning(("decision", "tier_a_breach"), message)


def _check_mode(kept: Mapping[str, Any], objectives: tuple[Objective, ...], source: Source) -> None:
    """Say loudly that a mode holds for safety too, and that it leaves what silence means without a meaning."""
    mode = kept.get("mode", Mode.AUTO.value)
    said = {
        Mode.OBSERVE.value: "an incident neither rolls back nor pages, it is recorded only",
        Mode.PAGE.value: "an incident pages and does not roll back",
    }.get(mode)
    if said is not None and any(not objective.is_guarded for objective in objectives):
        source.warning(("mode",), f"{mode} holds for safety too: {said}")
    if mode == Mode.PAGE.value and kept.get("on_commander_silence") == OnSilence.ROLLBACK.value:
        message = (
            "rollback has no meaning with mode: page, where silence holds the release as it is; use hold"
        )
        source.warning(("on_commander_silence",), message)


def _check_slices(objectives: tuple[Objective, ...], source: Source) -> None:
    """Say which slices are too many to have a past, rather than leave it to the day when the baseline is gone."""
    beyond = slices_of(objectives)[SLICES_MAX:]
    if beyond:
        lost = ",".join(map(slice_words, beyond))
        message = (
            f"the past of {SLICES_MAX} slices is kept, those of tier A first, and at full traffic nothing is known"
            f"{lost}; use baseline_mode: concurrent for slices that can do without"
        )
        source.warning((_GROUPS,), message)


def _assembled(file: BudgetFile, objectives: tuple[Objective, ...]) -> Budget:
    return Budget(
        release=file.release,
        baseline=file.baseline,
        digest="",
        window_min=file.window,
        objectives=objectives,
        tier_a=TierAction(file.decision.tier_a_breach),
        decide_within_min=file.decision.tier_b_breach,
        on_silence=OnSilence(file.on_commander_silence),
        name=file.name,
        owner=file.owner,
        on_call=file.on_call,
        flag=_flag(file.flag) if file.flag else None,
        strata=tuple(sorted(set(file.strata))),
        exemplars=file.exemplars,
        follow_ups=tuple(file.follow_ups),
        traffic=TrafficSplit(**file.traffic.model_dump()) if file.traffic else None,
        verify=Verification(file.verify.share_pct, file.verify.within),
        max_extension_min=file.decision.max_extension,
        escalation=steps_of(file),
        mode=Mode(file.mode),
    )


def _flag(spec: FlagSpec) -> FlagTarget:
    return FlagTarget(
        actuator=spec.actuator,
        key=spec.key,
        baseline_variation=spec.baseline_variation,
        candidate_variation=spec.candidate_variation,
        scope=spec.scope,
        rollback_by=RollbackBy(spec.rollback_by),
    )
