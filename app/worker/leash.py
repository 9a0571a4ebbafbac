"""Runs a command for exactly as long as the process that started this one lives.

    python leash.py SECONDS COMMAND …

The starter holds the other end of standard input: when it dies, however it dies, the pipe ends and
the whole process group is stopped. With SECONDS other than 0 it must also write something so often:
a starter that was halted, and whose work another one took over, does not. A script of its own that
imports nothing of Touchstone, so that it starts in a few milliseconds.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading

GRACE = 30.0  # seconds between the request to stop and the end
SHORT = 5.0  # the same, where nobody keeps what would be saved
NICENESS = 5  # training gives way to the pages of the same machine


def end_with_starter(child: "subprocess.Popen[bytes]", silence: float) -> None:
    """Stop the group once the starter is gone, or was silent for too long."""
    grace = GRACE
    while True:
        ready, _, _ = select.select([0], [], [], silence or None)
        if not ready:
            grace = SHORT
            break
        if not os.read(0, 4096):  # not sys.stdin, whose lock would be held when this process exits
            break
    os.killpg(0, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    # A handler rather than SIG_IGN, which the child would inherit: the group gets the signal, the
    # child acts on it, and this process waits for its exit code.
    heard: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: heard.append(number))
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    silence = float(sys.argv[1])
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    if heard:  # there was nobody yet to act on it
        child.send_signal(signal.SIGTERM)
    threading.Thread(target=end_with_starter, args=[child, silence], daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
