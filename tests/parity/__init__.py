"""Touchstone's trainer against TRL, step by step: `python -m tests.parity`."""
