"""What the store says about all partitions, at one moment: how far they are, and what is known of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.core.window import watermark_minute
from monitor.engine.codec import Meta


@dataclass(slots=True)
class View:
    """What the store says about all partitions, at one moment."""

    metas: Sequence[Meta | None]
    offsets: Mapping[str, int]

    @property
    def open_from(self) -> int | None:
        """The first minute that is still open; None while a partition was never read."""
        return watermark_minute(None if meta is None else meta.horizon_ms for meta in self.metas)

    @property
    def first_minute(self) -> int | None:
        """The first minute that any partition knows of."""
        firsts = [meta.first_minute for meta in self.metas if meta and meta.first_minute is not None]
        return min(firsts, default=None)

    @property
    def first_tick(self) -> int | None:
        """The tick that closes the first minute; None while an event out of order may be of an earlier one."""
        first, open_from = self.first_minute, self.open_from
        return None if first is None or open_from is None or first >= open_from else first + 1

    def late(self, release: str) -> int:
        """Late events of a release."""
        return sum(meta.late_by_release.get(release, 0) for meta in self.metas if meta)

    def has_seen(self, release: str) -> bool:
        """Tell whether a release had traffic before it had a budget."""
        return any(release in meta.others for meta in self.metas if meta)
