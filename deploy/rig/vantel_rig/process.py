"""One child process of the rig: a server, a bridge, a worker or a van.

From an argument list to a running process with its own session, its output in a log file and a guard that ends it
when we die (also by SIGKILL). Times are seconds. A start that fails, or is not ready in time, raises `ProcessError`
with the operation, the process, the cause and the tail of the log. Signals go to the whole process group, and only
to groups started here.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

LOG_BYTES_MAX = 16 * 1024 * 1024  # a longer log is put aside as .old at the next start
TAIL_BYTES_MAX = 16 * 1024
POLL_S = 0.02

# The shell tells the guard its own id, which exec keeps, before the program begins: there is no instant at which the
# program runs unknown to the guard, and if we are dead already the write fails and nothing starts. The pipe is
# reached by /proc rather than inherited, since a child holding it open would hide our death from the guard.
_LAUNCH = 'echo "+$$" > "$0" || exit 127; exec "$@"'


class ProcessError(RuntimeError):
    """A child process did not start, did not get ready or ended too early."""


class _Guard:
    """Our end of the guard's pipe; one guard serves this process, started at first use and again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = -1
        self._write_fd = -1

    def path(self) -> str:
        """The pipe as a path that a child can open while we live."""
        with self._lock:
            if self._owner != os.getpid():
                read_fd, self._write_fd = os.pipe()
                script = str(Path(__file__).with_name("guard.py"))
                null = subprocess.DEVNULL
                subprocess.Popen(  # reaped by init: it outlives us on purpose
                    [sys.executable, "-I", "-S", script],
                    stdin=read_fd,
                    stdout=null,
                    stderr=null,
                    start_new_session=True,
                    cwd="/",
                )
                os.close(read_fd)
                self._owner = os.getpid()
            return f"/proc/{self._owner}/fd/{self._write_fd}"

    def forget(self, pid: int) -> None:
        """Takes a process off the list, once it is gone and before its id can be used again."""
        with self._lock:
            if self._owner == os.getpid():
                os.write(self._write_fd, f"-{pid}\n".encode())


_guard = _Guard()


class Process:
    """A child that can be started, probed, paused, stopped and killed, and started again."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        log_path: Path | None = None,
        cwd: Path | None = None,
    ) -> None:
        """`env` is laid over our own environment; an empty value removes a variable. Output is appended to `log_path`."""
        self.name = name
        self.argv = [str(part) for part in argv]
        self.env = dict(env or {})
        self.log_path = log_path
        self.cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None
        self._reaping = threading.Lock()
        self._log_start_bytes = 0

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the running or last process (also its group's); 0 before the first start."""
        return self._popen.pid if self._popen else 0

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs or before the first start."""
        return None if self.running or self._popen is None else self._popen.returncode

    @property
    def running(self) -> bool:
        """Whether the process lives. One that ended is reaped here, with what is left of its group."""
        popen = self._popen
        if popen is None:
            return False
        with self._reaping:
            if popen.returncode is not None:
                return False
            state = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if state is None:
                return True
            # Not yet reaped, so the id cannot belong to anybody else: now is the safe time to signal the group.
            self._signal_group(signal.SIGKILL)
            _guard.forget(popen.pid)
            popen.wait()
            return False

    def start(self) -> None:
        """Starts the process; raises ProcessError when the program cannot be run."""
        if self.running:
            raise ProcessError(f"start {self.name}: it already runs as process {self.pid}; stop it first")
        program = self.argv[0]
        if "/" in program and not os.access(program, os.X_OK):
            raise ProcessError(
                f"start {self.name}: {program} is missing or not executable; run deploy/rig/setup.sh"
            )
        env = {
            key: value for key, value in {**os.environ, **self.env}.items() if value or key not in self.env
        }
        out: int | None = None
        if self.log_path is not None:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
                self.log_path.replace(self.log_path.with_name(self.log_path.name + ".old"))
            out = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self._log_start_bytes = os.fstat(out).st_size
        try:
            self._popen = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, _guard.path(), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if out is None else out,
                stderr=subprocess.DEVNULL if out is None else out,
                env=env,
                cwd=self.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(f"start {self.name}: {shlex.join(self.argv)}: {error}") from error
        finally:
            if out is not None:
                os.close(out)

    def wait(self, timeout_s: float) -> int | None:
        """Waits for the end; the exit status, or None when it still runs after `timeout_s`."""
        give_up_s = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() >= give_up_s:
                return None
            time.sleep(POLL_S)
        return self.returncode

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Polls `probe` until it is true; raises ProcessError when the process ends first or time runs out."""
        give_up_s = time.monotonic() + timeout_s
        while not probe():
            if not self.running:
                raise ProcessError(
                    f"start {self.name}: it ended with status {self.returncode}; its log:\n{self.log_tail()}"
                )
            if time.monotonic() >= give_up_s:
                raise ProcessError(
                    f"start {self.name}: not ready after {timeout_s:g} s; its log:\n{self.log_tail()}"
                )
            time.sleep(POLL_S)

    def log_since_start(self) -> str:
        """The log of the present run, at most its last 16 KiB; empty without a log file."""
        if self.log_path is None or not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            end_bytes = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start_bytes, end_bytes - TAIL_BYTES_MAX))
            return file.read(TAIL_BYTES_MAX).decode(errors="replace")

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of the present run's log, or a word that it is empty."""
        return "\n".join(self.log_since_start().splitlines()[-lines:]) or f"(empty: {self.log_path})"

    def stop(self, timeout_s: float = 10.0) -> int | None:
        """SIGTERM to the group, SIGKILL after `timeout_s`; returns the exit status. No-op when it does not run."""
        if self.running:
            self._signal_group(signal.SIGTERM)
            self._signal_group(signal.SIGCONT)  # a paused process would keep the SIGTERM waiting
            if self.wait(timeout_s) is None:
                self.kill()
        return self.returncode

    def kill(self) -> None:
        """SIGKILL to the group; returns when it is gone."""
        if self.running:
            self._signal_group(signal.SIGKILL)
            self.wait(10.0)

    def pause(self) -> None:
        """SIGSTOP to the group: it stays connected and answers nothing."""
        self._signal_running(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the group."""
        self._signal_running(signal.SIGCONT)

    def send_signal(self, number: int) -> None:
        """Sends any signal to the group; raises ProcessError when the process has ended."""
        self._signal_running(number)

    def _signal_running(self, number: int) -> None:
        if not self.running:
            raise ProcessError(
                f"signal {self.name}: it does not run (status {self.returncode}); start it first"
            )
        self._signal_group(number)

    def _signal_group(self, number: int) -> None:
        popen = self._popen
        if popen is None or popen.returncode is not None:
            return
        try:
            os.killpg(popen.pid, number)
        except ProcessLookupError:
            return  # setsid has not run yet or the group is gone: both are seen by the next look at `running`
