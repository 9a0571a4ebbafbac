"""One PostgreSQL server inside a home: its folder, its processes, its start and its end."""

import contextlib
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql
from psycopg.pq import PGconn, Ping

from app.postgres import launch
from app.postgres.machine import (
    VERSION,
    account_name,
    binaries,
    is_there,
    last_line,
    own_name,
    owner,
    server_account,
    shared_memory,
    wait_for_end,
)
from app.postgres.problems import PostgresProblem

SUPERUSER = "postgres"
ROLE = DATABASE = "touchstone"
TRIES = 3  # starts that end at once
START_LIMIT = 60  # seconds without an answer
RECOVERY_LIMIT = 900  # seconds while the server says that it is recovering
STOP_LIMIT = 30
LOG_LIMIT = 16 * 1024 * 1024
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 107  # bytes of sun_path, less the final NUL

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}

# Lines of the log that say why a start failed; the rest of FATAL are callers sent away.
WHY = re.compile(r"PANIC: |FATAL:  (?!the database system is)")


@dataclass(frozen=True)
class Cluster:
    """The server of `home` (an absolute path). Nothing here takes locks; see `app.postgres`."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    @cached_property
    def name(self) -> str:
        """Shown in the titles of the server's processes, different for every home."""
        return f"touchstone-{hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]}"

    @cached_property
    def account(self) -> pwd.struct_passwd:
        """Who runs the server: we, or for root an account that is not root."""
        return server_account(owner(self.data), owner(self.home))

    @cached_property
    def socket_folder(self) -> Path:
        """In the home where its path can be a socket's, else a private one in the temporary folder.

        Only the account that runs the server (and root) can enter it: that is the whole access
        control, there is no password and no TCP port.
        """
        folder = self.home / "run"
        plain = all(letter.isalnum() or letter in "/._-" for letter in str(folder))
        longest = len(os.fsencode(folder / f"{SOCKET}.lock"))
        if plain and str(folder).isascii() and longest <= LONGEST_SOCKET:
            return folder
        temporary = tempfile.gettempdir()
        if len(temporary) > LONGEST_SOCKET // 2:
            temporary = "/tmp"  # noqa: S108 # the name is ours only when owner and mode say so
        for number in range(100):  # a stranger may have taken a name first
            folder = Path(temporary) / f"{self.name}-{self.account.pw_uid}-{number}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                os.chown(folder, self.account.pw_uid, self.account.pw_gid)
            found = folder.lstat()
            if (
                stat.S_ISDIR(found.st_mode)
                and found.st_uid == self.account.pw_uid
                and not found.st_mode & 0o077
            ):
                return folder
        raise PostgresProblem(f"No folder for the database's socket can be made in {temporary}.")

    def url(self, database: str = DATABASE, *, user: str = ROLE) -> str:
        """For SQLAlchemy; without `+psycopg` also for libpq."""
        folder = quote(str(self.socket_folder))
        return f"postgresql+psycopg://{user}@/{database}?host={folder}&port=5432"

    def conninfo(self, database: str = DATABASE, *, user: str = ROLE) -> str:
        return self.url(database, user=user).replace("+psycopg", "", 1)

    def ping(self) -> Ping:
        """Whether a connection is answered: the only proof of life."""
        conninfo = self.conninfo("postgres", user=SUPERUSER) + "&connect_timeout=5"
        return Ping(PGconn.ping(conninfo.encode()))

    def is_alive(self) -> bool:
        return self.socket_folder.is_dir() and self.ping() == Ping.OK

    def start(self) -> None:
        """Bring the server up, whatever an earlier one left behind; return when it answers."""
        self._prepare()
        deadline = time.monotonic() + START_LIMIT
        last_resort = time.monotonic() + RECOVERY_LIMIT
        tries = 0
        while (answer := self.ping()) != Ping.OK or not self._has_database():
            now = time.monotonic()
            if self.postmaster() is None:
                if tries == TRIES:
                    self._raise_start_failure()
                time.sleep(0.3 * tries)  # what a killed server leaves may take a moment to go
                self._clear_remains()
                self._launch()
                tries += 1
            elif answer == Ping.REJECT:  # starting, recovering or shutting down
                deadline = min(now + START_LIMIT, last_resort)
            if now > deadline:
                self._raise_start_failure()
            time.sleep(0.05 if tries else 0.2)

    def stop(self) -> None:
        """End the server: in order, and by force when that takes too long."""
        for how in (signal.SIGINT, signal.SIGQUIT):  # fast shutdown, immediate shutdown
            process = self.postmaster()
            if process is None:
                break
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(how)
            wait_for_end(process, seconds=STOP_LIMIT)
        if self.socket_folder.parent != self.home:
            with contextlib.suppress(OSError):
                self.socket_folder.rmdir()

    def postmaster(self) -> psutil.Process | None:
        """The server's first process, if the number in its pid file is really it.

        After kill -9 or a power cut the file stays, and its number may be another program's by
        now: then, and for a zombie, there is no server.
        """
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            command = process.cmdline()
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
        except (OSError, ValueError, psutil.Error):
            return None
        is_ours = command[:1] and Path(command[0]).name == "postgres" and str(self.data) in command
        return process if is_ours else None

    def prepare_home(self) -> None:
        """Make the home, or say why it cannot be used."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PostgresProblem(
                f"The home {self.home} cannot be made ({error.strerror}). Set TOUCHSTONE_HOME to "
                "a folder that you may write to."
            ) from error
        if not os.access(self.home, os.W_OK | os.X_OK):
            raise PostgresProblem(
                f"{own_name()} may not write to the home {self.home}. Run Touchstone as the "
                "account that owns it, or set TOUCHSTONE_HOME to another folder."
            )
        if os.geteuid() not in {0, owner(self.data, default=os.geteuid())}:
            raise PostgresProblem(
                f"The database in {self.data} belongs to the account "
                f"{account_name(owner(self.data))}. Run Touchstone as that account (or as the one "
                "that first started it), or set TOUCHSTONE_HOME to another folder."
            )

    def _prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != str(VERSION):
            raise PostgresProblem(
                f"The database in {self.data} is of PostgreSQL {version}, this Touchstone brings "
                f"{VERSION}. Make a backup with the version that wrote it and restore that."
            )
        if self.socket_folder.parent == self.home:
            self.socket_folder.mkdir(mode=0o700, exist_ok=True)
            self._hand_over(self.socket_folder)
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".log.1"))

    def _initialise(self) -> None:
        """Make the data folder beside its place and move it there whole."""
        if self.data.exists() and any(self.data.iterdir()):
            raise PostgresProblem(
                f"{self.data} is not empty and not a database. Move it away, or set "
                "TOUCHSTONE_HOME to another folder."
            )
        unfinished = self.home / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._hand_over(unfinished)
        made = subprocess.run(
            self._command(
                "initdb",
                *("-D", str(unfinished), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                *("--data-checksums", "--no-instructions"),
                folder=unfinished,
            ),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=self._environment(),
        )
        if made.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise PostgresProblem(
                f"The database cannot be made in {self.home}: {last_line(made.stderr)}"
                f"{self._advice()}"
            )
        if self.data.exists():
            self.data.rmdir()
        unfinished.rename(self.data)

    def _launch(self) -> None:
        settings = SETTINGS | {
            "unix_socket_directories": str(self.socket_folder),
            "cluster_name": self.name,
            "dynamic_shared_memory_type": shared_memory(),
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        launched = subprocess.run(
            self._command(
                "postgres",
                *("-D", str(self.data), "-p", "5432", *options),
                folder=self.data,
                log=self.log,
            ),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=self._environment(),
        )
        if launched.returncode:
            raise PostgresProblem(
                f"PostgreSQL does not start: {last_line(launched.stderr)}{self._advice()}"
            )
        # It writes its pid file first of all, or has ended before.
        while self.postmaster() is None and is_there(int(launched.stdout)):
            time.sleep(0.02)

    def _clear_remains(self) -> None:
        """Remove what a killed server left: its workers, and the files that name its pid."""
        title = f"postgres: {self.name}:"
        remains = [
            process
            for process in psutil.process_iter(["cmdline"])
            if " ".join(process.info["cmdline"] or ()).startswith(title)
        ]
        for process in remains:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
        _, stubborn = psutil.wait_procs(remains, timeout=3)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=3)
        socket = self.socket_folder / SOCKET
        for left in (self.data / "postmaster.pid", socket, socket.with_name(f"{SOCKET}.lock")):
            left.unlink(missing_ok=True)

    def _has_database(self) -> bool:
        """Whether our database is there; not where the server has died again meanwhile."""
        try:
            self._make_database()
        except psycopg.OperationalError:
            return False
        return True

    def _make_database(self) -> None:
        """Our role (no superuser) and its database, on the first start."""
        role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
        with psycopg.connect(
            self.conninfo("postgres", user=SUPERUSER), autocommit=True
        ) as connection:
            if not connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]
            ).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(role))
            if not connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
            connection.execute(  # for `app.db.vouched_keys`
                sql.SQL("GRANT SET ON PARAMETER session_replication_role TO {}").format(role)
            )

    def _command(
        self, program: str, *arguments: str, folder: Path, log: Path | None = None
    ) -> list[str]:
        prefix = [sys.executable, "-I", launch.__file__]
        if os.geteuid() == 0:
            prefix += ["--as", self.account.pw_name, "--folder", str(folder)]
        if log is not None:
            prefix += ["--log", str(log)]
        return [*prefix, str(binaries() / program), *arguments]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {"LC_ALL": "C", "TZ": "UTC"}

    def _hand_over(self, folder: Path) -> None:
        if os.geteuid() == 0:
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)
            folder.chmod(0o700)

    def _raise_start_failure(self) -> None:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        fatal = [line for line in lines[-50:] if WHY.search(line)]
        said = (fatal or lines or ["it wrote nothing"])[-1]
        raise PostgresProblem(
            f"PostgreSQL does not start: {said}. More in {self.log}.{self._advice()}"
        )

    def _advice(self) -> str:
        if os.geteuid() != 0:
            return ""
        return (
            f" (PostgreSQL refuses to run as root, so it runs as {self.account.pw_name} here. What "
            "always works: an ordinary user, or another server named in DATABASE_URL.)"
        )
