"""An event loop without a clock and without chance of its own: time is virtual, and a seed decides who runs next.

What a real loop promises is kept: within one process callbacks run in the order they became ready. What the world
leaves open is drawn from the seed: which process runs next, and (in the models) how long each answer takes.

A process can be killed (nothing of it ever runs again, as after SIGKILL), stopped and continued (SIGSTOP: what
became due meanwhile runs afterwards, and knows of nothing).
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from enum import Enum
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeVar
from zlib import crc32

T = TypeVar("T")


class State(Enum):
    """Whether a process runs."""

    RUNNING = "running"
    STOPPED = "stopped"
    DEAD = "dead"


class Handle:
    """A callback that is ready, or due at a moment; the loop's side of `asyncio.Handle`."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "owner", "when_s")

    def __init__(
        self,
        owner: Process,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        when_s: float,
    ) -> None:
        self.owner, self.callback, self.args, self.context = owner, callback, args, context
        self.when_s = when_s
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.when_s


class Process:
    """One life of one program: what it has to run, and whether it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State.RUNNING
        self.ready: deque[Handle] = deque()
        self.is_listed = False
        self.tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return f"<{self.name} {self.state.value}>"


_owner: contextvars.ContextVar[Process] = contextvars.ContextVar("owner")


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks one by one; `steps` counts them, `digest` sums up which ones ran when, and in which order.

    Args:
        start_s: The first reading of the clock.
    """

    def __init__(self, rng: Random, start_s: float = 0.0) -> None:
        self._rng = rng
        self._now_s = start_s
        self._timers: list[tuple[float, int, Handle]] = []
        self._numbers = 0
        self._runnable: list[Process] = []
        self.world = Process("world")
        self.processes: list[Process] = [self.world]
        self.steps = 0
        self.digest = 0
        self.unseen: list[str] = []

    # What asyncio asks of a loop ----------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]  # our handles, not the library's
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = self._handle(callback, args, context, self._now_s)
        self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        handle = self._handle(callback, args, context, when)
        self._numbers += 1
        heappush(self._timers, (when, self._numbers, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        owner = (context or contextvars.copy_context()).get(_owner, self.world)
        if len(owner.tasks) > 64:
            owner.tasks = [one for one in owner.tasks if not one.done()]
        owner.tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do a thread's work at once: what it computes depends on nothing else."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets whatever it was
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.unseen.append(f"{context.get('message')}: {context.get('exception')!r}")

    def later(self, process: Process, delay: float, callback: Callable[[], object]) -> None:
        """Run a callback as part of a process, whoever asks for it."""
        context = contextvars.copy_context()
        context.run(_owner.set, process)
        self.call_later(delay, callback, context=context)

    # Processes ----------------------------------------------------------------------------------------------------

    def spawn(self, process: Process, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as part of a process; whatever it starts is part of it too."""
        if process not in self.processes:
            self.processes.append(process)
        context = contextvars.copy_context()
        context.run(_owner.set, process)
        return self.create_task(coro, context=context)

    def current(self) -> Process:
        """Return the process whose callback runs now."""
        return _owner.get(self.world)

    def kill(self, process: Process) -> None:
        process.state = (
            State.DEAD
        )  # what it still had to run stays where it is: only `close_down` comes to it

    def stop_process(self, process: Process) -> None:
        if process.state is State.RUNNING:
            process.state = State.STOPPED

    def go_on(self, process: Process) -> None:
        if process.state is State.STOPPED:
            process.state = State.RUNNING
            self._list(process)

    # Running ------------------------------------------------------------------------------------------------------

    def run_until(self, is_over: Callable[[], bool], max_steps: int | None = None) -> None:
        """Run callbacks until the condition holds, nothing is left, or so many steps are done in all."""
        events._set_running_loop(self)
        try:
            while not is_over() and (max_steps is None or self.steps < max_steps):
                if not self._step():
                    return
        finally:
            events._set_running_loop(None)

    def close_down(self) -> None:
        """End every task that is left, also of dead processes, so that nothing is left for the collector to find."""
        most = self.steps + 50_000
        events._set_running_loop(self)
        for process in self.processes:
            process.state = State.RUNNING
            self._list(process)
        self._timers = []
        while self._runnable and self.steps < most:  # what was created begins, or it could not be ended
            self._step()
            self._timers = []
        for _ in range(5):
            for task in self._left():
                task.cancel()
            self.run_until(lambda: not self._left(), self.steps + 20_000)

    def _left(self) -> list[asyncio.Task[Any]]:
        return [task for process in self.processes for task in process.tasks if not task.done()]

    def _step(self) -> bool:
        handle = self._next()
        if handle is None:
            return False
        self.steps += 1
        self.digest = crc32(handle.owner.name.encode(), self.digest ^ (int(self._now_s * 1e6) & 0xFFFFFFFF))
        try:
            handle.context.run(handle.callback, *handle.args)
        except Exception as error:  # noqa: BLE001 - a callback's own defect is a finding, not the end of the run
            self.unseen.append(f"{handle.callback!r}: {error!r}")
        return True

    def _next(self) -> Handle | None:
        """Return what runs next; when nothing is ready, time goes on to what is due first."""
        while True:
            while self._runnable:
                at = int(self._rng.random() * len(self._runnable)) if len(self._runnable) > 1 else 0
                process = self._runnable[at]
                if process.state is State.RUNNING and process.ready:
                    handle = process.ready.popleft()
                    if handle.is_cancelled:
                        continue
                    return handle
                self._runnable[at] = self._runnable[-1]
                self._runnable.pop()
                process.is_listed = False
            if not self._timers:
                return None
            self._now_s = max(self._now_s, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now_s:
                due = heappop(self._timers)[2]
                if not due.is_cancelled:
                    self._enqueue(due)

    def _handle(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        when_s: float,
    ) -> Handle:
        if context is None:
            context = contextvars.copy_context()
        return Handle(context.get(_owner, self.world), callback, args, context, when_s)

    def _enqueue(self, handle: Handle) -> None:
        handle.owner.ready.append(handle)
        self._list(handle.owner)

    def _list(self, process: Process) -> None:
        if not process.is_listed and process.state is State.RUNNING:
            process.is_listed = True
            self._runnable.append(process)


def new_loop(rng: Random, start_s: float = 0.0) -> SimulatedLoop:
    """Return a loop; what it lacks of the library's (sockets, signals, threads) no simulated process may use."""
    return SimulatedLoop(rng, start_s)  # type: ignore[abstract]
