"""The two sides of `tests.benchmarks.trl`, each a process that trains a few steps at a time."""
