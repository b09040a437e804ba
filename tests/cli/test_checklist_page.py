"""The checklist's page: whatever a budget, a server or a flag system says, it stays one row and one line."""

from __future__ import annotations

import re
from html import escape

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from monitor.cli.checklist_page import as_json, in_markdown, text_lines
from monitor.core.checklist import ASKED, checklist
from monitor.core.checklist_facts import Answered, Facts, Unseen
from monitor.engine.page_commands import UNSEEN
from monitor.engine.page_words import plain

HOSTILE = "x | y\n| ready | <img src=x> [a](http://evil) `rm` \x1b[31m \u202e **bold** \\"


def facts(said: str) -> Facts:
    gone, bad = Unseen(said, said), Answered(False, said)
    return Facts(said, None, gone, gone, bad, bad, gone, gone, gone, bad, bad, errors=[said])


def rendered(said: str) -> str:
    """The page as a tracker shows it, raw HTML and tables allowed."""
    page = in_markdown(facts(said), checklist(facts(said)))
    return str(MarkdownIt("commonmark").enable("table").render(page))


@given(st.text("|\\`*_<>[]()#&~!\n\r\x1b\u202e ab", max_size=20) | st.just(HOSTILE))
def test_nothing_from_outside_breaks_a_table_or_a_line(said: str) -> None:
    html = rendered(said)
    assert html.count("<table>") == len({one.group for one in ASKED.values()})
    assert html.count("<td") == 5 * len(ASKED)
    tags = set(re.findall(r"</?([a-z0-9]+)", html))
    assert tags <= {"h2", "h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code"}
    shown = "|".join(re.findall(r"<(?:td|h2)[^>]*>(.*?)</", html))
    assert escape(plain(said), quote=True) in shown
    lines = [line for line, _ in text_lines(facts(said), checklist(facts(said)))]
    assert not any(UNSEEN.search(line) for line in lines)


def test_machines_get_what_was_said_as_it_is() -> None:
    said = as_json(facts(HOSTILE), checklist(facts(HOSTILE)))
    assert said["budget"] == HOSTILE
    assert (said["ready"], said["release"]) == (False, None)
