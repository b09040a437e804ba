"""The pagers there are, by the names that budgets and settings use."""

from __future__ import annotations

from typing import Final, Literal, get_args

PagerName = Literal["alertmanager", "apprise", "log", "pagerduty", "slack", "webhook"]
PAGER_NAMES: Final[tuple[str, ...]] = get_args(PagerName)
