"""The embedded server: started by who comes first, stopped by who leaves last, killed at will."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from app.postgres import Cluster, PostgresProblem, attach, normal_url, running
from app.postgres import launch as launcher
from app.postgres.cluster import LONGEST_SOCKET, SOCKET
from tests.setup.processes import ROOT, wait_until


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def ask(url, question, *values):
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return connection.execute(question, values).fetchone()[0]


def tell(url, statement):
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(statement)


def test_a_new_home_gets_a_server_that_keeps_what_it_acknowledged(home):
    with running(home) as url:
        assert ask(url, "SHOW server_version").startswith("18")
        assert ask(url, "SELECT current_user || current_database()") == "touchstonetouchstone"
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert ask(url, f"SHOW {name}") == "on"
        assert ask(url, "SHOW server_encoding") == "UTF8"
        assert ask(url, "SHOW max_connections") == "100"
        assert ask(url, "SHOW listen_addresses") == ""
        assert ask(url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        tell(url, "CREATE TABLE kept AS SELECT 7 AS seven")
    assert Cluster(home).postmaster() is None
    with running(home) as url:
        assert ask(url, "SELECT seven FROM kept") == 7


def test_who_leaves_last_stops_the_server(home):
    first = attach(home)
    second = attach(home)
    pid = first.cluster.postmaster().pid
    first.release()
    assert second.cluster.is_alive()
    assert second.cluster.postmaster().pid == pid
    second.release()
    assert not second.cluster.is_alive()
    second.release()  # a second time is nothing


def test_a_killed_server_is_started_again_with_its_data(home):
    attachment = attach(home)
    try:
        tell(attachment.url, "CREATE TABLE kept AS SELECT 7 AS seven")
        attachment.cluster.postmaster().kill()
        assert not attachment.cluster.is_alive()
        assert attachment.ensure()
        assert ask(attachment.url, "SELECT seven FROM kept") == 7
        assert not attachment.ensure()
    finally:
        attachment.release()


def test_one_that_is_killed_as_it_comes_up_is_started_once_more(home, monkeypatch):
    """As where a kill follows upon another, before the first start has ended."""
    real, killed = Cluster._make_database, []

    def make_database(self: Cluster) -> None:
        if not killed:
            killed.append(self.postmaster())
            killed[0].kill()
            killed[0].wait()
        real(self)

    attachment = attach(home)
    try:
        tell(attachment.url, "CREATE TABLE kept AS SELECT 7 AS seven")
        attachment.cluster.postmaster().kill()
        monkeypatch.setattr(Cluster, "_make_database", make_database)
        assert attachment.ensure()
        assert ask(attachment.url, "SELECT seven FROM kept") == 7
        assert attachment.cluster.postmaster() != killed[0]
    finally:
        attachment.release()


def test_a_pid_file_whose_number_is_another_programs_by_now_is_stale(home):
    attachment = attach(home)
    cluster = attachment.cluster
    tell(attachment.url, "CREATE TABLE kept AS SELECT 7 AS seven")
    cluster.postmaster().kill()
    wait_until(lambda: cluster.postmaster() is None, seconds=5)
    other = subprocess.Popen(
        ["sleep", "60"], user=cluster.account.pw_uid if os.geteuid() == 0 else None
    )
    try:
        for file in (cluster.data / "postmaster.pid", cluster.socket_folder / f"{SOCKET}.lock"):
            _, rest = file.read_text().split("\n", 1)
            file.write_text(f"{other.pid}\n{rest}")
        assert cluster.postmaster() is None
        attachment.ensure()
        assert ask(attachment.url, "SELECT seven FROM kept") == 7
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        attachment.release()


def test_two_homes_are_two_servers(tmp_path):
    with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        tell(one, "CREATE TABLE mine AS SELECT 1 AS number")
        assert ask(two, "SELECT to_regclass('mine')") is None
        assert Cluster(tmp_path / "one").name != Cluster(tmp_path / "two").name


def test_a_path_that_no_socket_can_have_gets_a_short_private_one(tmp_path):
    home = tmp_path / ("very long, with spaces and ünïcode " * 3)
    with running(home) as url:
        folder = Cluster(home).socket_folder
        assert len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET
        assert folder.stat().st_mode & 0o077 == 0
        assert ask(url, "SELECT 1") == 1
    assert not folder.exists()


def test_somebody_who_took_the_short_name_first_is_passed_by(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        monkeypatch.setattr("tempfile.gettempdir", lambda: temporary)
        home = Path("/") / ("x" * 120)
        name = f"{Cluster(home).name}-{Cluster(home).account.pw_uid}"
        taken = Path(temporary) / f"{name}-0"
        taken.mkdir()
        taken.chmod(0o777)
        assert Cluster(home).socket_folder == Path(temporary) / f"{name}-1"


def test_a_killed_user_of_the_server_keeps_nobody_from_stopping_it(home):
    program = "import sys, time; from app.postgres import attach; from pathlib import Path\n"
    program += "attach(Path(sys.argv[1])); print('attached', flush=True); time.sleep(60)"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert other.stdout.readline() == "attached\n"
    pid = Cluster(home).postmaster().pid
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    with running(home):
        assert Cluster(home).postmaster().pid == pid  # the orphan is taken over
    assert not Cluster(home).is_alive()


def test_a_half_made_data_folder_is_made_anew(home):
    (home / "postgres.new" / "base").mkdir(parents=True)
    with running(home) as url:
        assert ask(url, "SELECT 1") == 1
    assert not (home / "postgres.new").exists()


def test_a_data_folder_of_something_else_is_left_alone(home):
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "letters.txt").write_text("mine")
    with pytest.raises(PostgresProblem, match=r"not empty and not a database. Move it away"):
        attach(home)
    assert (home / "postgres" / "letters.txt").read_text() == "mine"


def test_a_database_of_another_version_is_left_alone(home):
    (home / "postgres").mkdir(parents=True)
    (home / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(PostgresProblem, match=r"is of PostgreSQL 17, this Touchstone brings 18"):
        attach(home)


def test_a_server_that_cannot_start_says_why(home):
    with running(home):
        pass
    (home / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    started = time.monotonic()
    with pytest.raises(PostgresProblem, match=r"no_such_setting|configuration file"):
        attach(home)
    assert time.monotonic() - started < 20


def test_a_home_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PostgresProblem, match="Set TOUCHSTONE_HOME to a folder that you may"):
        attach(tmp_path / "file" / "home")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_it_as_herself(tmp_path):
    nobody = pwd.getpwnam("nobody")
    folder = tmp_path / "hers"
    folder.mkdir()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    program = (
        "import os, sys; from pathlib import Path\n"
        "from app.postgres import Cluster, running\n"
        "with running(Path(sys.argv[1])):\n"
        "    print(os.geteuid(), Cluster(Path(sys.argv[1])).postmaster().uids().effective)\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, launcher.__file__, "--as", "nobody", "--folder", str(folder)),
            *(sys.executable, "-c", program, str(folder / "home")),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == [str(nobody.pw_uid)] * 2, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_runs_it_under_another_account_with_one_right_at_most(home):
    with running(home):
        process = Cluster(home).postmaster()
        assert process.uids().effective == Cluster(home).account.pw_uid != 0
        status = Path(f"/proc/{process.pid}/status").read_text()
        held = int(status.split("CapEff:")[1].split()[0], 16)
        assert held in {0, 1 << launcher.CAP_DAC_READ_SEARCH, 1 << launcher.CAP_DAC_OVERRIDE}
        assert (home / "postgres").stat().st_uid == process.uids().effective
        assert psutil.Process().uids().effective == 0


@pytest.mark.parametrize(
    "given", ["postgres://u@h/d", "postgresql://u@h/d", "postgresql+psycopg://u@h/d"]
)
def test_every_way_to_write_a_postgresql_url_is_understood(given):
    assert normal_url(given) == "postgresql+psycopg://u@h/d"


@pytest.mark.parametrize(
    "given", ["mysql://u@h/d", "sqlite:///x.db", "nonsense", "postgresql://u@h:port/d"]
)
def test_other_databases_are_refused_with_an_example(given):
    with pytest.raises(PostgresProblem, match="must look like postgresql://"):
        normal_url(given)
