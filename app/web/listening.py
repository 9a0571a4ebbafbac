"""Web processes that listen on one socket, and share what comes evenly."""

import asyncio
import mmap
import socket
from typing import Any

import uvicorn

STEP, MOST = 0.001, 20  # seconds of waiting for each connection too many, of so many at most
TROUBLE = 1.0  # seconds until the next try where no more files can be opened


class Counts:
    """How many connections each web process has, in a page of memory that they share.

    Each writes at its own number only. Without a file there is one process.
    """

    def __init__(self, descriptor: int = -1, *, number: int = 0) -> None:
        self._counts = memoryview(mmap.mmap(descriptor, mmap.PAGESIZE)).cast("i")
        self._number = number

    def tell(self, connections: int) -> None:
        self._counts[self._number] = 1 + connections  # 0 is no process

    def leave(self) -> None:
        self._counts[self._number] = 0

    def ahead(self) -> int:
        """How many more this process has than the one with the fewest."""
        mine = self._counts[self._number]
        return mine - min(count for count in self._counts if count)


class SharingServer(uvicorn.Server):
    """Takes a new connection the later the more it is ahead, so that who has fewest takes it.

    Whichever process is awake would take all of those that come at once, and its people would wait
    while another process has nothing to do.
    """

    def __init__(self, config: uvicorn.Config, counts: Counts | None = None) -> None:
        super().__init__(config)
        self._counts = counts or Counts()
        self._starting = set[asyncio.Task[Any]]()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        for listener in sockets or []:
            listener.setblocking(False)
            self._listen(listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        self._counts.leave()
        await super().shutdown(sockets)

    def _listen(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._look, listener)

    def _look(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listener)
        self._hold_back(listener, waited=0)

    def _hold_back(self, listener: socket.socket, waited: int) -> None:
        if self.should_exit:
            return  # the others take it
        self._tell()
        ahead = min(self._counts.ahead(), MOST)
        if ahead <= waited:
            self._take(listener, 1 + ahead // 2)  # who should have taken them may be dead
        else:
            asyncio.get_running_loop().call_later(STEP, self._hold_back, listener, waited + 1)

    def _tell(self) -> None:
        self._counts.tell(len(self.server_state.connections) + len(self._starting))

    def _take(self, listener: socket.socket, most: int) -> None:
        loop, pause = asyncio.get_running_loop(), 0.0
        for _ in range(most):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break  # another process was quicker
            except OSError:
                pause = TROUBLE
                break
            connection.setblocking(False)
            start = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
            self._starting.add(start)  # the loop alone would forget it
            start.add_done_callback(self._starting.discard)
        self._tell()
        if pause:
            loop.call_later(pause, self._listen, listener)
        else:
            self._listen(listener)

    def _protocol(self) -> asyncio.Protocol:
        made: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = made(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol
