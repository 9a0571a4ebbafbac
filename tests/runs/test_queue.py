"""Priorities, needs, and why a run still waits."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.accounts.models import AuditEvent, User
from app.datasets.models import Snapshot
from app.db import JobState
from app.errors import Conflict, Invalid
from app.jobs import GPU_SIZES, queue_for, queues_served
from app.projects.models import Project
from app.runs import queries, service
from app.runs.models import Run, Worker
from app.runs.schemas import RunBody
from app.runs.service import workers
from tests.runs.factories import make_run, make_snapshot, make_worker


@pytest.fixture
def snapshot(session: Session, project: Project) -> Snapshot:
    return make_snapshot(session, project)


def launch(session: Session, snapshot: Snapshot, **fields: object) -> Run:
    body = {"kind": "sft", "snapshot_id": snapshot.id, "base": {"new": "tiny"}} | fields
    return service.launch(session, snapshot=snapshot, body=RunBody.model_validate(body), by=None)


def taken(session: Session, queues: list[str]) -> str | None:
    """The run that a worker of these queues gets next."""
    return session.scalar(
        text("SELECT args ->> 'run_id' FROM procrastinate_fetch_job_v2(:queues, NULL)"),
        {"queues": queues},
    )


def why(session: Session, run: Run) -> str:
    return queries.why_it_waits(session, run=run) or ""


def test_the_highest_priority_starts_first_and_then_who_came_first(
    session: Session, snapshot: Snapshot
) -> None:
    runs = [launch(session, snapshot, priority=number) for number in (0, -2, 2, 0)]
    order = [taken(session, ["train"]) for _ in runs]
    assert order == [str(runs[place].id) for place in (2, 0, 3, 1)]


def test_a_raised_run_starts_before_others_and_it_is_noted(
    session: Session, snapshot: Snapshot, ada: User
) -> None:
    first, second = launch(session, snapshot), launch(session, snapshot)
    service.set_priority(session, run=second, priority=1, by=ada)
    assert taken(session, ["train"]) == str(second.id)
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "run.priority")).one()
    assert (event.details, event.target) == ({"before": 0, "after": 1}, f"run {second.id}")
    assert queries.events_of(session, run=second)[-1].message == "sooner."
    assert taken(session, ["train"]) == str(first.id)
    first.state = JobState.RUNNING
    session.flush()
    with pytest.raises(Conflict, match="running already"):
        service.set_priority(session, run=first, priority=1, by=ada)
    with pytest.raises(Invalid, match="-2"):
        service.set_priority(session, run=second, priority=3, by=ada)


def test_a_run_goes_back_to_the_queue_with_what_it_asked_for(
    session: Session, snapshot: Snapshot
) -> None:
    run = launch(session, snapshot, priority=2, needs={"gpu_memory_gb": 20})
    taken(session, ["train-cuda-20"])
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    service.release(session, lease=lease, reason="")
    row = session.execute(
        text("SELECT queue_name, priority FROM procrastinate_jobs WHERE status = 'todo'")
    ).one()
    assert tuple(row) == ("train-cuda-20", 2)


@pytest.mark.parametrize(
    ("gpu", "needs", "fits"),
    [
        (None, {}, True),
        (None, {"device": "cpu"}, True),
        (None, {"device": "cuda"}, False),
        (None, {"gpu_memory_gb": 1}, False),
        (24, {"device": "cpu"}, True),
        (24, {"device": "cuda"}, True),
        (24, {"gpu_memory_gb": 24}, True),
        (25, {"gpu_memory_gb": 23}, True),
        (24, {"device": "cuda", "gpu_memory_gb": 25}, False),
        (85, {"gpu_memory_gb": 80}, True),
        (300, {"gpu_memory_gb": 288}, True),
    ],
)
def test_only_a_worker_that_has_what_a_run_needs_takes_it(
    gpu: int | None, needs: dict, session: Session, snapshot: Snapshot, *, fits: bool
) -> None:
    run = launch(session, snapshot, needs=needs)
    got = taken(session, queues_served(trains=True, gpu_memory_gb=gpu))
    assert (got == str(run.id)) is fits
    assert queues_served(trains=False, gpu_memory_gb=gpu) == []


def test_every_size_has_its_queue() -> None:
    assert list(GPU_SIZES) == sorted(set(GPU_SIZES))
    for size in range(1, 289):
        queue = queue_for({"gpu_memory_gb": size})
        assert queue in queues_served(trains=True, gpu_memory_gb=GPU_SIZES[-1])
        assert queue not in queues_served(trains=True, gpu_memory_gb=size - 1)


def test_why_a_run_waits(session: Session, snapshot: Snapshot, ada: User) -> None:
    run = launch(session, snapshot, needs={"device": "cuda", "gpu_memory_gb": 24})
    assert "No worker is connected" in why(session, run)
    make_worker(session, capabilities={"trains": False}, queues=["data"])
    assert "train extra" in why(session, run)
    make_worker(session)
    assert "a GPU with 24 GB of memory" in why(session, run)
    assert "none has any GPU" in why(session, run)
    make_worker(session, gpus=(16.0,))
    assert "the largest GPU has 16 GB" in why(session, run)
    fits = make_worker(session, gpus=(80.0, 80.0))
    assert "It is next" in why(session, run)
    for number in (1, 2):
        launch(session, snapshot, priority=number)
    launch(session, snapshot, priority=2, needs={"gpu_memory_gb": 288})  # nobody takes it
    assert "2 jobs are before it" in why(session, run)
    workers.drain(session, worker_id=fits.id, wanted=True, by=ada)
    assert "take nothing new" in why(session, run)
    fits.seen_at = func.now() - timedelta(minutes=1)
    session.flush()
    assert "the largest GPU has 16 GB" in why(session, run)
    run.state = JobState.RUNNING
    assert queries.why_it_waits(session, run=run) is None


def test_a_run_without_a_job_is_queued_again(session: Session, snapshot: Snapshot) -> None:
    """Its worker died between taking the job and starting the run."""
    waits = make_run(session, snapshot, after_run_id=launch(session, snapshot).id)
    run = launch(session, snapshot, priority=1, needs={"device": "cuda"})
    session.execute(text("DELETE FROM procrastinate_jobs WHERE queue_name = 'train-cuda'"))
    assert service.requeue_forgotten(session, silent_for=timedelta(minutes=1)) == 0
    old = func.now() - timedelta(minutes=2)
    run.created_at = waits.created_at = old
    session.flush()
    assert service.requeue_forgotten(session, silent_for=timedelta(minutes=1)) == 1
    assert service.requeue_forgotten(session, silent_for=timedelta(minutes=1)) == 0
    assert taken(session, ["train-cuda"]) == str(run.id)


# -- workers ----------------------------------------------------------------------------------


def test_a_worker_is_seen_drained_and_forgotten(session: Session, ada: User) -> None:
    worker = make_worker(session)
    about = {
        "worker_id": worker.id, "host": "x", "pid": 1, "version": "2", "queues": [],
        "capabilities": {}, "is_alive": lambda _: True,
    }  # fmt: skip
    worker.seen_at = func.now() - timedelta(minutes=5)
    session.flush()
    assert [each.state for each in queries.workers(session)] == ["silent"]
    assert workers.beat(session, queue_workers=[7], **about) is False
    session.expire_all()
    assert [each.state for each in queries.workers(session)] == ["free"]
    assert worker.queue_workers == [7]
    workers.drain(session, worker_id=worker.id, wanted=True, by=ada)
    assert workers.beat(session, queue_workers=[7], **about) is True
    assert [each.state for each in queries.workers(session)] == ["resting"]
    workers.drain(session, worker_id=worker.id, wanted=False, by=ada)
    assert workers.beat(session, queue_workers=[7], **about) is False
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions[-2:] == ["worker.drain", "worker.take_work"]
    worker.seen_at = func.now() - timedelta(days=2)
    session.flush()
    workers.forget_silent(session)
    assert session.scalars(select(Worker)).all() == []


def working_on(session: Session, run: Run) -> Worker:
    """A worker that carries the run out, as the job queue has it."""
    number = session.scalar(text("SELECT procrastinate_register_worker_v1()"))
    session.execute(
        text("SELECT procrastinate_fetch_job_v2(ARRAY['train'], :number)"), {"number": number}
    )
    run.state = JobState.RUNNING
    return make_worker(session, queue_workers=[number])


def test_what_a_worker_does_is_shown_to_those_who_may_see_it(
    session: Session, snapshot: Snapshot, project: Project, people, sign_in, api
) -> None:
    run = launch(session, snapshot, name="Best of all")
    worker = working_on(session, run)
    session.commit()
    [item] = api(people.ada).get("/api/v1/workers").json()["items"]
    assert (item["host"], item["state"]) == ("gpu-box", "working")
    assert item["doing"] == [{"job": "train", "run_id": str(run.id), "project_id": str(project.id)}]
    assert "Best of all" in sign_in(people.ada).get("/workers").text
    own = sign_in(people.rui).get(f"/projects/{project.id}/workers").text
    assert "Best of all" in own
    assert "Finish and take nothing new" not in own
    from tests.factories import make_member, make_project

    other = make_project(session, "Other", by=people.ada)
    make_member(session, other, people.rui, people.rui.role)
    session.commit()
    page = sign_in(people.ada).get(f"/projects/{other.id}/workers").text
    assert "Best of all" not in page
    assert "a run of another project" in page
    answer = api(people.ada).post(f"/api/v1/workers/{worker.id}/drain").json()
    assert answer["state"] == "finishing"


def test_the_launch_form_asks_for_a_place_and_a_device(
    session: Session, snapshot: Snapshot, project: Project, people, sign_in
) -> None:
    session.commit()
    ada = sign_in(people.ada)
    form = {"kind": "sft", "snapshot_id": str(snapshot.id), "base": "new", "size": "tiny"}
    asked = {"priority": "1", "device": "cuda", "gpu_memory_gb": "24"}
    answer = ada.post(f"/projects/{project.id}/runs", data=form | asked)
    assert answer.status_code == 303
    run = session.scalars(select(Run)).one()
    assert (run.priority, run.needs) == (1, {"device": "cuda", "gpu_memory_gb": 24})
    page = ada.get(answer.headers["location"]).text
    assert "No worker is connected" in page
    wrong = ada.post(f"/projects/{project.id}/runs", data=form | {"gpu_memory_gb": "many"})
    assert wrong.status_code == 422
    assert "gpu_memory_gb" in wrong.text
    lowered = ada.post(f"/projects/{project.id}/runs/{run.id}/priority", data={"change": "lower"})
    assert lowered.status_code == 303
    session.refresh(run)
    assert run.priority == 0
