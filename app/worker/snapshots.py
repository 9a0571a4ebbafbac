"""The job that freezes a snapshot, and the same without a worker."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import structlog
from procrastinate import JobContext

from app import artifacts
from app.datasets import service as datasets
from app.datasets.models import Snapshot
from app.datasets.queries import see_one_moment
from app.datasets.queries.recipes import prompts_of
from app.datasets.schemas import Recipe
from app.datasets.service import Lease
from app.db import transaction
from app.errors import AppError, Conflict, Invalid, LeaseLost, Stopped, found
from app.jobs import JobName, queue
from app.projects.models import Project
from app.worker.lease import Pulse

log = structlog.get_logger(__name__)

Beat = Callable[[], None]


@queue.task(name=JobName.SNAPSHOT, pass_context=True)
def snapshot(context: JobContext, *, snapshot_id: str) -> None:
    """Freeze one snapshot."""
    freeze_snapshot(UUID(snapshot_id), stopping=context.additional_context["stopping"])


def freeze_snapshot(snapshot_id: UUID, *, stopping: threading.Event) -> None:
    """Freeze a queued snapshot; once `stopping` is set, put it back for another worker."""
    with transaction() as session:
        lease = datasets.start(session, snapshot_id=snapshot_id)
    if lease is None:
        return
    with transaction() as session:
        total = prompts_of(session, snapshot_id=snapshot_id)
    done = 0
    pulse = Pulse(
        lambda session: datasets.hold(session, lease=lease, done=min(done, total), total=total),
        stopping=stopping,
    )

    def beat() -> None:
        nonlocal done
        done += 1
        pulse.check(lease)

    try:
        with pulse:
            build(lease, beat=beat)
    except LeaseLost:
        log.warning("lost the snapshot to another attempt", snapshot_id=str(snapshot_id))
    except Stopped:
        with transaction() as session:
            datasets.give_back(session, lease=lease)


def build(lease: Lease, *, beat: Beat = lambda: None) -> None:
    """Write the files of an attempt, store and register them; a failure leaves its sentence."""
    try:
        _build(lease, beat=beat)
    except (LeaseLost, Stopped):
        raise
    except AppError as error:
        _fail(lease, error.detail)
    except OSError as error:
        log.exception("snapshot failed", snapshot_id=str(lease.id))
        _fail(
            lease,
            f"The files could not be written: {error.strerror or error}. Check the free space and"
            " the rights of the artifact store, then try again.",
        )
    except Exception:
        _fail(lease, "This is our mistake, and the log of the worker has the details. Try again.")
        raise


def _build(lease: Lease, *, beat: Beat) -> None:
    path = datasets.attempt_folder(lease)
    with artifacts.workspace() as workspace:
        folder = workspace / "snapshot"
        with transaction() as session:
            see_one_moment(session)
            asked = session.get_one(Snapshot, lease.id)
            frozen = datasets.freeze(
                session,
                project=session.get_one(Project, asked.project_id),
                recipe=Recipe.model_validate(asked.recipe),
                folder=folder,
                beat=beat,
            )
        beat()
        files = artifacts.put_folder(folder, to=path, read_only=True)
    try:
        with transaction() as session:
            datasets.succeed(session, lease=lease, path=path, files=files, frozen=frozen)
    except BaseException:
        artifacts.remove(path)  # nobody registered it, and no other attempt uses this folder
        raise
    with suppress(OSError):
        artifacts.remove_beside(path)


def _fail(lease: Lease, error: str) -> None:
    with transaction() as session:
        datasets.fail(session, lease=lease, error=error)


def _make_room(output: Path) -> bool:
    """An empty folder to copy to, before anything is frozen; whether it was made."""
    try:
        is_new = not output.exists()
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise Conflict(f"{output} is not empty. Name a new folder: nothing is overwritten.")
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(
            f"{output} cannot be made: {error.strerror or error}. Name a folder that you may write"
            " to. Nothing was frozen."
        ) from error
    if not os.access(output, os.W_OK | os.X_OK):
        raise Invalid(f"You may not write to {output}. Name another folder. Nothing was frozen.")
    return is_new


@contextmanager
def _room(output: Path | None) -> Iterator[None]:
    """The folder to copy to, if one is asked for; gone again where nothing came of it."""
    is_new = output is not None and _make_room(output)
    try:
        yield
    except BaseException:
        if output is not None and is_new:
            with suppress(OSError):
                output.rmdir()
        raise


def _copy(made: Snapshot, output: Path) -> None:
    """Copy its files, to be written to as they are not in the store; all of them, or none."""
    assert made.path is not None
    try:
        with artifacts.local_folder(made.path) as folder:
            for file in filter(Path.is_file, sorted(folder.rglob("*"))):
                target = output / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    except BaseException as error:
        _clear(output)
        if isinstance(error, OSError):
            raise Invalid(
                f"“{made.name}” is frozen, but could not be copied to {output}: "
                f"{error.strerror or error}. Its files can be downloaded from its page."
            ) from error
        raise


def _clear(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)


def freeze_now(
    *,
    project_id: UUID,
    recipe: Recipe,
    name: str | None = None,
    output: Path | None = None,
    beat: Beat = lambda: None,
) -> Snapshot:
    """Freeze a snapshot in this process, for `touchstone snapshot PROJECT [--recipe] [--output]`.

    The snapshot is registered like any other; with `output`, a folder that does not exist or is
    empty, its files are copied there as well. Raises `Conflict` where `output` is not empty, and
    `Invalid` with the sentence of a snapshot that failed. `beat` is called once per prompt.
    """
    with _room(output):
        made = _frozen_now(project_id, recipe, name, beat)
        if output is not None:
            _copy(made, output)
    return made


def _frozen_now(project_id: UUID, recipe: Recipe, name: str | None, beat: Beat) -> Snapshot:
    with transaction() as session:
        project = found(session.get(Project, project_id))
        asked = datasets.request(session, project=project, recipe=recipe, name=name, queued=False)
        lease = datasets.start(session, snapshot_id=asked.id)
        assert lease is not None
    try:
        build(lease, beat=beat)
    except BaseException:
        with transaction() as session:
            made = session.get_one(Snapshot, lease.id)
            if not made.state.is_final:
                datasets.fail(session, lease=lease, error="It was interrupted. Freeze it again.")
        raise
    with transaction() as session:
        made = session.get_one(Snapshot, lease.id)
        session.expunge(made)
    if made.path is None:
        raise Invalid(made.error or "The snapshot could not be frozen.")
    return made
