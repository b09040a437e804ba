"""A defect of ours while one release is judged: that release is halted and people are told; the others go on.

Without this a release that breaks the evaluator would take every worker down that takes it over, one after another. A
halted release decides nothing by itself; what a commander orders is still carried out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from monitor.core.sight import Sight, SightState, Sign, step
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.seal import StateDamaged

WHY_MAX = 300  # characters of a defect in an event
OUTAGES = (LogUnreachable, StoreUnreachable, StateDamaged)
"""What comes and goes, and says nothing against whoever meets it."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A release that is not judged any more.

    Attributes:
        digest: Of the budget it broke with; another one is tried.
        at_ms: The tick it broke at, or the moment, in event time.
        why: The defect, in one line.
    """

    state: SightState
    digest: str | None
    at_ms: int
    why: str


class Halts:
    """Which releases are halted.

    Args:
        steady_ms: Milliseconds of a clock that never jumps.
        halted: Told of every defect, with its release.

    Attributes:
        fine: The releases whose last step went well.
    """

    def __init__(self, steady_ms: Callable[[], int], halted: Callable[[str, Exception], None]) -> None:
        self._steady_ms = steady_ms
        self._halted = halted
        self._halts: dict[str, Halt] = {}
        self.fine: set[str] = set()

    def get(self, release: str) -> Halt | None:
        """Return why a release is halted; None where it is not."""
        return self._halts.get(release)

    def all(self) -> dict[str, Halt]:
        """Return all halted releases."""
        return dict(self._halts)

    def keep(self, releases: Iterable[str]) -> None:
        """Forget all but these: the others are of nobody any more."""
        for release in self._halts.keys() - set(releases):
            self.forget(release)

    def forget(self, release: str) -> None:
        """A release that is somebody else's now, or of nobody, is not halted here."""
        self._halts.pop(release, None)
        self.fine.discard(release)

    async def guarded(
        self,
        release: str,
        digest: str | None,
        at_ms: int,
        judge: Callable[[], Awaitable[int]],
        obey: Callable[[], Awaitable[None]],
    ) -> int:
        """Judge a release, or only obey where it is halted; return what judging returned, 0 where it was not.

        Args:
            digest: Of the budget in force; a halted release is judged again when it changes.
            at_ms: Where judging stands, in event time.

        Raises:
            LogUnreachable, StoreUnreachable, StateDamaged: As they come.
        """
        halt = self._halts.get(release)
        if halt is not None and halt.digest == digest:
            try:
                await obey()
            except OUTAGES:
                raise
            except Exception as defect:  # noqa: BLE001 - of ours again: it must not stop the other releases
                self._halted(release, defect)
            return 0
        try:
            done = await judge()
        except OUTAGES:
            raise
        except Exception as defect:  # noqa: BLE001 - whatever it is: one release must not stop the others
            self._halt(release, digest, at_ms, defect)
            return 0
        self._halts.pop(release, None)
        self.fine.add(release)
        return done

    def _halt(self, release: str, digest: str | None, at_ms: int, defect: Exception) -> None:
        now_ms = self._steady_ms()
        state = step(SightState(Sight.LIVE, now_ms), Sign.DEFECT, at_ms=now_ms)
        self._halts[release] = Halt(state, digest, at_ms, f"{type(defect).__name__}: {defect}"[:WHY_MAX])
        self.fine.discard(release)
        self._halted(release, defect)
