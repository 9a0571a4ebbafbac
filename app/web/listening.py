"""Web processes that listen on one socket, and share what comes evenly."""

import asyncio
import socket
from typing import Any

import uvicorn

STEP, MOST = 0.001, 20  # seconds of waiting for each connection, of so many at most
TROUBLE = 1.0  # seconds until the next try where no more files can be opened


class SharingServer(uvicorn.Server):
    """Takes a new connection the later the more it has, so that who has fewest takes it.

    Whichever process is awake would take all of those that come at once, and its people would wait
    while another process has nothing to do.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._starting = set[asyncio.Task[Any]]()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        for listener in sockets or []:
            listener.setblocking(False)
            self._listen(listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        await super().shutdown(sockets)

    def _listen(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._hold_back, listener)

    def _hold_back(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        connections = len(self.server_state.connections)
        loop.call_later(min(connections, MOST) * STEP, self._take, listener, 1 + connections // 2)

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
