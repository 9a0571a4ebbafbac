"""Who is next at a process that has more to do than it can."""

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio

from app.annotation.api.turns import AT_WORK, in_turn

SUBMISSIONS = 3 * AT_WORK


def test_a_claim_goes_before_all_submissions_but_those_at_work():
    begun: list[str] = []
    has_begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def work(name: str) -> str:
        begun.append(name)
        has_begun.release()
        assert may_end.acquire(timeout=60)
        return name

    async def ask(name: str) -> None:
        assert await in_turn(lambda: work(name), is_claim=name == "claim") == name

    async def rush() -> None:
        async with anyio.create_task_group() as together:
            for number in range(SUBMISSIONS):
                together.start_soon(ask, f"submission {number}")
            for _ in range(AT_WORK):
                await anyio.to_thread.run_sync(has_begun.acquire)
            together.start_soon(ask, "claim")
            await anyio.wait_all_tasks_blocked()
            may_end.release()
            await anyio.to_thread.run_sync(has_begun.acquire)
            assert begun[AT_WORK:] == ["claim"]
            for _ in range(SUBMISSIONS):
                may_end.release()

    with ThreadPoolExecutor(1) as pool:  # in this one a browser's loop may be running
        pool.submit(anyio.run, rush).result()
    assert len(begun) == SUBMISSIONS + 1
