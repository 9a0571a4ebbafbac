"""Training in turns: so many steps, one line with what they cost, then wait to be let on.

Standard library only: TRL's side runs in another environment.
"""

import json
import os
import sys
import time
from pathlib import Path


def cuda():
    """`torch.cuda` where this process computes there."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch and torch.cuda.is_initialized() else None


def peak_mib():
    """Of the GPU, else of memory, by this process alone: `ru_maxrss` begins with its parent's."""
    if gpu := cuda():
        return gpu.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Turns:
    """Called at the end of every step."""

    def __init__(self, steps):
        self.steps, self.done = steps, 0
        self.more = {}  # what else to report; emptied with every line
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def step_ended(self):
        self.done += 1
        if self.done % self.steps:
            return
        if gpu := cuda():
            gpu.synchronize()  # what the GPU has yet to do is part of the turn
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        figures = {"wall": wall, "cpu": cpu, "peak_mib": peak_mib(), **self.more}
        print("\n" + json.dumps(figures), file=sys.__stdout__, flush=True)
        if not sys.stdin.readline():
            os._exit(0)  # enough
        self.more = {}
        self.wall, self.cpu = time.perf_counter(), time.process_time()
