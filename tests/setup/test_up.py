"""`touchstone up`: what dies comes back, what is stopped is gone, and there is one per home."""

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from app.db import SessionLocal, connect
from app.postgres import Cluster
from tests.conftest import free_port
from tests.exactly_k import check_exactly_k
from tests.setup.judges import make_judges
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


def child(process, command):
    """The part of `up` that runs `command`."""
    for found in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie has no command
            if command in found.cmdline():
                return found
    return None


def test_who_comes_after_a_killed_one_takes_its_database_over(place):
    assert place.own_database == place.first_database


def test_it_serves_pages_and_names_the_first_administrators_link(place):
    home, port = place.home, place.port
    assert status(port, "/healthz") == 200
    said = (home.parent / "home.log").read_text()
    assert f"Touchstone runs at http://127.0.0.1:{port}\n" in said
    link = said.split("Make the first administrator")[1].split(": ", 1)[1].split()[0]
    assert link.startswith(f"http://127.0.0.1:{port}/setup/")
    assert status(port, link.removeprefix(f"http://127.0.0.1:{port}")) == 200


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_part_that_dies_is_started_again(place, command):
    port, process = place.port, place.process
    wait_until(lambda: child(process, command) is not None, seconds=COMES_BACK)
    dead = child(process, command)
    dead.kill()

    def is_back():
        found = child(process, command)
        return found is not None and found.pid != dead.pid

    wait_until(is_back, seconds=COMES_BACK)
    assert status(port, "/readyz") in {200, 0}  # whoever asks meanwhile waits
    wait_until(lambda: status(port, "/readyz") == 200, seconds=COMES_BACK)


def test_a_database_that_dies_is_started_again(place):
    home, port = place.home, place.port
    dead = Cluster(home).postmaster()
    dead.kill()
    wait_until(lambda: status(port, "/readyz") == 200, seconds=2 * COMES_BACK)
    assert Cluster(home).postmaster().pid != dead.pid


def test_no_judgement_that_was_acknowledged_is_lost_or_doubled(place):
    """People work on while the web process, one connection's server and all of it are killed."""
    home, port = place.home, place.port
    engine = connect(Cluster(home).url())
    project_id, judges, enough = make_judges(port, count=6, tasks=5_000, wanted=2)

    def work_goes_on():
        had = sum(len(judge.acknowledged) for judge in judges)
        wait_until(
            lambda: sum(len(judge.acknowledged) for judge in judges) > had + 10,
            seconds=3 * COMES_BACK,
        )

    for judge in judges:
        judge.start()
    for victim in (
        lambda: child(place.process, "serve"),
        lambda: next(
            part
            for part in Cluster(home).postmaster().children()
            if "[local]" in " ".join(part.cmdline())
        ),
        lambda: Cluster(home).postmaster(),
    ):
        work_goes_on()
        victim().kill()
    work_goes_on()
    enough.set()
    for judge in judges:
        judge.join(timeout=3 * COMES_BACK)
    assert sum(judge.retries for judge in judges) > 0
    assert [judge.refusals for judge in judges] == [[]] * len(judges)
    unacknowledged = check_exactly_k(project_id, judges, all_done=False)
    assert unacknowledged == set()
    engine.dispose()
    SessionLocal.configure(bind=None)


def test_a_second_start_names_the_first(place):
    home, port = place.home, place.port
    second = touchstone(home, "up")
    assert second.returncode == 2
    assert f"already runs for this home ({home}): http://127.0.0.1:{port}." in second.stderr
    assert "Traceback" not in second.stderr
    assert status(port, "/healthz") == 200


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
    assert status(port, "/healthz") == 200
