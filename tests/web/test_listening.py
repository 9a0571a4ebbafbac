"""Web processes share new connections, also those that come all at once."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn

from app.supervisor import listening
from app.web import listening as web_listening
from app.web.listening import SharingServer
from tests.waiting import until


async def who(scope: Any, _receive: Any, send: Any) -> None:
    """Answer which process this is."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"process {os.getpid()}".encode()})


def made() -> SharingServer:
    return SharingServer(uvicorn.Config(who, lifespan="off", log_config=None))


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


def test_those_that_come_at_once_are_shared(listener: socket.socket) -> None:
    address, command = listener.getsockname(), [sys.executable, "-m", "tests.web.test_listening"]
    with ExitStack() as stack:
        for _ in range(2):
            process = subprocess.Popen(
                [*command, str(listener.fileno())], pass_fds=[listener.fileno()]
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        def first() -> str:
            with socket.create_connection(address, timeout=60) as connection:
                return asked(connection)

        until(lambda: len({first() for _ in range(8)}) == 2)
        people = [stack.enter_context(socket.create_connection(address)) for _ in range(40)]
        each = Counter(asked(person) for person in people)
    assert len(each) == 2
    assert min(each.values()) >= 14, each


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
    made().run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
