"""Page notices, as the tests of pagers give them."""

from __future__ import annotations

from monitor.engine.ports import PageNotice


def notice(event_id: str = "e1", state: str = "opened") -> PageNotice:
    """Return a notice about page `p1`."""
    return PageNotice(
        event_id=event_id,
        page_id="p1",
        state=state,
        release="model-v42",
        text="task success is 12.3 % below the baseline",
        deadline_ms=1_795_000_000_000,
        event={"objective": "quality.task_success_delta_pct", "cohort": {"tenant": "Müller & Söhne"}},
    )
