"""The command lines that a person copies: one place, so that a page, `status` and `explain` say the same.

Each works as it stands: pasted into a shell, one of them decides the page. Names come from budgets and from traffic,
so they are quoted, and a name that no shell line can hold has no command.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from monitor.core.decision import AFTER_ROLLBACK

Lines = list[tuple[str, str]]
"""(what it does, the command line)."""

ID_DIGITS: Final = 12  # of a decision: enough for `explain`
MORE_TIME: Final = "5m"
# Control characters, and those that are invisible or turn the direction of what follows.
UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+"
)
_WHY: Final = "decided from the page"


def harmless(text: str) -> str:
    """Return a text without the unseen, which a terminal or a reader would obey; its lines stay lines."""
    return "\n".join(UNSEEN.sub(" ", line) for line in text.split("\n"))


def order(verb: str, release: str, answer: str | None = None, *options: str) -> str:
    """Return a command line about a release.

    Args:
        answer: What follows the release: `rollback` or `continue`.
        options: In front of it, unquoted.
    """
    words = ["rollback-budget", verb, *options]
    # A release may begin with a dash: after `--` nothing is an option.
    words += ["--"] if release.startswith("-") else []
    return shlex.join([*words, release, *([answer] if answer else [])])


def for_open_page(
    release: str,
    page_id: str,
    event_id: str,
    reason: str,
    *,
    is_seen: bool,
    has_deadline: bool,
    is_new: bool = True,
) -> Lines:
    """Return what can be typed about an open page.

    Args:
        event_id: Of the decision that explains it.
        is_seen: Somebody has acknowledged it.
        has_deadline: It runs out, and has not yet: there is time to be taken.
        is_new: Nothing else has happened to it: then why it was opened is a question.
    """
    if UNSEEN.search(release + page_id):
        return []
    page = ("--page", page_id)
    unseen = [] if is_seen else [seen(release, page_id)]
    if reason in AFTER_ROLLBACK:  # the rollback is decided: there is nothing to decide
        return [*unseen, *why(release, event_id), ("How it stands", order("status", release))]
    because = (*page, "--reason", _WHY)
    later = (
        "Five minutes more",
        order("extend", release, None, "--by", MORE_TIME, *page, "--reason", "looking"),
    )
    return [
        ("Roll back now", order("decide", release, "rollback", *because)),
        ("Go on with it", order("decide", release, "continue", *because)),
        *unseen,
        *([later] if has_deadline else []),
        *(why(release, event_id) if is_new else []),
    ]


def seen(release: str, page_id: str) -> tuple[str, str]:
    """Return how to say that somebody has seen a page."""
    return "I am on it", order("acknowledge", release, None, "--page", page_id)


def why(release: str, event_id: str) -> Lines:
    """Return how to see why a decision was made."""
    if UNSEEN.search(release):
        return []
    return [("Why", f"rollback-budget explain {shlex.quote(event_id[:ID_DIGITS])}")]
