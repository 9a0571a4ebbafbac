"""Several web processes, bad lines, kills and changes of mind: no promise is broken."""

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from tests.history.events import OK, UNKNOWN, Recorder
from tests.history.troubles import Admin, place
from tests.history.work import judge_history, make_work, set_to_work
from tests.setup.processes import wait_until

pytestmark = pytest.mark.concurrency

PEOPLE, TASKS, JUDGEMENTS = 12, 70, 190
PATIENCE = 120  # seconds, on a busy machine


def test_a_history_full_of_troubles_keeps_every_promise(tmp_path):
    """Few tasks for many people, so that what one lets go of is soon with another."""
    with place(tmp_path / "home") as here:
        work = make_work(here.engine, people=PEOPLE, tasks=TASKS, wanted=2)
        recorder, rng = Recorder(tmp_path / "admin.jsonl"), Random(7)
        admin = Admin(work, recorder)
        troubles: list[Callable[[Random], None]] = [
            admin.let_leases_run_out,
            here.kill_web,
            admin.pause_somebody,
            partial(admin.change_overlap, least=3),
            here.restart_database,
            admin.let_leases_run_out,
            admin.resume_everybody,
            partial(admin.change_overlap, most=2),
            partial(admin.change_overlap, least=3),
            admin.let_leases_run_out,
            admin.let_leases_run_out,
        ]
        crowd = set_to_work(
            work, ports=[web.port for web in here.webs], folder=tmp_path, goal=JUDGEMENTS
        )
        try:
            for number, trouble in enumerate([*troubles, None], 1):
                reached = JUDGEMENTS * number // (len(troubles) + 1)
                wait_until(lambda reached=reached: crowd.judged >= reached, seconds=PATIENCE)
                if trouble is not None:
                    trouble(rng)
            crowd.stop(seconds=PATIENCE)
        finally:
            crowd.kill()
            recorder.close()
        verdict = judge_history(here.engine, work, tmp_path)
    print(verdict.figures())
    assert verdict.violations == []
    outcomes = {call.outcome for call in verdict.calls if call.op == "submit"}
    assert outcomes >= {OK, UNKNOWN}  # else nothing went wrong, and nothing was shown
    assert verdict.figures()["judgements"] >= JUDGEMENTS
