"""Giving connections back: all of them, whatever one of them does, and never waiting for ever."""

from __future__ import annotations

import asyncio

import pytest

from monitor.adapters.closing import close_all


class Part:
    def __init__(self, ends: str = "well") -> None:
        self.ends, self.calls = ends, 0

    async def close(self) -> None:
        self.calls += 1
        if self.ends == "never":
            await asyncio.Event().wait()
        if self.ends == "badly":
            raise OSError("whsec_secret in a message of a library")


async def test_one_that_hangs_or_fails_keeps_no_other_from_being_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parts = [Part("never"), Part("badly"), Part(), Part()]
    await close_all([*parts, parts[2], object(), None], within_s=0.05)
    assert [one.calls for one in parts] == [1, 1, 1, 1]
    assert "Part did not close within 0.05 s" in caplog.text
    assert "Part did not close: OSError" in caplog.text
    assert "whsec" not in caplog.text


async def test_nothing_to_close_is_fine() -> None:
    await close_all([object(), None])
