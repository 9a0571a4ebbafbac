"""The trainer, in a process that has loaded torch already: `python ready_trainer.py SOCKET …`.

To load it takes four CPU seconds, and a journey trains, writes and scores in eight processes. This
command asks a server to fork; it stands for the forked process, which gets its arguments, folder,
environment, output and signals, and ends with it. That the worker's own command starts a trainer
is seen in `test_browser_loop.py`, `test_main.py`, `test_on_s3.py` and `test_rehearsing.py`.
"""

import json
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = struct.Struct("!I")


def main(address: str, *arguments: str) -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        asked = json.dumps([arguments, str(Path.cwd()), dict(os.environ)]).encode()
        socket.send_fds(server, [SIZE.pack(len(asked))], [1, 2])
        server.sendall(asked)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda number, _: server.send(bytes([number])))
        code = server.recv(1)
    return code[0] if code else 1  # it was killed


def serve(address: str) -> None:
    """Fork for whoever asks."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            caller, _ = listening.accept()
            with caller:
                size, files, _, _ = socket.recv_fds(caller, SIZE.size, 2)
                if os.fork() == 0:
                    listening.close()
                    asked = caller.recv(*SIZE.unpack(size), socket.MSG_WAITALL)
                    os._exit(train(caller, *json.loads(asked), files))
                for file in files:
                    os.close(file)


def train(
    caller: socket.socket,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    files: list[int],
) -> int:
    """Be the trainer → its exit code, which whoever asked has been told."""
    import torch

    from app.trainer.__main__ import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    torch.set_num_threads(1)
    threading.Thread(target=pass_on_signals, args=[caller], daemon=True).start()
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - told as where a process ends of it
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    caller.send(bytes([code]))
    return code


def pass_on_signals(caller: socket.socket) -> None:
    while number := caller.recv(1):
        os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)  # whom it stands for is gone


@contextmanager
def ready_trainer(folder: Path) -> Iterator[tuple[str, ...]]:
    """The command, as long as its server runs."""
    from tests.forks import FORKS
    from tests.waiting import until

    address = folder / "trainer"
    server = FORKS.Process(target=serve, args=[str(address)], daemon=True)
    server.start()
    until(address.exists)
    yield (sys.executable, __file__, str(address))
    server.kill()
    server.join()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
