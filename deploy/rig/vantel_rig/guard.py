"""The guard: a small process that ends what its parent started, if the parent dies without doing so.

Started once by `process.py` with the read end of a pipe as standard input. Each line is `+pid` (a process group that
began) or `-pid` (one that ended in order). End of file means the parent is gone, however it died: the guard sends
SIGTERM to every group still listed, waits up to 3 s, then SIGKILL. It runs as a plain script and imports only the
standard library, so that its start costs little. PR_SET_PDEATHSIG is not used: it fires when the starting *thread*
ends and does not reach grandchildren.
"""

from __future__ import annotations

import os
import signal
import sys
import time

GRACE_S_MAX = 3.0


def _send(group: int, number: int) -> bool:
    """Signals a group; False when it no longer exists or is not ours."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    """Reads the list until the parent is gone, then ends what is left of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        word = line.strip()
        if word[:1] == b"+":
            groups.add(int(word[1:]))
        elif word[:1] == b"-":
            groups.discard(int(word[1:]))
    for group in groups:
        _send(group, signal.SIGTERM)
        _send(group, signal.SIGCONT)  # a paused group would keep the SIGTERM waiting
    give_up_s = time.monotonic() + GRACE_S_MAX
    while groups and time.monotonic() < give_up_s:
        groups = {group for group in groups if _send(group, 0)}
        time.sleep(0.05)
    for group in groups:
        _send(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
