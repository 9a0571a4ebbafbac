"""Web processes share new connections, also those that come all at once."""

import asyncio
import errno
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn

from app.supervisor import listening, shared_page
from app.web import listening as web_listening
from app.web.listening import Counts, SharingServer
from tests.waiting import until


async def who(scope: Any, _receive: Any, send: Any) -> None:
    """Answer which process this is."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"process {os.getpid()}".encode()})


def made(counts: Counts | None = None) -> SharingServer:
    return SharingServer(uvicorn.Config(who, lifespan="off", log_config=None), counts)


def asked(connection: socket.socket) -> str:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    answer = b""
    while b"process" not in answer or b"0\r\n\r\n" not in answer:
        got = connection.recv(1 << 16)
        assert got
        answer += got
    return answer.decode().split("process ")[1].split()[0]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening("127.0.0.1", 0) as found:
        yield found


@pytest.fixture
def processes(listener: socket.socket) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two web processes that listen there."""
    with ExitStack() as stack:
        shared = [listener.fileno(), stack.enter_context(shared_page()).fileno()]
        command = [sys.executable, "-m", "tests.web.test_listening", *map(str, shared)]
        found = []
        for number in range(2):
            process = subprocess.Popen([*command, str(number)], pass_fds=shared)
            stack.callback(process.wait)
            stack.callback(process.kill)
            found.append(process)

        def first() -> str:
            with socket.create_connection(listener.getsockname(), timeout=60) as connection:
                return asked(connection)

        until(lambda: len({first() for _ in range(8)}) == 2)
        yield found


def test_those_that_come_at_once_are_shared(listener: socket.socket, processes: list[Any]) -> None:
    fewest = []
    for _ in range(5):
        with ExitStack() as stack:
            address = listener.getsockname()
            people = [stack.enter_context(socket.create_connection(address)) for _ in range(40)]
            each = Counter(asked(person) for person in people)
        assert len(each) == 2
        fewest.append(min(each.values()))
    assert statistics.median(fewest) >= 18, fewest  # a busy machine may halt one for a while


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_those_of_a_process_that_ended_are_taken_by_the_other(
    listener: socket.socket, processes: list[subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    processes[0].send_signal(number)
    processes[0].wait(60)
    with ExitStack() as stack:
        people = [
            stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(40)
        ]
        assert {asked(person) for person in people} == {str(processes[1].pid)}


@contextmanager
def started(listener: socket.socket) -> Iterator[SharingServer]:
    """A server in a thread."""
    server = made()
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
    thread.start()
    try:
        until(lambda: server.started)
        yield server
    finally:
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()


def test_one_alone_takes_all(listener: socket.socket) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(started(listener.dup()))
        address = listener.getsockname()
        people = [stack.enter_context(socket.create_connection(address)) for _ in range(200)]
        assert {asked(person) for person in people} == {str(os.getpid())}
        assert len(server.server_state.connections) == 200


class Exhausted(socket.socket):
    """The process may open no more files, for two tries."""

    tries = 0

    def accept(self) -> Any:
        self.tries += 1
        if self.tries <= 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_a_connection_waits_until_there_is_a_file_for_it(
    listener: socket.socket, monkeypatch
) -> None:
    monkeypatch.setattr(web_listening, "TROUBLE", 0.01)
    own = Exhausted(fileno=listener.dup().detach())
    with started(own), socket.create_connection(listener.getsockname()) as person:
        assert asked(person)
    assert own.tries >= 3


if __name__ == "__main__":
    file, page, number = (int(each) for each in sys.argv[1:])
    made(Counts(page, number=number)).run(sockets=[socket.socket(fileno=file)])
