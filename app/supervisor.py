"""`touchstone up`: everything on one machine, kept running.

The supervisor holds the database, the listening socket and its children; it imports neither the
web application nor the trainer. While a web process is started again, the others answer; where
there is only one, visitors wait at the socket.
"""

import contextlib
import errno
import http.client
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.config import Settings
from app.errors import Conflict, Invalid
from app.postgres import Attachment, Cluster, PostgresProblem, attach, normal_url
from app.postgres.locks import open_lock, try_exclusive

TICK = 0.2  # seconds between two looks at the children
DATABASE_TICK = 1.0
LONGEST_PAUSE = 4.0  # before a part that keeps dying is started again
STEADY = 60.0  # seconds after which a part counts as healthy
STOP_LIMIT = 30.0  # a training saves its checkpoint
PORT, PORTS = 8000, 20
FIGURES_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client adds processes up
SUPERVISOR = "TOUCHSTONE_SUPERVISOR"  # the number of the process that a child belongs to


@dataclass
class Part:
    """A child process that is to run for as long as the supervisor does."""

    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    next_start: float = 0.0
    pause: float = 0.0

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        """To the part and whatever it started in its own group."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


class Supervisor:
    """Starts the parts, restarts what dies, stops all of them."""

    def __init__(
        self, *, database: Attachment | None, listener: socket.socket, web_processes: int
    ) -> None:
        self.database = database
        self.listener = listener
        self.stopping = threading.Event()
        self.hurry = threading.Event()
        self.looked_at = time.monotonic()
        self.gate, self.opener = os.pipe()  # the web process waits at it while we prepare
        self.counts = shared_page()  # how many connections each web process has
        # They share the socket: who has the fewest takes the next visitor.
        first, *later = (Part("web process", self._serve(each)) for each in range(web_processes))
        self.parts = [first, Part("worker", touchstone("worker"))]
        self.later = later

    def _serve(self, number: int) -> Sequence[str]:
        shared = {"--fd": self.listener.fileno(), "--after": self.gate}
        shared |= {"--counts": self.counts.fileno(), "--number": number}
        return touchstone("serve", *(str(word) for pair in shared.items() for word in pair))

    def listen_to_signals(self) -> None:
        def stop(_number: int, _frame: object) -> None:
            if self.stopping.is_set():
                self.hurry.set()
            self.stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, stop)

    def prepare(self, *, url: str, demo: bool) -> str:
        """Migrate and seed in a child; answers the set-up link, empty once there is an admin.

        Meanwhile the web process loads what it needs, which takes as long.
        """
        self._start(self.parts[0])
        command = touchstone("prepare", "--url", url, *(["--demo"] if demo else []))
        part = Part("preparation", command)
        self._start(part, stdout=subprocess.PIPE)
        assert part.process is not None
        while not part.has_ended():
            if self.stopping.wait(TICK):
                part.send(signal.SIGTERM)
                part.process.wait()
        assert part.process.stdout is not None
        link = part.process.stdout.read().decode().strip()
        part.process.stdout.close()
        if part.process.returncode and not self.stopping.is_set():
            sys.exit(part.process.returncode)  # it has said why
        os.close(self.opener)
        return link

    def run(self, *, announcement: str) -> None:
        """Keep everything running until somebody wants it to end."""
        is_announced = False
        while not self.stopping.is_set():
            self._keep_database()
            for part in self.parts:
                self._keep(part)
            if not is_announced and answers(self.listener):
                is_announced = True
                say(announcement)
                self.parts += self.later  # now: the first page has not waited for them
            self.stopping.wait(TICK)

    def stop(self) -> None:
        """End the parts in order, by force on a second signal or after a while."""
        running = [part for part in self.parts if not part.has_ended()]
        for part in running:
            part.send(signal.SIGTERM)
        started, has_explained = time.monotonic(), False
        while any(not part.has_ended() for part in running):
            waited = time.monotonic() - started
            if self.hurry.is_set() or waited > STOP_LIMIT:
                for part in running:
                    part.send(signal.SIGKILL)
            if waited > 3 and not has_explained:
                has_explained = True
                names = " and the ".join(part.name for part in running if not part.has_ended())
                say(f"Waiting for the {names} to finish what is open (Ctrl-C again: at once) …")
            time.sleep(0.05)

    def _start(self, part: Part, *, stdout: int | None = None) -> None:
        part.started_at = time.monotonic()
        part.process = subprocess.Popen(
            part.command,
            env=os.environ | {SUPERVISOR: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            pass_fds=[self.listener.fileno(), self.gate, self.counts.fileno()],
            start_new_session=True,  # Ctrl-C in the terminal is for us; we tell them in order
        )

    def _keep(self, part: Part) -> None:
        now = time.monotonic()
        if part.process is None:
            if now >= part.next_start:
                self._start(part)
        elif part.process.poll() is not None:
            is_steady = now - part.started_at > STEADY
            part.pause = 0 if is_steady else min(LONGEST_PAUSE, max(TICK, part.pause * 2))
            part.next_start = now + part.pause
            say(f"The {part.name} ended ({how(part.process.returncode)}); starting it again.")
            part.process = None

    def _keep_database(self) -> None:
        now = time.monotonic()
        if self.database is None or now - self.looked_at < DATABASE_TICK:
            return
        try:
            if not self.database.cluster.is_alive():
                say("The database does not answer; starting it again.")
                if self.database.ensure():
                    say("The database is back.")
        except PostgresProblem as problem:
            say(str(problem))
        self.looked_at = time.monotonic()


def up(settings: Settings, *, host: str, port: int | None, demo: bool) -> None:
    """Run database, migrations, web and a worker until Ctrl-C or SIGTERM."""
    home = settings.home_path
    Cluster(home).prepare_home()
    with contextlib.ExitStack() as stack:
        note = stack.enter_context(only_one(home))
        listener = stack.enter_context(open_port(host, port, same_as=note.last_port))
        url = address(*listener.getsockname()[:2])
        note.write(url, listener.getsockname()[1])
        database = None
        if settings.database_url:
            os.environ["DATABASE_URL"] = normal_url(settings.database_url)
        else:
            database = attach(home)
            stack.callback(database.release)
            os.environ["DATABASE_URL"] = database.url
        os.environ["TOUCHSTONE_HOME"] = str(home)
        os.environ[FIGURES_FOLDER] = str(emptied(home / "figures"))
        supervisor = Supervisor(
            database=database, listener=listener, web_processes=settings.web_processes
        )
        supervisor.listen_to_signals()
        try:
            link = supervisor.prepare(url=url, demo=demo)
            supervisor.run(announcement=announcement(url, link=link, home=home))
        finally:
            say("Stopping …")
            supervisor.stop()
    say("Stopped.")


def emptied(folder: Path) -> Path:
    """The folder, without what an earlier run has left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def announcement(url: str, *, link: str, home: Path) -> str:
    lines = [f"Touchstone runs at {url}"]
    if link:
        lines.append(f"Make the first administrator (works once, for a day): {link}")
    lines.append(f"Everything is kept in {home}. Stop with Ctrl-C.")
    return "\n".join(lines)


class Note:
    """What a running `up` tells others in its lock file: its address."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.last_port: int | None = None

    def read(self) -> dict[str, object]:
        try:
            found = json.loads(os.pread(self.descriptor, 4096, 0))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, url: str, port: int) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps({"url": url, "port": port}).encode(), 0)

    def erase(self) -> None:
        os.ftruncate(self.descriptor, 0)


@contextmanager
def only_one(home: Path) -> Iterator[Note]:
    """At most one `up` per home; a second one ends with the address of the first."""
    descriptor = open_lock(home / "up.lock")
    try:
        note = Note(descriptor)
        left_behind = note.read()
        if not try_exclusive(descriptor):
            where = left_behind.get("url", "it is just starting")
            raise Conflict(
                f"Touchstone already runs for this home ({home}): {where}. Set TOUCHSTONE_HOME to "
                "another folder for a second installation."
            )
        last_port = left_behind.get("port")
        note.last_port = last_port if isinstance(last_port, int) else None
        yield note
        note.erase()
    finally:
        os.close(descriptor)


def running_url(home: Path) -> str | None:
    """The address of the `up` that runs for this home, if one does."""
    if not (home / "up.lock").exists():
        return None
    descriptor = open_lock(home / "up.lock")
    try:
        if try_exclusive(descriptor):
            return None
        url = Note(descriptor).read().get("url")
        return url if isinstance(url, str) else None
    finally:
        os.close(descriptor)


def open_port(host: str, port: int | None, *, same_as: int | None = None) -> socket.socket:
    """The listening socket: `port`, or the first free one from 8000 on.

    `same_as` is the port of an `up` that was killed: its web process lets it go in a moment.
    """
    if port is not None or same_as is not None:
        wanted = port if port is not None else same_as
        assert wanted is not None
        deadline = time.monotonic() + (8 if wanted == same_as else 0)
        while True:
            try:
                return listening(host, wanted)
            except Conflict:
                if time.monotonic() < deadline:
                    time.sleep(TICK)
                elif port is not None:
                    raise
                else:
                    break
    for number in range(PORT, PORT + PORTS):
        with contextlib.suppress(Conflict):
            found = listening(host, number)
            if number != PORT:
                say(f"Port {PORT} is in use by another program; taking {number}.")
            return found
    raise Conflict(f"The ports {PORT} to {PORT + PORTS - 1} are all in use. Name one with --port.")


def listening(host: str, port: int) -> socket.socket:
    """A listening TCP socket, or a sentence that says why there cannot be one."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise Invalid(f"{host} is no address of this machine ({error.strerror}).") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"Port {port} on {host} is in use by another program. Name another with --port."
            ) from error
        if error.errno == errno.EACCES:
            raise Invalid(
                f"This account may not listen on port {port}; take one above 1023."
            ) from error
        raise Invalid(f"{host} is no address of this machine ({error.strerror}).") from error
    return listener


def address(host: str, port: int) -> str:
    """The URL under which a person on this machine reaches the socket."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # it is replaced
    return f"http://[{own}]:{port}" if ":" in own else f"http://{own}:{port}"


def answers(listener: socket.socket) -> bool:
    host, port = listener.getsockname()[:2]
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # it is replaced
    connection = http.client.HTTPConnection(own, port, timeout=0.5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def shared_page() -> BinaryIO:
    """A file that is nowhere in a folder, for memory that processes share: one page of zeros."""
    page = tempfile.TemporaryFile()  # noqa: SIM115 -- it is the caller's
    page.truncate(mmap.PAGESIZE)
    return page


def touchstone(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "app.cli", *arguments]


def how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"


def say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever read us has gone; the work goes on
        print(text, flush=True)  # noqa: T201


def follow_supervisor() -> None:
    """End this process when the supervisor that started it has gone, however it went."""
    number = os.environ.pop(SUPERVISOR, None)
    if number is None:
        return

    def watch() -> None:
        while os.getppid() == int(number):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_LIMIT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
