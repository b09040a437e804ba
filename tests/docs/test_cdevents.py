"""`docs/cdevents.md`: its tables name the settings, the types and the topic that there are."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.config.settings import Settings
from monitor.core.decision import Type
from monitor.wire import cdevents
from monitor.wire.topics import CDEVENTS

PAGE = (Path(__file__).parents[2] / "docs" / "cdevents.md").read_text(encoding="utf-8")


def test_every_setting_is_there_with_its_default() -> None:
    named = dict(re.findall(r"^\| `(cdevents\w*)` \| (.+?) \|", PAGE, re.M))
    ours = {name: field for name, field in Settings.model_fields.items() if name.startswith("cdevents")}
    assert set(named) == set(ours)
    for name, field in ours.items():
        assert named[name].strip("`").lower() == str(field.default).lower(), name


def test_every_decision_twin_and_topic_exists() -> None:
    rows = re.findall(r"^\| `(page\.\w+|rollback\.\w+)` \| (.+?) \|", PAGE, re.M)
    assert {Type(kind) for kind, _ in rows} == {
        Type.PAGE_OPENED,
        Type.PAGE_RESOLVED,
        Type.ROLLBACK_REQUESTED,
        Type.ROLLBACK_VERIFIED,
    }
    types = str(cdevents.Context.model_fields["type"].annotation)
    named = {one for _, cell in rows for one in re.findall(r"`((?:incident|service)\.\w+)`", cell)}
    assert len(named) == 4
    assert all(f"dev.cdevents.{one}.0.3.0" in types for one in named)
    assert CDEVENTS in PAGE
    assert cdevents.SPEC_VERSION in PAGE
