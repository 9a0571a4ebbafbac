"""Start a PostgreSQL program outside our own process; standard library only.

    python launch.py [--as ACCOUNT --folder DATA] [--log FILE] PROGRAM ARGUMENT …

PostgreSQL refuses to run as root, so root names an unprivileged account. That account may be
unable to enter the folders on the way to the program or the data (`/root` is closed to it); it
then keeps the one capability that opens them, and no other right of root.
With `--log` the program becomes a daemon: it has its own session and outlives us; its number is
printed.
"""

import argparse
import ctypes
import os
import pwd
import sys

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 8, 28, 47
NO_SETUID_FIXUP = 4  # setuid leaves capabilities alone, and access(2) looks at them
AMBIENT_RAISE, AMBIENT_CLEAR_ALL = 2, 4
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--as", dest="account")
    parser.add_argument("--folder", default="/")
    parser.add_argument("--log")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    program, *rest = arguments.command
    log = open_log(arguments.log) if arguments.log else None
    if arguments.account:
        become(arguments.account, program=program, folder=arguments.folder)
    if log is not None:
        daemonise(log)
    os.execv(program, [program, *rest])  # noqa: S606


def open_log(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def become(account: str, *, program: str, folder: str) -> None:
    """Change into `account`, with as few rights as let it run `program` and enter `folder`."""
    entry = pwd.getpwnam(account)
    libc = ctypes.CDLL(None, use_errno=True)
    has_capabilities = hasattr(libc, "capset")
    if has_capabilities:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        libc.prctl(PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0)
    try:
        os.initgroups(account, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except PermissionError:
        sys.exit(f"root may not change into the account {account} on this machine")
    os.umask(0o077)
    os.chdir("/")
    os.environ["HOME"] = "/"  # root's is closed to the account
    if not has_capabilities:
        return
    held = permitted(libc)
    for capability in (0, 1 << CAP_DAC_READ_SEARCH, 1 << CAP_DAC_OVERRIDE):
        if capability & ~held or not keep(libc, capability, permitted=held):
            continue
        if can_use(program, folder):
            keep(libc, capability, permitted=capability)
            return
    sys.exit(f"the account {account} cannot enter {folder}, or the folder of {program}")


def permitted(libc: ctypes.CDLL) -> int:
    """The capabilities that this process may hold, as bits (the first 32)."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    return int(sets[1]) if libc.capget(header, sets) == 0 else 0


def keep(libc: ctypes.CDLL, capabilities: int, *, permitted: int) -> bool:
    """Hold `capabilities` now and after exec; of the others only `permitted` can come back."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(capabilities, permitted, capabilities, 0, 0, 0)
    if libc.capset(header, sets) != 0:
        return False
    libc.prctl(PR_CAP_AMBIENT, AMBIENT_CLEAR_ALL, 0, 0, 0)
    return all(
        libc.prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, number, 0, 0) == 0
        for number in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)
        if capabilities >> number & 1
    )


def can_use(program: str, folder: str) -> bool:
    """PostgreSQL asks access(2) about its programs, and opens its data."""
    try:
        os.listdir(folder)  # noqa: PTH208 # pathlib asks nothing before the first name is taken
    except OSError:
        return False
    return os.access(program, os.R_OK | os.X_OK)


def daemonise(log: int) -> None:
    sys.stdout.flush()
    if pid := os.fork():
        print(pid, flush=True)  # noqa: T201
        os._exit(0)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


if __name__ == "__main__":
    main()
