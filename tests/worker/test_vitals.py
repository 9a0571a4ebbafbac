"""What is a hang and what is not, and where memory is read."""

from pathlib import Path

import pytest

from app.worker import machine_memory
from app.worker.vitals import SPINS, Stillness


def test_a_hang_is_neither_news_nor_work() -> None:
    watch = Stillness(60.0)
    assert not watch.sees(0.0, news=False, cpu_seconds=10.0)
    assert not watch.sees(59.0, news=False, cpu_seconds=10.1)
    assert watch.sees(60.0, news=False, cpu_seconds=10.2)


def test_a_long_evaluation_computes_and_a_waiting_thread_hardly() -> None:
    watch = Stillness(60.0)
    assert not any(
        watch.sees(float(now), news=False, cpu_seconds=now * 0.5) for now in range(0, 600, 5)
    )
    assert watch.sees(60.0 * SPINS, news=False, cpu_seconds=400.0)  # a loop, not a long evaluation
    assert not watch.is_still
    assert not watch.sees(800.0, news=True, cpu_seconds=401.0)
    watch = Stillness(60.0)
    idle = [watch.sees(float(now), news=False, cpu_seconds=now * 0.01) for now in range(0, 66, 5)]
    assert idle.index(True) == 12


def test_news_begin_a_new_count_and_zero_waits_for_ever() -> None:
    watch = Stillness(60.0)
    watch.sees(0.0, news=True, cpu_seconds=0.0)
    assert not watch.sees(59.0, news=True, cpu_seconds=0.0)
    assert not watch.sees(100.0, news=False, cpu_seconds=0.0)
    assert watch.sees(119.0, news=False, cpu_seconds=0.0)
    for_ever = Stillness(0.0)
    assert not any(for_ever.sees(now * 1e6, news=False, cpu_seconds=0.0) for now in range(9))


def test_the_smallest_limit_of_a_control_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_memory, "_groups", lambda: [tmp_path, tmp_path / "none"])
    everything = machine_memory.memory_limit()
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory.memory_limit() == everything
    (tmp_path / "memory.max").write_text("1000000\n")
    assert machine_memory.memory_limit() == 1_000_000
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert machine_memory.oom_kills() == 2
