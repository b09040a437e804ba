"""How an effect is tried: again and again with growing waits, until it is done, refused, or the patience is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import Final, TypeVar

from monitor.engine.errors import ActuatorFailed, PagerFailed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call keeps trying.

    Attributes:
        total_s: For all attempts and waits of one effect.
        attempt_s: Seconds for one attempt; longer than the adapters' own deadlines, which know better what failed.
        max_attempts: Bounds the tries even where no time passes.
        last_s: By when it is over, whatever an attempt is doing then: none is begun that would not end in time if it
            took as long as the one before. None: an attempt under way may end.
    """

    total_s: float = 60.0
    attempt_s: float = 130.0
    first_wait_s: float = 0.5
    max_wait_s: float = 10.0
    max_attempts: int = 20
    last_s: float | None = None


FLAG_PATIENCE: Final = Patience(total_s=25.0, last_s=30.0)
"""A flag that is not confirmed within half a minute is a page; it is tried again all the same (F31: 30 s)."""


@dataclass(frozen=True, slots=True)
class Trying:
    """Patience, and the time it is measured in: handed in so that a test waits for nothing."""

    patience: Patience
    steady: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def until_done(
        self, key: str, effect: Callable[[], Awaitable[T]], failed: type[ActuatorFailed] | type[PagerFailed]
    ) -> T:
        """Repeat an effect with growing, jittered waits until it is done, refused, or the patience is over.

        Raises:
            ActuatorFailed, PagerFailed: The last failure; what an adapter did not name is raised as `failed`.
        """
        patience, began_s = self.patience, self.steady()
        ends_s, attempt = began_s + patience.total_s, 0
        while True:
            attempt += 1
            at_s = self.steady()
            last_s = inf if patience.last_s is None else began_s + patience.last_s
            attempt_s = min(patience.attempt_s, max(0.0, last_s - at_s))
            try:
                async with asyncio.timeout(attempt_s):
                    return await effect()
            except (ActuatorFailed, PagerFailed) as error:
                failure: ActuatorFailed | PagerFailed = error
            except TimeoutError:
                failure = failed(f"no answer within {attempt_s:g} s", retryable=True)
            # A vendor adapter's own defect must end in a page, not in a dead worker.
            except Exception as error:  # noqa: BLE001
                failure = failed(f"{type(error).__name__}: {error}; please report it", retryable=False)
            wait_s = min(patience.max_wait_s, patience.first_wait_s * 2.0 ** (attempt - 1))
            wait_s *= _spread(key, attempt)
            next_s = self.steady() + wait_s
            over = next_s >= ends_s or next_s + (next_s - at_s) > last_s or attempt >= patience.max_attempts
            if over or not failure.retryable:
                raise failure
            await self.sleep(wait_s)


def _spread(key: str, attempt: int) -> float:
    """Return 0.5 to 1, different for each decision: effects that failed together do not come back together."""
    return 0.5 + 0.5 * sha256(f"{key}/{attempt}".encode()).digest()[0] / 255
