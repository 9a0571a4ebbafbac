"""The statements of a claim, made once for all threads of a process."""

import importlib.util
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.dialects import postgresql

from app.tasks.service import lending

THREADS = 4


def fresh_copy():
    """The module as a new process has it, beside the one that is in use."""
    spec = importlib.util.spec_from_file_location("fresh_lending", lending.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled_at_once(statement):
    barrier = threading.Barrier(THREADS)

    def compiled(_number):
        barrier.wait()
        return str(statement.compile(dialect=postgresql.dialect()))

    with ThreadPoolExecutor(THREADS) as pool:
        return set(pool.map(compiled, range(THREADS)))


def test_the_first_claims_of_a_new_process_may_come_at_once():
    """Compiled by several threads at the same time, the columns of a CTE came out in two minds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            texts = [compiled_at_once(fresh_copy().LEND[True, True]) for _ in range(8)]
    finally:
        sys.setswitchinterval(before)
    assert {len(each) for each in texts} == {1}
    assert len(set().union(*texts)) == 1
