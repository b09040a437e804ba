"""The guide to pagers: its page is what pagers show, its settings exist and work, and none is left out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from monitor.adapters.closing import close_all
from monitor.adapters.pagers import PAGERS, PagerSettings, pagers_for
from monitor.config.settings import PREFIX, Settings, secret_names
from monitor.config.settings_source import load_settings, variable_of
from monitor.engine.page_words import page_words
from tests.engine.test_page_words import OPENED

TEXT = (Path(__file__).parents[2] / "docs" / "pagers.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^## (\w+)\n\n```sh\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_page_that_is_shown_is_the_page_that_is_sent() -> None:
    said = page_words(OPENED, "https://rollback.example/{release}#{page_id}")
    (shown,) = re.findall(r"```text\n(.*?)\n```", TEXT, re.DOTALL)
    assert shown == f"{said.title}\n\n{said.text()}"


def test_every_variable_that_is_named_is_a_setting() -> None:
    known = {variable_of(name) for name in Settings.model_fields} | {
        f"{variable_of(name)}_FILE" for name in secret_names()
    }
    assert set(re.findall(rf"{PREFIX}\w+", TEXT)) <= known


def test_every_setting_of_a_pager_is_named() -> None:
    settings = [name for name, value in vars(PagerSettings).items() if isinstance(value, property)]
    assert len(settings) > 10
    assert [name for name in settings if variable_of(name) not in TEXT] == []


def test_every_pager_has_its_line_and_but_the_log_its_example() -> None:
    rows = re.findall(r"^\| \[?`(\w+)`", TEXT, re.MULTILINE)
    assert set(PAGERS) <= set(rows)
    assert {title.lower() for title, _ in EXAMPLES} == set(PAGERS) - {"log"}


@pytest.mark.parametrize(("title", "example"), EXAMPLES)
async def test_every_example_sets_its_pager_up(
    title: str, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in example.splitlines():
        word, assignment = shlex.split(line)
        assert word == "export"
        monkeypatch.setenv(*assignment.split("=", 1))
    pagers = pagers_for(load_settings())
    assert list(pagers) == [title.lower()]
    await close_all(pagers.values())
