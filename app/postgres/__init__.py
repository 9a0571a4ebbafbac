"""The embedded PostgreSQL: one server per home, shared by everybody who works with that home.

    HOME/postgres/        data, owned by the account that runs the server
    HOME/postgres.log     what the server says
    HOME/postgres.lock    held while the server is started or stopped
    HOME/postgres.users   held, together, by every process that needs the server

Who comes first starts the server, who leaves last stops it, and the kernel counts: a process that
is killed leaves as well, and the server it started is simply used by the next one.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from app.config import Settings
from app.postgres.cluster import DATABASE, Cluster
from app.postgres.locks import exclusive, open_lock, share, try_exclusive
from app.postgres.problems import PostgresProblem

__all__ = [
    "DATABASE",
    "Attachment",
    "Cluster",
    "PostgresProblem",
    "attach",
    "configured",
    "normal_url",
    "running",
]

PATIENCE = 1000  # seconds; whoever holds the lock gives up earlier by itself


class Attachment:
    """Our share in the server of a home, from `attach` to `release`."""

    def __init__(self, home: Path) -> None:
        self.cluster = Cluster(home.expanduser().resolve())
        self._users: int | None = None

    @property
    def url(self) -> str:
        return self.cluster.url()

    def ensure(self) -> bool:
        """Start the server unless it answers; says whether it had to."""
        with self._alone():
            if self.cluster.is_alive():
                return False
            self.cluster.start()
            return True

    def attach(self) -> None:
        """Join the users of the server; start it when we are the first."""
        self.cluster.prepare_home()
        with self._alone():
            self._users = open_lock(self.cluster.home / "postgres.users")
            share(self._users)
            try:
                if not self.cluster.is_alive():
                    self.cluster.start()
            except BaseException:
                self._leave()
                raise

    def release(self) -> None:
        """Leave; the last one stops the server."""
        if self._users is None:
            return
        with self._alone():
            self._leave()

    def _leave(self) -> None:
        assert self._users is not None
        if try_exclusive(self._users):  # nobody else has a share, and none can join meanwhile
            self.cluster.stop()
        os.close(self._users)
        self._users = None

    def _alone(self) -> AbstractContextManager[None]:
        home = self.cluster.home
        return exclusive(
            home / "postgres.lock",
            patience=PATIENCE,
            busy=f"Another process has been starting or stopping the database of {home} for very "
            f"long. See {self.cluster.log}.",
        )


def attach(home: Path) -> Attachment:
    attachment = Attachment(home)
    attachment.attach()
    return attachment


@contextmanager
def running(home: Path, *, database: str = DATABASE) -> Iterator[str]:
    """The URL of the home's server, which runs at least as long as the block."""
    attachment = attach(home)
    try:
        yield attachment.cluster.url(database)
    finally:
        attachment.release()


@contextmanager
def configured(settings: Settings) -> Iterator[str]:
    """The URL of the database to use: `DATABASE_URL`, else the home's own server, running."""
    if settings.database_url:
        yield normal_url(settings.database_url)
        return
    with running(settings.home_path) as url:
        yield url


def normal_url(url: str) -> str:
    """`url` for SQLAlchemy with psycopg, whatever other tools call it."""
    scheme, separator, rest = url.partition("://")
    try:
        urlsplit(url).port  # noqa: B018 # it raises where there is no number
        is_url = bool(separator)
    except ValueError:
        is_url = False
    if not is_url or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise PostgresProblem(
            "DATABASE_URL must look like postgresql://user:password@host:5432/database; Touchstone "
            "works with PostgreSQL only."
        )
    return f"postgresql+psycopg://{rest}"
