"""A snapshot gets another name, or goes away with its files."""

import pytest
from sqlalchemy import select

from app import artifacts
from app.accounts.models import AuditEvent
from app.datasets.models import Snapshot, SnapshotComparison
from app.datasets.service.comparisons import comparison_of
from app.db import JobState
from app.runs.models import RunKind
from tests.datasets.frozen import freeze
from tests.datasets.true import true_task
from tests.factories import make_annotation
from tests.runs.factories import make_run


@pytest.fixture
def frozen(session, project, ana):
    task, _ = true_task(session, project, "Hi", ["a", "b"])
    make_annotation(session, task, ana, ranks=[1, 2])
    return freeze(session, project, test_share=0)


def events(session):
    return session.scalars(
        select(AuditEvent).where(AuditEvent.action.startswith("snapshot.")).order_by(AuditEvent.id)
    ).all()


def test_ada_gives_it_another_name(session, project, frozen, sign_in, api, ada):
    address = f"/projects/{project.id}/snapshots/{frozen.id}"
    assert sign_in(ada).post(f"{address}/name", data={"name": "  The  first "}).status_code == 303
    session.refresh(frozen)
    assert frozen.name == "The first"
    assert sign_in(ada).post(f"{address}/name", data={"name": " "}).status_code == 422
    assert sign_in(ada).post(f"{address}/name", data={"name": "x" * 201}).status_code == 422
    reply = api(ada).patch(f"/api/v1/snapshots/{frozen.id}", json={"name": "Second"})
    assert (reply.status_code, reply.json()["name"]) == (200, "Second")
    told = [event.details for event in events(session)]
    assert told == [
        {"before": "Snapshot 1", "after": "The first"},
        {"before": "The first", "after": "Second"},
    ]


def test_nobody_may_write_to_what_is_frozen(session, project, frozen, ana):
    task, _ = true_task(session, project, "Bye", ["a", "b"])
    make_annotation(session, task, ana, ranks=[1, 2])
    again = freeze(session, project, test_share=0)
    kept = comparison_of(session, before=frozen, after=again)
    session.commit()
    for folder in (frozen.path, kept.path):
        root = artifacts.local_path(folder)
        modes = {path.name: path.stat().st_mode & 0o777 for path in root.rglob("*.*")}
        assert modes
        assert set(modes.values()) == {0o444}, modes


def test_it_goes_with_its_files_and_comparisons(session, project, frozen, sign_in, ada):
    again = freeze(session, project, test_share=0)
    kept = comparison_of(session, before=frozen, after=again)
    session.commit()
    folders, its = [frozen.path, kept.path], frozen.id
    address = f"/projects/{project.id}/snapshots/{frozen.id}"
    browser = sign_in(ada)
    assert "Delete it" in browser.get(f"{address}/delete").text
    assert browser.post(f"{address}/delete").status_code == 303
    session.expunge_all()
    assert session.get(Snapshot, its) is None
    assert session.query(SnapshotComparison).count() == 0
    assert [artifacts.exists(folder) for folder in folders] == [False, False]
    assert artifacts.exists(session.query(Snapshot).one().path)
    assert browser.get(address).status_code == 404
    (event,) = events(session)
    assert event.details["name"] == "Snapshot 1"
    assert {"manifest.json", "README.md"} < {file["path"] for file in event.details["files"]}


def test_one_that_a_run_used_stays(session, project, frozen, sign_in, api, ada):
    run = make_run(session, frozen, RunKind.REWARD, state=JobState.QUEUED)
    session.commit()
    reply = api(ada).delete(f"/api/v1/snapshots/{frozen.id}")
    assert (reply.status_code, run.name in reply.json()["detail"]) == (409, True)
    page = sign_in(ada).get(f"/projects/{project.id}/snapshots/{frozen.id}/delete").text
    assert "cannot be deleted" in page
    assert artifacts.exists(frozen.path)


def test_files_stay_where_the_deletion_was_not_committed(session, frozen, ada):
    from app.datasets.service.removal import remove

    remove(session, snapshot=frozen, by=ada)
    session.rollback()
    session.commit()
    assert artifacts.exists(frozen.path)
    remove(session, snapshot=frozen, by=ada)
    path = frozen.path
    with session.begin_nested():
        session.execute(select(1))
    assert artifacts.exists(path)
    session.commit()
    assert not artifacts.exists(path)


def test_one_that_is_being_frozen_may_go_and_its_worker_writes_nothing(session, project, api, ada):
    from app.datasets import service
    from app.datasets.schemas import Recipe
    from app.worker.snapshots import build

    asked = service.request(session, project=project, recipe=Recipe(), queued=False)
    lease = service.start(session, snapshot_id=asked.id)
    session.commit()
    assert api(ada).delete(f"/api/v1/snapshots/{asked.id}").status_code == 204
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever says that it is gone
        build(lease)
    assert not artifacts.exists(service.attempt_folder(lease))


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_only_admins_may(session, frozen, api, rui, vic, method):
    for user in (rui, vic):
        reply = api(user).request(method, f"/api/v1/snapshots/{frozen.id}", json={"name": "x"})
        assert reply.status_code == 403
    assert session.get(Snapshot, frozen.id) is not None
