"""`touchstone up`: what dies comes back, what is stopped is gone, and there is one per home."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from app.db import SessionLocal, connect
from app.postgres import Cluster
from tests.conftest import free_port
from tests.history.events import UNKNOWN
from tests.history.troubles import children, kills
from tests.history.work import judge_history, make_work, set_to_work
from tests.setup.processes import running_of, status, touchstone, up, wait_until

COMES_BACK = 20  # seconds; 5 are promised, and a test machine may be busy


@dataclass
class Place:
    """A home where `up` runs for all tests of this file."""

    home: Path
    port: int
    process: subprocess.Popen
    first_database: int  # the server's number under an earlier `up`, which was killed
    own_database: int  # and when this one had started


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    home, port = tmp_path_factory.mktemp("up") / "home", free_port()
    with up(home, port) as killed:
        killed.kill()
        killed.wait()
    database = Cluster(home).postmaster().pid
    wait_until(
        lambda: not [line for line in running_of(home) if "app.cli" in line], seconds=COMES_BACK
    )
    with up(home, port) as process:
        yield Place(home, port, process, database, Cluster(home).postmaster().pid)
    assert process.returncode == 0
    assert running_of(home) == []


def test_who_comes_after_a_killed_one_takes_its_database_over(place):
    assert place.own_database == place.first_database


def test_it_serves_pages_and_names_the_first_administrators_link(place):
    home, port = place.home, place.port
    wait_until(lambda: status(port, "/healthz") == 200, seconds=COMES_BACK)
    said = (home.parent / "home.log").read_text()
    assert f"Touchstone runs at http://127.0.0.1:{port}\n" in said
    link = said.split("Make the first administrator")[1].split(": ", 1)[1].split()[0]
    assert link.startswith(f"http://127.0.0.1:{port}/setup/")
    page = link.removeprefix(f"http://127.0.0.1:{port}")
    wait_until(lambda: status(port, page) == 200, seconds=COMES_BACK)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_part_that_dies_is_started_again(place, command):
    port, process = place.port, place.process
    number = 2 if command == "serve" else 1
    wait_until(lambda: len(children(process.pid, command)) == number, seconds=COMES_BACK)
    dead = children(process.pid, command)[0]
    dead.kill()

    def is_back():
        found = children(process.pid, command)
        return len(found) == number and dead not in found

    wait_until(is_back, seconds=COMES_BACK)
    assert status(port, "/readyz") in {200, 0}  # whoever asks meanwhile waits
    wait_until(lambda: status(port, "/readyz") == 200, seconds=COMES_BACK)


def test_while_one_web_process_is_started_again_the_others_answer(place):
    wait_until(lambda: len(children(place.process.pid, "serve")) == 2, seconds=COMES_BACK)
    one = children(place.process.pid, "serve")[0]
    one.suspend()  # from here on nobody but the other can answer; nor does the first come back
    try:
        wait_until(lambda: status(place.port, "/readyz") == 200, seconds=COMES_BACK)
    finally:
        one.resume()


def test_a_database_that_dies_is_started_again(place):
    home, port = place.home, place.port
    dead = Cluster(home).postmaster()
    dead.kill()
    wait_until(lambda: status(port, "/readyz") == 200, seconds=2 * COMES_BACK)
    assert Cluster(home).postmaster().pid != dead.pid


def test_no_judgement_that_was_acknowledged_is_lost_or_doubled(place, tmp_path):
    """People work on while the web process, the worker, the database or a part of it is killed."""
    home, port = place.home, place.port
    engine = connect(Cluster(home).url(), pool_size=2)
    work = make_work(engine, people=6, tasks=1_000, wanted=2)
    crowd = set_to_work(work, ports=[port], folder=tmp_path, goal=1_000)

    def work_goes_on():
        had = crowd.judged
        wait_until(lambda: crowd.judged > had + 10, seconds=3 * COMES_BACK)

    try:
        for kill in kills(Cluster(home), place.process.pid).values():
            work_goes_on()
            kill(Random(1))
        work_goes_on()
        crowd.stop(seconds=3 * COMES_BACK)
    finally:
        crowd.kill()
    verdict = judge_history(engine, work, tmp_path)
    assert verdict.violations == []
    assert UNKNOWN in {call.outcome for call in verdict.calls if call.op == "submit"}
    engine.dispose()
    SessionLocal.configure(bind=None)


def test_a_second_start_names_the_first(place):
    home, port = place.home, place.port
    second = touchstone(home, "up")
    assert second.returncode == 2
    assert f"already runs for this home ({home}): http://127.0.0.1:{port}." in second.stderr
    assert "Traceback" not in second.stderr
    wait_until(lambda: status(port, "/healthz") == 200, seconds=COMES_BACK)


def test_a_port_in_use_is_named_when_it_was_asked_for(place, tmp_path):
    port = place.port
    other = touchstone(tmp_path / "other", "up", "--port", str(port))
    assert other.returncode == 2
    assert f"Port {port} on 127.0.0.1 is in use by another program." in other.stderr


def test_commands_work_beside_it(place):
    home, port = place.home, place.port
    made = touchstone(home, "user", "create", "ana@example.org", "--role", "annotator")
    assert made.stdout.startswith(f"http://127.0.0.1:{port}/invitation/"), made.stderr
    assert "ana@example.org\tannotator" in touchstone(home, "user", "list").stdout
    wait_until(lambda: status(port, "/healthz") == 200, seconds=COMES_BACK)
