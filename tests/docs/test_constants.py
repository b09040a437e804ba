"""The page of numbers says what `monitor.core.*` holds when it is imported, and why."""

from __future__ import annotations

import pytest

from monitor.core import sustained
from tests.docs import constants


def test_every_number_is_on_the_page_with_the_value_it_has() -> None:
    assert constants.drift() == []


def test_every_number_has_its_reason() -> None:
    modules = [module for group in constants.GROUPS.values() for module in group]
    found = {f"{module}.{one.name}": one.why for module in modules for one in constants.numbers_of(module)}
    assert [name for name, why in found.items() if len(why) < 2] == [], "say why, beside it or above it"


def test_a_number_that_was_turned_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    constants.drift()  # every module is imported by now: none may keep the turned number for the tests to come
    monkeypatch.setattr(sustained, "NOW_SHARE", 0.7)
    told = "\n".join(constants.drift())
    assert "not on the page: | `NOW_SHARE` | 0.7 |" in told
    assert "not in the code: | `NOW_SHARE` | 0.75 |" in told


def test_a_module_that_has_numbers_and_no_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(constants.GROUPS, "Spans of time")
    with pytest.raises(ValueError, match=r"no group.*window"):
        constants.page()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (86_400_000, "86,400,000"),
        (1e-3, "0.001"),
        (0.1 + 0.2, "0.3"),  # in its 17th digit it is not
        ({sustained.Answer.FIRES: 3}, "fires: 3"),
        ((9, 10), "(9, 10)"),
    ],
)
def test_a_value_is_shown_as_it_is(value: object, said: str) -> None:
    assert constants.shown(value) == said
