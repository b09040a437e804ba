"""The pager of an installation without one."""

from __future__ import annotations

import io
import json

import pytest

from monitor.adapters.pagers.log import LogPager
from monitor.adapters.telemetry.logs import configure_logs
from tests.adapters.notices import notice


@pytest.mark.usefixtures("own_logging")
@pytest.mark.parametrize(
    ("state", "level"),
    [("opened", "error"), ("expired", "error"), ("resolved", "info"), ("informed", "info")],
)
async def test_a_notice_is_one_line_that_a_machine_can_read(state: str, level: str) -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    await LogPager().notify(notice("e9", state))
    (line,) = out.getvalue().splitlines()
    logged = json.loads(line)
    assert {key: logged[key] for key in ("event", "state", "level", "page_id", "event_id", "release")} == {
        "event": "page", "state": state, "level": level, "page_id": "p1", "event_id": "e9", "release": "model-v42",
    }  # fmt: skip
    assert logged["text"] == notice().text
