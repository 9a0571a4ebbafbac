"""Estimates and rehearsals as pages and programs ask for them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import AuditEvent, User
from app.db import JobState, database_now
from app.errors import LeaseLost
from app.projects.models import Project
from app.runs import rules
from app.runs.models import RunCheck, RunKind
from app.runs.service import checks
from tests.factories import make_project
from tests.runs.factories import make_checkpoint, make_run, make_snapshot

Api = Callable[[User], TestClient]


def body(snapshot: Any, **fields: Any) -> dict[str, Any]:
    return {"kind": "sft", "snapshot_id": str(snapshot.id), "base": {"new": "tiny"}} | fields


def asked(session: Session, api: Api, ada: User, project: Project, **fields: Any) -> RunCheck:
    snapshot = make_snapshot(session, project)
    session.commit()
    address = f"/api/v1/projects/{project.id}/run-checks"
    answer = api(ada).post(address, json=body(snapshot, **fields))
    assert answer.status_code == 202, answer.text
    return session.get_one(RunCheck, UUID(answer.json()["id"]))


def test_a_check_is_queued_on_a_lane_of_its_own_and_told_how_it_went(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    check = asked(session, api, ada, project)
    lane = session.scalars(
        text("SELECT queue_name FROM procrastinate_jobs WHERE args ->> 'check_id' = :id"),
        {"id": str(check.id)},
    ).one()
    assert lane == "check"  # a training of hours is none of its business
    assert "run.check" in session.scalars(select(AuditEvent.action)).all()
    address = f"/api/v1/run-checks/{check.id}"
    assert api(ada).get(address).json()["state"] == "queued"
    lease = checks.start_check(session, check_id=check.id)
    assert lease is not None
    checks.finish_check(session, lease=lease, report={"ok": True, "steps": 15})
    session.commit()
    found = api(ada).get(address).json()
    assert (found["state"], found["report"]["steps"]) == ("succeeded", 15)


def test_what_cannot_run_is_refused_before_anything_is_queued(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    session.commit()
    answer = api(ada).post(
        f"/api/v1/projects/{project.id}/run-checks", json=body(snapshot, config={"seed": "many"})
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "config.seed"
    waits_for = make_run(session, snapshot)
    session.commit()
    answer = api(ada).post(
        f"/api/v1/projects/{project.id}/run-checks",
        json=body(snapshot, kind="dpo", base={"run": str(waits_for.id)}),
    )
    assert "not there yet" in answer.json()["detail"]
    assert session.scalars(select(RunCheck)).all() == []


def test_a_newer_check_of_the_same_person_takes_the_place_of_the_older(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    first = asked(session, api, ada, project)
    lease = checks.start_check(session, check_id=first.id)
    session.commit()
    assert lease is not None
    second = asked(session, api, ada, project)
    session.refresh(first)
    assert first.state is JobState.CANCELLED
    with pytest.raises(LeaseLost):  # its worker hears of it with the next beat
        checks.hold_check(session, lease=lease)
    assert second.state is JobState.QUEUED


def test_another_attempt_takes_over_and_the_first_writes_nothing(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    check = asked(session, api, ada, project)
    first = checks.start_check(session, check_id=check.id)
    second = checks.start_check(session, check_id=check.id)
    assert first is not None
    assert second is not None
    with pytest.raises(LeaseLost):
        checks.finish_check(session, lease=first, report={})
    checks.fail_check(session, lease=second, error="No.", field="config.seed")
    assert checks.start_check(session, check_id=check.id) is None


def test_checks_go_after_a_day(session: Session, api: Api, ada: User, project: Project) -> None:
    check = asked(session, api, ada, project)
    now = database_now(session)
    assert checks.delete_old_checks(session, now=now) == 0
    assert checks.delete_old_checks(session, now=now + timedelta(days=2)) == 1
    session.expunge(check)
    assert session.get(RunCheck, check.id) is None


def test_an_estimate_learns_from_runs_of_the_kind_on_models_of_the_size(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    session.commit()
    address = f"/api/v1/projects/{project.id}/run-estimates"
    asks = body(snapshot, config={"per_device_train_batch_size": 8, "num_train_epochs": 1})
    nothing = api(ada).post(address, json=asks).json()
    assert nothing == {"rows": 40, "steps": 5, "seconds": None, "runs": 0}
    now = database_now(session)
    for kind, base, seconds in (
        (RunKind.SFT, {"new": "tiny"}, 20),
        (RunKind.SFT, {"new": "small"}, 999),
        (RunKind.DPO, {"new": "tiny"}, 999),
    ):
        run = make_run(
            session,
            snapshot,
            kind,
            base=base,
            config={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1},
            state=JobState.SUCCEEDED,
            attempt=1,
            step=10,
            path="x",
            started_at=now,
            finished_at=now + timedelta(seconds=seconds),
        )
        make_checkpoint(session, project, kind, run=run)
    session.commit()
    found = api(ada).post(address, json=asks).json()
    assert (found["seconds"], found["runs"]) == (20.0, 1)  # 40 examples took 20 s; here are 40


def test_the_form_asks_as_it_is_filled_in(
    session: Session, sign_in: Api, people: Any, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    session.commit()
    browser = sign_in(people.ada)
    fields = {"kind": "sft", "snapshot_id": str(snapshot.id), "base": "new", "size": "tiny"}
    estimate = browser.post(f"/projects/{project.id}/runs/estimate", data=fields)
    assert estimate.json()["steps"] == 15
    wrong = browser.post(
        f"/projects/{project.id}/runs/estimate", data=fields | {"set.learning_rate": "fast"}
    )
    assert wrong.status_code == 422
    assert wrong.json()["problems"][0][0] == "config.learning_rate"
    check = browser.post(f"/projects/{project.id}/runs/check", data=fields)
    assert check.status_code == 202
    shown = browser.get(f"/api/v1/run-checks/{check.json()['id']}")
    assert shown.status_code == 200
    assert sign_in(people.vic).get(f"/api/v1/run-checks/{check.json()['id']}").status_code == 403


def test_a_snapshot_of_another_project_is_not_there(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    other = make_snapshot(session, make_project(session, "Other", by=ada))
    session.commit()
    for what in ("run-checks", "run-estimates"):
        answer = api(ada).post(f"/api/v1/projects/{project.id}/{what}", json=body(other))
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("error", "base", "field"),
    [
        ("Raise max_length: no row fits.", {}, "config.max_length"),
        ("/models/x has no config.json.", {"model": "/models/x"}, "model"),
        ("Choose another --model.", {"new": "tiny"}, "base"),
        ("The dataset has no usable rows.", {}, "snapshot_id"),
        ("Something else.", {}, ""),
    ],
)
def test_an_error_belongs_to_a_field(error: str, base: dict[str, str], field: str) -> None:
    assert rules.field_of(error, {"max_length": 5, "seed": 1}, base) == field


def test_the_time_of_all_steps_follows_from_a_few() -> None:
    assert rules.time_of_steps({1: 10.0, 2: 10.6, 4: 11.5}, steps=40) == pytest.approx(20.0)
    assert rules.time_of_steps({1: 10.0}, steps=40) == 0.0
