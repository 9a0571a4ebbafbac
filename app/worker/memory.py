"""How the interpreter works in a process that handles rows by the million."""

import gc
import sys

YOUNG = 100_000  # new objects before it looks; the interpreter's 700 suit programs of few objects
TURN = 0.0005  # seconds that a thread computes while another one wants to


def collect_rarely() -> None:
    """Leave what is loaded out of collections from now on, and look for cycles seldom.

    Rows are freed as they go and form no cycles: looking through them took a third of an import.
    Where statements do that hold rows, whoever makes them looks again (`imports.bringing`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


def take_short_turns() -> None:
    """Let a thread that talks to the database go on soon while others compute.

    A batch goes out in dozens of pieces, and before each of them the interpreter's 5 ms might pass:
    the database would wait as long as it works.
    """
    sys.setswitchinterval(TURN)
