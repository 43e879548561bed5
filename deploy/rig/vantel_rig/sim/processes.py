"""Asyncio programs in virtual time: each simulated process is an event loop that the world drives.

A killed process never runs another step: no finaliser, no except clause, as after SIGKILL. A paused one keeps its steps
until it is resumed, as after SIGSTOP. asyncio.to_thread runs its function at once, alone, and gives the result after the
virtual seconds that the function asked for by blocked_s. Doors call step() each: the fuse kills exactly there.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import warnings
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from vantel_rig.sim.world import EPOCH_UNIX_NS, START_NS, Killed, S, World

_graveyard: list[ProcessLoop] = []
CLOSES_MAX = 50
CLEAR_TASKS_MIN = 100


class Step:
    """A call that is due, as asyncio.Handle is one, without its debugging."""

    __slots__ = ("_args", "_callback", "_context")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> None:
        self._callback: Callable[..., Any] | None = callback
        self._args, self._context = args, context

    def cancel(self) -> None:
        """Never run it."""
        self._callback = None

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._callback is None

    def run(self) -> None:
        """Now. What it raises is nobody's: a killed process ends so, and tasks keep their own exceptions."""
        callback = self._callback
        if callback is None:
            return
        with contextlib.suppress(Exception, Killed):
            if self._context is None:
                callback(*self._args)
            else:
                self._context.run(callback, *self._args)


class ProcessLoop(asyncio.AbstractEventLoop):
    """One process. name: for the trace; on_exit: called when its program ends by itself, with the exception or None."""

    def __init__(self, world: World, name: str, on_exit: Callable[[BaseException | None], None]) -> None:
        self.world, self.name = world, name
        self.dead = self.paused = False
        self.fuse = -1
        self.blocked_s = 0.0
        self._ready: deque[Step] = deque()
        self._turn_is_due = False
        self._on_exit = on_exit
        self._task: asyncio.Task[None] | None = None
        self._everything: list[asyncio.Task[Any]] = []
        self._clear_at = CLEAR_TASKS_MIN

    def start(self, program: Coroutine[Any, Any, None]) -> None:
        """Run the program; its end is the end of the process."""
        asyncio._set_running_loop(self)
        try:
            self._task = self.create_task(program)
        finally:
            asyncio._set_running_loop(None)
        self._task.add_done_callback(self._ended)

    def kill(self) -> None:
        """SIGKILL."""
        if not self.dead:
            self.dead = True
            _graveyard.append(self)

    def take_apart(self) -> None:
        """Close every coroutine, however often its finalisers want to wait."""
        while self._everything:
            coroutine: Any = self._everything.pop().get_coro()
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                # from Python 3.12 on, one that never took a step keeps its arguments when it is closed: a coroutine among
                # them would be found, never awaited, by the collector during whatever test runs then
                for held in filter(inspect.iscoroutine, coroutine.cr_frame.f_locals.values()):
                    held.close()
            for _ in range(CLOSES_MAX):
                try:
                    coroutine.close()
                    break
                except (Exception, Killed):  # noqa: S112 - it waits in a finaliser, or knocked at a door
                    continue

    def step(self, door: str) -> None:
        """A step that others can see is about to happen; the fuse may end the process right here."""
        if self.dead:
            raise Killed(door)
        if self.fuse > 0:
            self.fuse -= 1
            if self.fuse == 0:
                self.world.note(self.name, f"killed at {door}")
                self.world.count("kill at a step")
                self.kill()
                self._on_exit(Killed(door))
                raise Killed(door)

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self.paused = False
        self._make_due()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self.dead:
            return
        cause = None if task.cancelled() else task.exception()
        self.kill()
        self._on_exit(cause)

    def _enter(self, step: Step) -> None:
        """A step is due now, behind those that are due already."""
        if not self.dead:
            self._ready.append(step)
            self._make_due()

    def _time_has_come(self, step: Step) -> None:
        if not self.dead and not step.cancelled():
            self._ready.append(step)
            if not self._turn_is_due:
                self._turn()

    def _make_due(self) -> None:
        if self._ready and not self._turn_is_due:
            self._turn_is_due = True
            self.world.at(0.0, self._turn)

    def _turn(self) -> None:
        """The steps that are due, one after another; those that they make due come with the next turn, as in asyncio."""
        self._turn_is_due = False
        asyncio._set_running_loop(self)
        try:
            for _ in range(len(self._ready)):
                if self.dead or self.paused:
                    return
                self._ready.popleft().run()
        finally:
            asyncio._set_running_loop(None)
        self._make_due()

    # What asyncio asks of an event loop.

    def time(self) -> float:
        return self.world.now_ns / S

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Step:  # type: ignore[override]
        step = Step(callback, args, context)
        self._enter(step)
        return step

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Step:  # type: ignore[override]
        step = Step(callback, args, context)
        self.world.at(when - self.time(), self._time_has_come, step)
        return step

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Step:  # type: ignore[override]
        step = Step(callback, args, context)
        self.world.at(delay, self._time_has_come, step)
        return step

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:  # type: ignore[override]  # noqa: ARG002
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "task")
        self._everything.append(task)
        if len(self._everything) >= self._clear_at:
            self._everything = [one for one in self._everything if not one.done()]
            self._clear_at = max(CLEAR_TASKS_MIN, 2 * len(self._everything))
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002
        future = self.create_future()
        self.blocked_s = 0.0
        try:
            result, failure = func(*args), None
        except Exception as cause:  # belongs to whoever awaits it
            result, failure = None, cause

        def answer() -> None:
            if not future.done():
                future.set_exception(failure) if failure is not None else future.set_result(result)

        self.call_later(self.blocked_s, answer)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What no one awaited: seen by the checks at the end, if it mattered."""


def current() -> ProcessLoop:
    """The process whose step is running."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ProcessLoop)
    return loop


def bury() -> None:
    """Take killed processes apart, in silence: their finalisers run, but every door is closed to them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # coroutines that nobody will ever await
        while _graveyard:
            loop = _graveyard.pop()
            asyncio._set_running_loop(loop)
            try:
                loop.take_apart()
            finally:
                asyncio._set_running_loop(None)


class VirtualTime:
    """Stands where modules have imported `time`. unix_offset_ns: what the clock of the present machine is off by."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.unix_offset_ns = 0
        self.mono_offset_ns = 0

    def monotonic_ns(self) -> int:
        return self._world.now_ns + self.mono_offset_ns

    def monotonic(self) -> float:
        return self.monotonic_ns() / S

    perf_counter = monotonic

    def time_ns(self) -> int:
        return EPOCH_UNIX_NS + self._world.now_ns - START_NS + self.unix_offset_ns

    def time(self) -> float:
        return self.time_ns() / S

    def sleep(self, _seconds: float) -> None:
        """Nobody may block the world."""
        raise AssertionError("a thread slept in the simulation")
