"""What flag systems, pagers and other outside systems need from the settings, and what is said where it is missing."""

from __future__ import annotations

from typing import TypeVar

from monitor.core.errors import MonitorError

_T = TypeVar("_T")


def needed(whose: str, value: _T | None, *settings: str, error: type[MonitorError], what: str = "") -> _T:
    """Return the value of a setting.

    Args:
        whose: Who needs it, such as `pager 'slack'`.
        settings: The one it is, and those that belong to it.
        error: What is raised; its message names the settings and never a value.
        what: What the setting is, where its name does not say it.
    """
    if not value:
        names = f"setting {settings[0]}" if len(settings) == 1 else f"settings {' and '.join(settings)}"
        raise error(f"{whose}: needs the {names}{f', {what}' if what else ''}")
    return value
