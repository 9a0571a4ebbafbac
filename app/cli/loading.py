"""What a program loads is no garbage: to look for some among it takes a quarter of a start."""

import gc

USUAL = gc.get_threshold()


def load_quickly() -> None:
    """Look for garbage seldom from now on."""
    gc.set_threshold(100_000, 20, 20)


def loaded() -> None:
    """As usual from now on, but never again among what is there already."""
    gc.freeze()
    gc.set_threshold(*USUAL)
