"""What a worker says when something on its machine is in the way, and what is to be done."""

import errno
import os
import socket

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def host() -> str:
    return socket.gethostname()


def is_full(error: BaseException) -> bool:
    """Whether there was no room to write; what copies whole folders hides it in its text."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    signs = (os.strerror(number) for number in FULL)
    return isinstance(error, OSError) and any(sign in str(error) for sign in signs)


def in_words(error: Exception) -> str:
    """One sentence on what happened and one on what to do, for the page of a run."""
    place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    if is_full(error):
        return (
            f"There is no room left on the disk of the worker {host()} or in the artifact "
            f"store{place}. Make room, then resume the run."
        )
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        return (
            f"The worker {host()} may not write where it has to{place}: {error.strerror}. Give its "
            "account the right to, then resume the run."
        )
    return (
        f"The worker {host()} could not carry this out ({type(error).__name__}: {error}). Its log "
        "has the details; resume once the cause is gone."
    )
