"""Budget files as people could write them: hypothesis draws the meaning, and writers give it a form."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

Tree = dict[str, Any]

_NAME = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789_- éß", min_size=1, max_size=12).filter(
    lambda name: name == name.strip()
)
_VALUE = st.text("abcXYZ019 :=#'\"\\{}[]!&*%@,-_.~é漢", min_size=1, max_size=20)
_UP_RATES = (
    "parse_failures",
    "refusal",
    "abstention",
    "human_handoff",
    "user_retry",
    "fallback",
    "error",
    "timeout",
)
_DOWN_RATES = ("task_success", "citation_validity", "tool_success")
_OTHERS = ("p50", "p90", "p95", "p99", "retrieval_p95", "tool_p99", "cost_per_request", "tokens_per_request")
_SIZES = st.one_of(st.integers(1, 99), st.floats(0.001, 99.9).map(lambda size: round(size, 3)))


def _up(keys: tuple[str, ...]) -> st.SearchStrategy[Tree]:
    return st.dictionaries(st.sampled_from(keys), _SIZES, max_size=3)


@st.composite
def guarded_groups(draw: st.DrawFn, window_min: int) -> Tree:
    """A group of limits that the sustained rule judges."""
    limits = draw(_up(tuple(f"{rate}_delta_{unit}" for rate in _UP_RATES for unit in ("pct", "pp"))))
    limits |= draw(_up(tuple(f"{other}_delta_pct" for other in _OTHERS)))
    downs = draw(_up(tuple(f"{rate}_delta_pct" for rate in _DOWN_RATES)))
    limits |= {key: -size for key, size in downs.items()}
    if draw(st.booleans()) or not limits:
        limits["outcome.grounded_delta_pp"] = draw(_SIZES) * draw(st.sampled_from((1, -1)))
    hold = draw(st.one_of(st.just(0), st.integers(4, min(window_min, 1440))))
    return {**limits, "max_duration_min": hold, **draw(_shared(window_min - max(hold, 1)))}


@st.composite
def _shared(draw: st.DrawFn, waits_min: int) -> Tree:
    critical = draw(st.booleans())
    named = _VALUE.filter(lambda text: text != "*")  # `tenant=*` is refused: it names no one value
    value = draw(named)
    shared: Tree = {"cohorts": [f"tenant={value}", "workflow"], "scope": "cohort"} if critical else {}
    optional = {
        "tier": st.sampled_from("AB"),
        "where": st.dictionaries(st.sampled_from(("task", "language")), named, max_size=2),
        "accounting": st.sampled_from(("sustained", "cumulative")),
        "evidence": st.sampled_from(("default", "strict", "off")),
        "min_samples": st.integers(0, 10_000),
        "label_delay": st.sampled_from(("0m", "90m", "2h") if waits_min >= 120 else ("0m",)),
        "on_no_data": st.sampled_from(("hold", "page", "rollback")),
        "baseline_mode": st.sampled_from(("auto", "concurrent", "frozen")),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(optional))))
    return shared | {key: draw(optional[key]) for key in sorted(chosen)}


@st.composite
def budgets(draw: st.DrawFn) -> Tree:
    """A whole budget file as a tree; every one is valid."""
    window = draw(st.integers(10, 14 * 1440))
    groups = draw(st.dictionaries(_NAME, guarded_groups(window), min_size=1, max_size=3))
    if draw(st.booleans()):
        safety: Tree = {"high_severity_incidents_increase": draw(st.integers(0, 5))}
        groups["safety!"] = safety | draw(
            st.sampled_from(({"action": "immediate_rollback", "literal": True}, {"max_duration_min": 0}))
        )
    release = draw(_VALUE)
    tree: Tree = {
        "release": release,
        "baseline": f"{release}'",
        "window": f"{window}m",
        "rollback_budget": groups,
    }
    optional = {
        "name": _VALUE,
        "owner": _VALUE,
        "on_call": _VALUE,
        "exemplars": st.integers(0, 50),
        "on_commander_silence": st.sampled_from(("rollback", "hold")),
        "strata": st.lists(st.sampled_from(("workflow", "language")), max_size=2, unique=True),
        "follow_ups": st.lists(_VALUE, max_size=3),
        "traffic": st.fixed_dictionaries(
            {"candidate_share_pct": st.sampled_from((1, 10, 33.5, 99))},
            optional={"tolerance_pct": st.sampled_from((0, 2.5, 5))},
        ),
        "verify": st.fixed_dictionaries(
            {},
            optional={
                "share_pct": st.sampled_from((0, 0.1, 2)),
                "within": st.sampled_from(("2m", "5m", "1h")),
            },
        ),
        "decision": st.fixed_dictionaries(
            {},
            optional={
                "tier_a_breach": st.sampled_from(("auto_rollback", "page")),
                "tier_b_breach": st.integers(1, 1440).map("incident_commander_decision_within_{}m".format),
                "max_extension": st.sampled_from((0, "10m", "24h")),
            },
        ),
        "escalation": st.sampled_from(
            (
                [],
                [{"after": "5m", "pagers": ["slack"]}],
                [{"after": "1m", "on_call": "ada"}, {"after": "1h", "pagers": ["webhook"], "on_call": "b"}],
            )
        ),
        "flag": st.just(
            {"actuator": "flagd", "key": "chat", "baseline_variation": "a", "candidate_variation": "b"}
        ),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(optional))))
    return tree | {key: draw(optional[key]) for key in sorted(chosen)}


@st.composite
def yaml_forms(draw: st.DrawFn, tree: Tree) -> str:
    """A YAML text of a tree: keys in any order, comments, empty lines, numbers in any form."""
    lines: list[str] = []
    _write(draw, tree, "", lines)
    return "\n".join(lines) + "\n"


def _write(draw: st.DrawFn, tree: Tree, indent: str, lines: list[str]) -> None:
    for key in draw(st.permutations(sorted(tree))):
        value = tree[key]
        lines.extend(draw(st.sampled_from(((), ("",), ("# a comment",), (f"{indent}# release: no",)))))
        name = json.dumps(key, ensure_ascii=False)
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{name}:")
            _write(draw, value, indent + draw(st.sampled_from(("  ", "    "))), lines)
        else:
            lines.append(f"{indent}{name}: {_scalar(draw, value)}{draw(st.sampled_from(('', '  # why')))}")


def _scalar(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value, ensure_ascii=False)
    forms = [repr(value)]
    if value >= 0:
        forms.append(f"+{value!r}")
    if isinstance(value, float):
        forms.append(f"{value:.3f}")
    return draw(st.sampled_from(forms))
