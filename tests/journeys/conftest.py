"""Journeys use real worker processes."""

from tests.worker.processes import start_worker, tiny_lm

__all__ = ["start_worker", "tiny_lm"]  # fixtures
