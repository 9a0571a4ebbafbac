"""What a program loads is no garbage: to look for some among it takes a quarter of a start."""

import gc

SELDOM = (10_000, 20, 50)  # a request leaves hardly a cycle; at the usual 700 each one would look


def load_quickly() -> None:
    """Look for garbage seldom from now on."""
    gc.set_threshold(100_000, 20, 20)


def loaded() -> None:
    """More often from now on, but never again among what is there already."""
    gc.freeze()
    gc.set_threshold(*SELDOM)
