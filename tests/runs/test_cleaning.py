"""What nothing needs goes, what a lineage needs stays, and the record of it stays always."""

import os
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from app import artifacts
from app.accounts.models import AuditEvent, Role, User
from app.datasets.models import Snapshot, SnapshotComparison
from app.db import JobState, database_now, transaction
from app.errors import Conflict, Invalid
from app.evaluation.models import Promotion
from app.generation.models import Generation
from app.projects.models import Project
from app.runs import service
from app.runs.models import Checkpoint, CleanUp, Run, RunEvent, RunKind
from app.runs.queries.needs import Kind, needs, waste
from app.runs.schemas import RunBody
from app.worker import cleaning
from tests.factories import make_project, make_user
from tests.runs.factories import make_checkpoint, make_run, make_snapshot
from tests.waiting import PATIENCE, until

LONG_AGO = timedelta(days=400)


def put(path, text="weights"):
    with artifacts.workspace() as space:
        (space / "f").mkdir()
        (space / "f" / "file").write_text(text)
        artifacts.put_folder(space / "f", to=path)
    return path


@pytest.fixture
def old(session, project, ada):
    """A run that failed long ago, with its files and a state to resume from."""
    snapshot = make_snapshot(session, project)
    ended = database_now(session) - LONG_AGO
    run = make_run(session, snapshot)
    home = f"runs/{run.id}"
    run.state, run.attempt, run.finished_at = JobState.FAILED, 1, ended
    run.path = put(f"{home}/attempt-1", "log")
    run.saved_path, run.saved_step = put(f"{home}/saved/attempt-1-step-7", "sta"), 7
    earlier = put(f"{home}/saved/attempt-1-step-5", "te!")
    run.saved = [{"step": 7, "path": run.saved_path}, {"step": 5, "path": earlier}]
    run.base = {"new": "tiny", "path": put(f"{home}/base-1", "base")}
    session.commit()
    return run


def cleaned(session, project, by=None):
    asked = service.ask_for_clean_up(session, project=project, by=by)
    session.commit()
    cleaning.clean_up(clean_up_id=str(asked.id))
    session.expire_all()
    return session.get_one(CleanUp, asked.id)


def test_files_of_runs_that_ended_without_a_model_go_after_their_days(session, project, ada, old):
    fresh = make_run(session, session.get_one(Snapshot, old.snapshot_id))
    fresh.state, fresh.finished_at = JobState.FAILED, database_now(session)
    fresh.path = put(f"runs/{fresh.id}/attempt-1")
    session.commit()
    found = waste(session, project=project, now=database_now(session))
    assert [(each.kind, each.id, each.bytes) for each in found] == [
        (Kind.FILES, old.id, 7),
        (Kind.SAVED, old.id, 6),
    ]
    paths = [old.path, *(each["path"] for each in old.saved), old.base["path"]]
    done = cleaned(session, project, by=ada)
    assert (done.bytes, len(done.removed)) == (13, 2)
    assert not any(artifacts.exists(path) for path in paths)
    assert (old.path, old.saved_path, old.saved_step, old.base) == (
        None,
        None,
        None,
        {"new": "tiny"},
    )
    assert old.files_removed_at is not None
    assert artifacts.exists(fresh.path)
    said = session.scalars(select(RunEvent.kind).where(RunEvent.run_id == old.id)).all()
    assert said == ["cleaned up", "cleaned up"]
    [event] = session.scalars(select(AuditEvent).where(AuditEvent.action == "project.clean_up"))
    assert event.user_id == ada.id
    again = cleaned(session, project, by=ada)
    assert (again.bytes, again.removed) == (0, [])


def test_without_days_nothing_goes(session, project, ada, old):
    never = {"saved_days": None, "failed_days": None, "checkpoint_days": None}
    service.set_retention(session, project=project, days=never, by=ada)
    session.commit()
    assert cleaned(session, project).removed == []
    assert artifacts.exists(old.path)


def test_a_run_that_is_resumed_meanwhile_keeps_its_state(session, project, ada, old, monkeypatch):
    found = waste(session, project=project, now=database_now(session))
    service.resume(session, run=old, by=ada)
    session.commit()
    monkeypatch.setattr("app.runs.service.cleaning.waste", lambda *_, **__: found)
    assert cleaned(session, project).removed == []
    assert old.saved_step == 7
    assert artifacts.exists(old.saved_path)


@pytest.fixture
def tree(session, project):
    """Checkpoints that are a parent, a reward, promoted, writing, and one that nothing needs."""
    snapshot = make_snapshot(session, project)
    names = ("parent", "reward", "promoted", "writing", "wrote", "idle", "newest")
    tree = {}
    for number, name in enumerate(names):
        kind = RunKind.REWARD if name == "reward" else RunKind.SFT
        made = make_checkpoint(session, project, kind, run=make_run(session, snapshot))
        made.name, made.path = name, put(f"runs/{made.run_id}/attempt-1")
        made.created_at = database_now(session) - LONG_AGO + timedelta(days=number)
        tree[name] = made
    newer = make_checkpoint(session, project, RunKind.REWARD)
    newer.name = "newer reward"
    make_run(session, snapshot, RunKind.DPO, parent_checkpoint_id=tree["parent"].id)
    make_run(session, snapshot, RunKind.PPO, reward_checkpoint_id=tree["reward"].id)
    about = {"project_id": project.id, "config": {"n": 2}}
    session.add(Generation(checkpoint_id=tree["writing"].id, **about))
    ended = {"state": JobState.SUCCEEDED, "finished_at": database_now(session)}
    session.add(Generation(checkpoint_id=tree["wrote"].id, **about, **ended))
    session.add(Promotion(project_id=project.id, checkpoint_id=tree["promoted"].id, reason="Best."))
    session.commit()
    return tree


def test_what_a_lineage_needs_never_goes(session, project, ada, tree):
    days = {"saved_days": 1, "failed_days": 1, "checkpoint_days": 1}
    service.set_retention(session, project=project, days=days, by=ada)
    session.commit()
    done = cleaned(session, project, by=ada)
    assert {each["name"] for each in done.removed} == {"wrote", "idle"}
    gone = {name for name, each in tree.items() if each.removed_at is not None}
    assert gone == {"wrote", "idle"}
    assert {name for name, each in tree.items() if not artifacts.exists(each.path)} == gone


def test_every_reference_to_a_checkpoint_is_asked(session, tree):
    """The database knows them all: a new table is protected without a line here."""
    found = needs(session, checkpoint_ids=[each.id for each in tree.values()])
    assert set(found) == {tree[name].id for name in ("parent", "reward", "promoted", "writing")}
    assert found[tree["parent"].id] == ["is what began “dpo run”"]


def test_one_is_removed_by_hand_under_the_same_protection(session, tree, api, ada, vic):
    needed = api(ada).delete(f"/api/v1/checkpoints/{tree['parent'].id}/files")
    assert needed.status_code == 409
    assert "is what began “dpo run”" in needed.json()["detail"]
    address = f"/api/v1/checkpoints/{tree['idle'].id}"
    assert api(vic).delete(f"{address}/files").status_code == 403
    assert api(ada).delete(f"{address}/files").status_code == 204
    assert api(ada).delete(f"{address}/files").status_code == 204  # twice is once
    told = api(ada).get(address).json()
    assert told["removed_at"]
    assert told["sha256"]
    assert api(ada).get(f"{address}/lineage").status_code == 200
    download = api(ada).get(f"{address}/archive")
    assert download.status_code == 404
    assert "were removed on" in download.json()["detail"]


def test_nothing_begins_from_removed_weights(session, project, tree, ada, api):
    idle = tree["idle"]
    snapshot = make_snapshot(session, project)
    service.remove_weights(session, checkpoint=idle, by=ada)
    session.commit()
    body = {"kind": "dpo", "snapshot_id": snapshot.id, "base": {"checkpoint": idle.id}}
    with pytest.raises(Invalid, match="were removed on"):
        service.launch(session, snapshot=snapshot, body=RunBody.model_validate(body), by=ada)
    asked = {"checkpoint_id": str(idle.id), "n": 2}
    refused = api(ada).post(f"/api/v1/projects/{project.id}/generations", json=asked)
    assert refused.status_code == 422
    assert "train it again" in refused.json()["detail"]


def _until_somebody_waits_for(session):
    pid = session.scalars(text("SELECT pg_backend_pid()")).one()
    waits = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND :pid = ANY(pg_blocking_pids(pid))"
    )

    def somebody_waits():
        with transaction() as other:
            return other.scalars(waits, {"pid": pid}).one()

    until(somebody_waits)


@pytest.mark.concurrency
@pytest.mark.parametrize("first", ["run", "clean-up"])
def test_a_run_and_a_removal_at_once_are_one_after_the_other(concurrency_engine, first):
    """The later of the two waits for the earlier, and then is refused."""
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        project = make_project(session, "P", by=ada)
        snapshot = make_snapshot(session, project)
        checkpoint = make_checkpoint(session, project, RunKind.SFT)
        checkpoint.path = put(f"runs/{checkpoint.id}/attempt-1")
        ids = ada.id, snapshot.id, checkpoint.id, checkpoint.path
    ada_id, snapshot_id, checkpoint_id, path = ids

    def launch(session):
        body = {"kind": "dpo", "snapshot_id": snapshot_id, "base": {"checkpoint": checkpoint_id}}
        return service.launch(
            session,
            snapshot=session.get_one(Snapshot, snapshot_id),
            body=RunBody.model_validate(body),
            by=session.get_one(User, ada_id),
        )

    def remove(session):
        checkpoint = session.get_one(Checkpoint, checkpoint_id)
        service.remove_weights(session, checkpoint=checkpoint, by=None)

    earlier, later = (launch, remove) if first == "run" else (remove, launch)
    refused = []

    def second():
        try:
            with transaction() as session:
                later(session)
        except (Conflict, Invalid) as error:
            refused.append(error.detail)

    with transaction() as session:
        earlier(session)
        session.flush()
        thread = threading.Thread(target=second)
        thread.start()
        _until_somebody_waits_for(session)
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert len(refused) == 1
    with transaction() as session:
        runs = session.scalars(select(func.count()).select_from(Run)).one()
        removed = session.get_one(Checkpoint, checkpoint_id).removed_at is not None
    assert (runs, removed) == ((1, False) if first == "run" else (0, True))
    assert artifacts.exists(path) is (first == "run")


def test_a_folder_that_no_row_knows_goes_once_it_is_a_day_old(old):
    lost = put(f"runs/{old.id}/attempt-9")
    fresh = put(f"runs/{old.id}/attempt-10")
    ago = time.time() - 2 * 86400
    kept = (old.path, *(each["path"] for each in old.saved), old.base["path"])
    for path in (lost, *kept):
        for file in artifacts.local_path(path).rglob("*"):
            os.utime(file, (ago, ago))
    cleaning.sweep()
    assert not artifacts.exists(lost)
    for path in (fresh, *kept):
        assert artifacts.exists(path)


def test_what_no_snapshot_or_comparison_leads_to_goes_as_well(session, project):
    """An attempt that was killed before it could register what it had stored."""
    before, after = make_snapshot(session, project), make_snapshot(session, project)
    whole = put(f"snapshots/{before.id}")  # registered as a whole, with a folder inside
    inside = put(f"{whole}/preference")
    kept = put(f"snapshots/{after.id}/attempt-2")
    compared = SnapshotComparison(before_id=before.id, after_id=after.id)
    session.add(compared)
    session.flush()
    told = put(f"comparisons/{compared.id}/attempt-1")
    before.path, after.path, compared.path = whole, kept, told
    compared.state, compared.finished_at = JobState.SUCCEEDED, database_now(session)
    session.commit()
    lost = [put(f"snapshots/{after.id}/attempt-1"), put(f"comparisons/{compared.id}/attempt-2")]
    ago = time.time() - 2 * 86400
    for path in (whole, inside, kept, told, *lost):
        for file in artifacts.local_path(path).rglob("*"):
            os.utime(file, (ago, ago))
    cleaning.sweep()
    assert [path for path in lost if artifacts.exists(path)] == []
    assert [path for path in (whole, inside, kept, told) if not artifacts.exists(path)] == []


def test_each_project_with_files_is_cleaned_once_a_day(session, project, old):
    assert service.ask_for_daily_clean_ups(session) == 1
    assert service.ask_for_daily_clean_ups(session) == 0
    assert session.scalars(select(func.count()).select_from(CleanUp)).one() == 1
    assert session.get_one(Project, project.id)
