"""What the server of `tests.forks` loads, once, for all processes that are forked from it."""

import gc
from importlib import import_module

gc.disable()  # else a quarter of the time goes into looking for garbage among what stays
try:
    for name in (
        "app.worker.main",
        "tests.worker.processes",
        "app.trainer.sft",
        "app.trainer.reward",
        "app.trainer.dpo",
        "app.trainer.ppo",
    ):
        import_module(name)
finally:
    gc.freeze()  # the forked look through none of it, nor copy its pages for that
    gc.enable()
