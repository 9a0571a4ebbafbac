"""How a run can end early: each with its exit code and one sentence that says what to change."""

import errno
import signal
from types import FrameType


class Failure(Exception):
    """The base of them all; `str(error)` is for people."""

    exit_code = 1


class BadInput(Failure):
    """Data, a model or settings that cannot be used."""

    exit_code = 2


class OutOfMemory(Failure):
    exit_code = 3


class Diverged(Failure):
    """A loss or gradient that is not a number."""

    exit_code = 4


class DiskFull(Failure):
    """Something could not be written; what was complete before stays."""


class ProcessLost(Failure):
    """Another process of the same training ended."""


class Cancelled(Failure):
    """SIGTERM or Ctrl-C came; raised between two steps."""

    exit_code = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory.

    A plain RuntimeError says it on a CPU, and on a GPU where there is no room for cuBLAS itself.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    signs = (
        "can't allocate memory", "out of memory", "not enough memory", "Cannot allocate",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )  # fmt: skip
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)


OUT_OF_MEMORY = (
    "Out of memory. Lower max_tokens_per_forward or per_device_train_batch_size (raise "
    "gradient_accumulation_steps to keep the batch), set gradient_checkpointing=true or "
    "bf16=true, shorten max_length, or train an adapter with lora_r=16 (and load_in_4bit=true)."
)


def is_disk_full(error: BaseException) -> bool:
    """Whether there was no room to write (safetensors and torch say it in their own words)."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    signs = (
        "No space left on device", "File too large", "Disk quota exceeded",
        "PytorchStreamWriter failed", "inline_container.cc",
    )  # fmt: skip
    return any(sign in str(error) for sign in signs)


DISK_FULL = (
    "The disk is full. Make room (save_total_limit says how many checkpoints are kept), then add "
    "--resume to go on from the last checkpoint."
)


def is_process_lost(error: BaseException | None) -> bool:
    """Whether another process no longer answers (gloo, NCCL and torch's store say it)."""
    if type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError"):
        return True
    signs = ("gloo/transport", "Connection closed by peer", "Connection reset by peer")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


PROCESS_LOST = (
    "Another process of this training ended, so that it cannot go on; its own last lines say why. "
    "Launch all of them again with --resume to go on from the last checkpoint."
)


class Signals:
    """Remembers SIGTERM and Ctrl-C until a loop asks; a second one ends the process at once."""

    def __init__(self) -> None:
        self.came = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._remember)
        signal.signal(signal.SIGINT, self._remember)

    def check(self, sentence: str) -> None:
        """Raise `Cancelled` once one has come."""
        if self.came:
            raise Cancelled(sentence)

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        if self.came:
            raise SystemExit(Cancelled.exit_code)
        self.came = True


signals = Signals()
