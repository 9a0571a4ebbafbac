"""Commands that start, check and keep the installation."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.loading import loaded

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")]


def add_to(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(serve)
    app.command()(worker)
    app.command()(migrate)
    app.command()(doctor)
    app.command()(backup)
    app.command()(restore)
    app.command(hidden=True)(prepare)


def up(
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Fill an empty installation with a demo project.")
    ] = False,
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of the web pages.", show_default="8000, or the next free"
        ),
    ] = None,
) -> None:
    """Run everything on this machine: database, migrations, web and a worker."""
    from app import supervisor
    from app.config import settings

    supervisor.up(settings, host=host, port=port, demo=demo)


def serve(
    *,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web pages.")] = 8000,
    listener: Annotated[
        int | None, typer.Option("--fd", hidden=True, help="A listening socket to use.")
    ] = None,
    gate: Annotated[
        int | None, typer.Option("--after", hidden=True, help="A pipe whose end is the start.")
    ] = None,
    counts: Annotated[
        int, typer.Option(hidden=True, help="A file of counts that the processes share.")
    ] = -1,
    number: Annotated[int, typer.Option(hidden=True, help="Which of the processes it is.")] = 0,
) -> None:
    """Run one web process; any number may share a database."""
    import os
    import socket

    import uvicorn

    from app.config import settings
    from app.main import create_app
    from app.postgres import configured
    from app.supervisor import address, follow_supervisor, listening
    from app.web.listening import Counts, SharingServer

    follow_supervisor()
    own = socket.socket(fileno=listener) if listener is not None else listening(host, port)
    with configured(settings) as url, own:
        server = SharingServer(
            uvicorn.Config(
                create_app(url),
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                forwarded_allow_ips=settings.trusted_proxies,
                timeout_graceful_shutdown=5,
            ),
            Counts(counts, number=number),
        )
        loaded()
        if gate is not None:
            with os.fdopen(gate, "rb") as waiting:
                waiting.read()  # nothing comes; it ends when the database is prepared
        if listener is None:
            print(f"Web pages at {address(*own.getsockname()[:2])}", flush=True)
        with contextlib.suppress(SystemExit, KeyboardInterrupt):  # it has shut down in order
            server.run(sockets=[own])
        if not server.started:
            sys.exit(1)  # the log says why


def worker() -> None:
    """Run one worker process: imports, snapshots, statistics, training, generation."""
    from app.config import settings
    from app.postgres import configured
    from app.supervisor import follow_supervisor
    from app.web.logs import configure_logs
    from app.worker.main import run

    follow_supervisor()
    configure_logs(settings)
    with configured(settings) as url:
        run(url)


def migrate() -> None:
    """Bring the database to the schema of this version."""
    from sqlalchemy import create_engine

    from app import schema
    from app.config import settings
    from app.postgres import configured

    with configured(settings) as url:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                before = schema.is_at_head(connection)
            schema.migrate(engine)
        finally:
            engine.dispose()
    print("The database was up to date." if before else "The database is up to date now.")


def prepare(
    *, demo: Annotated[bool, typer.Option("--demo")] = False, url: str = "http://127.0.0.1:8000"
) -> None:
    """Migrate, seed, and print the set-up link while there is no admin (the first step of `up`)."""
    from app.accounts.service import setup_link
    from app.cli.terminal import connected
    from app.config import settings
    from app.db import database_now, transaction
    from app.supervisor import follow_supervisor

    follow_supervisor()
    with connected(migrates=True):
        if demo:
            from app.demo import seed

            seed.fill()
        with transaction() as session:
            key = setup_link(session, now=database_now(session))
    if key:
        print(f"{(settings.public_url or url).rstrip('/')}/setup/{key}")


def doctor(
    *,
    settings: Annotated[
        bool, typer.Option("--settings", help="List every setting, its value and its source.")
    ] = False,
) -> None:
    """Name every missing or mismatched part, and how to mend it."""
    from app import doctor as examination

    if settings:
        examination.print_settings()
    elif not examination.examine():
        sys.exit(1)


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, for example touchstone.tar.")],
) -> None:
    """Write database, artifacts and secrets into one file; works beside a running `up`."""
    from app import backup as archive
    from app.cli.terminal import progress
    from app.config import settings

    with progress("Backing up") as report:
        print(archive.write(settings, file, report=report))


def restore(
    file: Annotated[Path, typer.Argument(help="File that `touchstone backup` wrote.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an installation that has data.")
    ] = False,
) -> None:
    """Bring back what a backup holds; nothing of this home may run meanwhile."""
    from app import backup as archive
    from app.cli.terminal import progress
    from app.config import settings

    with progress("Restoring") as report:
        print(archive.read(settings, file, replace=replace, report=report))
