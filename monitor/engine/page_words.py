"""What a person reads who is woken at night: the one place where a page becomes words.

Every pager shows the same words and differs only in how it sets them. The commands work as they stand: copied
from the page into a shell, one of them decides it. Names come from budgets and from traffic, so they are made
harmless here: one line, no control characters, no invisible ones that turn text round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from monitor.core.decision import EVERY_RELEASE
from monitor.core.ladder import mode_words
from monitor.core.moment import moment_ms
from monitor.engine.page_commands import UNSEEN, Lines, for_open_page, order, seen, why
from monitor.engine.ports import About, PageNotice

TITLE_MAX: Final = 200
LINE_MAX: Final = 900
_SHOWN_TRACES: Final = 3
_UNITS: Final = {"pct": " %", "pp": " points", "increase": " incidents"}


class Severity(StrEnum):
    """How loud a page is; the words of PagerDuty's and Prometheus' users alike."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class PageWords:
    """A page in words; every text is one line.

    Attributes:
        title: What a lock screen shows, at most `TITLE_MAX` characters.
        facts: (question, answer), in the order a person asks.
        commands: (what it does, the command line as it can be pasted).
        link: Where to look, if the settings name a place.
    """

    title: str
    severity: Severity
    facts: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    link: str | None

    def text(self) -> str:
        """Return all of it but the title as plain text, a line per fact and per command."""
        lines = [f"{question}: {answer}" for question, answer in self.facts]
        lines += [f"{what}: {command}" for what, command in self.commands]
        return "\n".join(lines + ([f"Look: {self.link}"] if self.link else []))


Words = Callable[[PageNotice], PageWords]


def page_words(notice: PageNotice, link: str | None = None) -> PageWords:
    """Return what a person is told.

    Args:
        link: A URL in which `{release}` and `{page_id}` stand for the page's, escaped.
    """
    return PageWords(
        title=plain(f"{_head(notice)}: {notice.text}", TITLE_MAX),
        severity=severity_of(notice),
        facts=tuple((question, plain(answer)) for question, answer in _facts(notice) if answer),
        commands=tuple(_commands(notice)),
        link=None if link is None else _link(link, notice),
    )


def plain(text: str, most: int = LINE_MAX) -> str:
    """Return a text as one line without unseen characters, cut at `most` characters."""
    line = " ".join(UNSEEN.sub(" ", text).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def facts_of(notice: PageNotice) -> Mapping[str, Any]:
    """Return the numbers of the page: its opening's, where the event itself is only a change of it."""
    return notice.opened or notice.event


def asked(data: Mapping[str, Any]) -> dict[str, str]:
    """Return what a page's opening says of those it is about, for a view that shows its clock by itself.

    Returns:
        `whom`, `began`, `sure`, and `at_deadline`; empty where the page does not say it.
    """
    silent = "" if data.get("deadline") is None else _silent(data)
    said = {"whom": _whom(data), "began": _since(data), "sure": _sure(data), "at_deadline": silent}
    return {name: plain(text) for name, text in said.items()}


def severity_of(notice: PageNotice) -> Severity:
    """Return how loud the page is; it stays the same from its opening to its end."""
    if notice.about in (About.NOT_APPLIED, About.NOT_PROVEN, About.NOT_HELPED):
        return Severity.CRITICAL
    if notice.about is About.BLIND:
        return Severity.ERROR
    if notice.about is About.ROLLED_BACK:
        return Severity.WARNING
    return {"A": Severity.CRITICAL, "B": Severity.ERROR}.get(
        str(facts_of(notice).get("tier")), Severity.WARNING
    )


def _head(notice: PageNotice) -> str:
    release = "the monitor" if notice.release == EVERY_RELEASE else notice.release
    if notice.state == "resolved":
        return f"Resolved, {release}"
    if notice.state == "acknowledged":
        return f"Seen by {notice.event.get('author', 'somebody')}, {release}"
    if notice.state == "expired":
        return f"Nobody decided about {release}"
    if notice.state == "reminded":
        return f"Half of the time is over, {release}"
    if notice.state == "escalated":
        what = {
            About.NOT_APPLIED: f"rollback of {release} NOT APPLIED",
            About.BLIND: f"nobody watches {release}",
        }.get(notice.about, release)
        return f"Escalated{_to(notice)}, {what}"
    if notice.state == "extended":
        return f"{notice.event.get('author', 'Somebody')} takes more time, {release}"
    if notice.about is About.NOT_APPLIED:
        return f"Rollback of {release} NOT APPLIED"
    if notice.about is About.NOT_PROVEN:
        return f"Rollback of {release} NOT PROVEN"
    if notice.about is About.NOT_HELPED:
        return f"Rollback of {release} DID NOT HELP"
    if notice.about is About.ROLLED_BACK:
        return f"Rolled back {release}"
    if notice.about is About.BLIND:
        return "Nobody watches"
    by = _minute(notice.deadline_ms)
    return f"Decide by {by} about {release}" if by else f"Look at {release}"


def _to(notice: PageNotice) -> str:
    on_call = notice.event.get("on_call")
    return f" to {on_call}" if on_call else ""


def _facts(notice: PageNotice) -> list[tuple[str, str]]:
    data = facts_of(notice)
    facts = [("What", notice.text)]
    if notice.opened and data.get("summary") not in (None, notice.text):
        facts.append(("The page was", str(data["summary"])))
    if notice.release != EVERY_RELEASE:
        facts.append(("Release", f"{notice.release} against {data.get('baseline', 'its baseline')}"))
    if notice.about is not About.BLIND:
        facts.append(("For whom", _whom(data)))
    elif isinstance(data.get("releases"), list):
        facts.append(("Not watched", ", ".join(map(str, data["releases"]))))
    facts += [("Since", _since(data)), ("How sure", _sure(data))]
    if notice.state == "escalated":
        facts.append(("Called", str(notice.event.get("on_call") or "")))
    if notice.state in ("opened", "acknowledged", "reminded", "escalated", "extended"):
        facts.append(("At the deadline", _silence(notice, data)))
    facts.append(("Mode", mode_words(data) or ""))
    traces = data.get("exemplars")
    if isinstance(traces, list) and traces:
        facts.append(("Examples", ", ".join(map(str, traces[:_SHOWN_TRACES]))))
    return [*facts, ("Page", notice.page_id)]


def _whom(data: Mapping[str, Any]) -> str:
    cohort = data.get("cohort")
    if not isinstance(cohort, Mapping) or not cohort:
        return "everybody"
    who = ", ".join(f"{name}={value}" for name, value in cohort.items())
    share = data.get("cohort_share")
    return f"{who} ({share * 100:.1f} % of the candidate's traffic)" if isinstance(share, float) else who


def _since(data: Mapping[str, Any]) -> str:
    since = _minute(_ms(data.get("breach_started_at") or data.get("since")))
    held = data.get("held_min")
    return f"{since}, {held} min by then" if since and held else since


def _sure(data: Mapping[str, Any]) -> str:
    seen, samples = data.get("observed"), data.get("samples")
    parts = []
    if isinstance(seen, Mapping) and seen.get("lower") is not None and seen.get("upper") is not None:
        unit = _UNITS.get(str(seen.get("unit")), "")
        confidence = float(seen.get("confidence") or 0) * 100
        parts.append(
            f"{confidence:.0f} % sure that the difference lies between "
            f"{seen['lower']:+.1f}{unit} and {seen['upper']:+.1f}{unit}"
        )
    if isinstance(samples, Mapping):
        parts.append(
            f"{samples.get('candidate', 0):,} requests against the baseline's {samples.get('baseline', 0):,}"
        )
    return "; ".join(parts)


def _silence(notice: PageNotice, data: Mapping[str, Any]) -> str:
    if notice.about is not About.PAGE:
        return ""
    by = _minute(notice.deadline_ms)
    if not by:
        return "there is none: this page never acts by itself"
    return f"{by} (later if this page came later): {_silent(data)}"


def _silent(data: Mapping[str, Any]) -> str:
    return {
        "rollback": f"without an answer the release rolls back to {data.get('baseline', 'its baseline')}",
        "hold": "without an answer the release is held as it is",
    }.get(str(data.get("on_silence")), "without an answer the budget's `on_commander_silence` decides")


def _commands(notice: PageNotice) -> Lines:
    """Return what can be typed. A name that no shell line can hold has no command."""
    if UNSEEN.search(notice.release + notice.page_id):
        return []
    reasons = why(notice.release, notice.event_id)
    stands = ("How it stands", "rollback-budget status")
    if notice.about is About.NOT_APPLIED and notice.state in ("opened", "escalated"):
        return [seen(notice.release, notice.page_id), stands]
    if notice.about is About.BLIND and notice.state in ("opened", "escalated"):
        return [*_seen_blindness(notice), stands]
    if notice.about in (About.BLIND, About.NOT_APPLIED):
        return [stands]
    if notice.about is About.ROLLED_BACK:
        return [*reasons, ("When it is mended", order("arm", notice.release, None, "--reason", "mended"))]
    if notice.state == "resolved":
        return [("How it stands", order("status", notice.release))]
    return for_open_page(
        notice.release,
        notice.page_id,
        notice.event_id,
        str(facts_of(notice).get("reason")),
        is_seen=notice.state == "acknowledged",
        has_deadline=notice.deadline_ms is not None and notice.state != "expired",
        is_new=notice.state == "opened",
    )


def _seen_blindness(notice: PageNotice) -> Lines:
    """Return how to say that somebody has seen it, by any release it concerns; the watcher's own page names none."""
    releases = facts_of(notice).get("releases")
    named = [str(one) for one in releases] if isinstance(releases, list) else []
    shown = next((one for one in named if not UNSEEN.search(one)), None)
    return [] if shown is None else [seen(shown, notice.page_id)]


def _link(template: str, notice: PageNotice) -> str:
    return template.replace("{release}", quote(notice.release, safe="")).replace(
        "{page_id}", quote(notice.page_id, safe="")
    )


def _ms(moment: object) -> int | None:
    try:
        return moment_ms(moment) if isinstance(moment, str) else None
    except ValueError:
        return None


def _minute(at_ms: int | None) -> str:
    return "" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
