"""The commander's console, as far as it can be told without a browser: files, policy, labels, contrast."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from monitor.console.web import console_files

FILES = console_files()
HTML = FILES["/console"].body.decode()
CSS = FILES["/console/console.css"].body.decode()
SCRIPTS = {path: file.body.decode() for path, file in FILES.items() if path.endswith(".js")}
ALL_SCRIPTS = "\n".join(SCRIPTS.values())
VOID = {"meta", "link", "input"}


class Page(HTMLParser):
    """The elements of the page, each with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(HTML)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, name: str) -> list[str]:
        return [str(given[name]) for _, given in self.elements if name in given]


PAGE = Page()


def test_every_file_is_asked_for_and_nothing_else_is() -> None:
    named = {f"/{one}" for one in (*PAGE.all("src"), *PAGE.all("href")) if re.fullmatch(r"[\w/.]+", one)}
    imported = {f"/console/{name}" for name in re.findall(r'from "\./([\w.]+)"', ALL_SCRIPTS)}
    assert {"/console", *named, *imported} == set(FILES)
    assert not re.search(r"https?://|//cdn|@import|url\(", HTML + CSS + ALL_SCRIPTS)


def test_no_answer_may_be_kept_framed_or_run_anything_else() -> None:
    for file in FILES.values():
        policy = file.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert file.headers["cache-control"] == "no-store"
        assert file.headers["x-content-type-options"] == "nosniff"


def test_a_name_from_the_traffic_can_only_be_a_text() -> None:
    sinks = r"(inner|outer|Adjacent)HTML|document\.write|eval\(|Function\(|DOMParser|srcdoc|\.(href|src)\b"
    assert not re.search(sinks, ALL_SCRIPTS)
    assert not [
        name for _, given in PAGE.elements for name in given if name.startswith("on") or name == "style"
    ]
    assert HTML.count("<script") == 1
    assert "<style" not in HTML


def test_no_cookie_is_set_and_the_token_stays_in_the_tab() -> None:
    assert not re.search(r"\bcookie\b\s*[=.]|localStorage|indexedDB", re.sub(r"//.*", "", ALL_SCRIPTS))
    assert "sessionStorage" in SCRIPTS["/console/api.js"]


def test_what_the_scripts_look_for_is_on_the_page() -> None:
    ids = PAGE.all("id")
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'byId\("([\w-]+)"\)', ALL_SCRIPTS))
    assert len(asked) > 15
    assert asked <= set(ids)


def test_every_input_has_its_label_and_every_region_its_role() -> None:
    inputs = {str(given["id"]) for tag, given in PAGE.elements if tag == "input"}
    assert inputs == set(PAGE.all("for"))
    by_id = {given["id"]: given for _, given in PAGE.elements if "id" in given}
    assert {one: by_id[one]["role"] for one in ("stale", "blind", "urgent", "polite", "sign-in-why")} == {
        "stale": "alert",
        "blind": "alert",
        "urgent": "alert",
        "polite": "status",
        "sign-in-why": "alert",
    }
    (dialog,) = (given for tag, given in PAGE.elements if tag == "dialog")
    assert dialog["aria-labelledby"] in by_id
    (whole,) = (given for tag, given in PAGE.elements if tag == "html")
    assert whole["lang"] == "en"


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


SCHEMES = [dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in CSS.split("@media", 2)[:2]]
PAIRS = [
    *((name, ground) for name in ("text", "soft", "danger", "go", "good", "warn") for ground in ("card", "ground")),
    ("on-danger", "danger"),
    ("on-go", "go"),
    ("on-alarm", "alarm"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
def test_every_text_can_be_read_at_night_and_by_day(scheme: dict[str, str]) -> None:
    low = {pair: ratio for pair in PAIRS if (ratio := contrast(scheme[pair[0]], scheme[pair[1]])) < 4.5}
    assert not low


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
