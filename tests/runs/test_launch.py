from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import AuditEvent, User
from app.db import JobState
from app.projects.models import Project
from app.runs import service
from app.runs.formats import setting_groups
from app.runs.models import Run, RunKind
from tests.factories import make_project
from tests.runs.factories import jobs_for, make_checkpoint, make_run, make_snapshot

Api = Callable[[User], TestClient]


def body(snapshot: Any, **fields: Any) -> dict[str, Any]:
    return {"kind": "sft", "snapshot_id": str(snapshot.id), "base": {"new": "tiny"}} | fields


def test_ada_launches_a_run_and_the_worker_hears_of_it(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    answer = api(ada).post("/api/v1/runs", json=body(snapshot))
    assert answer.status_code == 202
    run = answer.json()
    assert (run["state"], run["attempt"], run["kind"]) == ("queued", 0, "sft")
    assert run["name"] == "SFT 1"
    assert run["total_steps"] == 15  # 40 rows in batches of 8, three epochs from scratch
    assert run["checkpoint_id"] is None
    assert jobs_for(session, run["id"]) == 1
    actions = session.scalars(select(AuditEvent.action)).all()
    assert "run.launch" in actions


def test_a_model_from_scratch_learns_at_rates_of_its_own(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    program = api(ada)
    fresh = program.post("/api/v1/runs", json=body(snapshot)).json()
    given = program.post(
        "/api/v1/runs", json=body(snapshot, config={"learning_rate": "2e-4"})
    ).json()
    hub = program.post("/api/v1/runs", json=body(snapshot, base={"model": "some/model"})).json()
    assert fresh["config"]["learning_rate"] == 1e-3
    assert given["config"]["learning_rate"] == 2e-4
    assert hub["config"]["learning_rate"] == 2e-5
    assert fresh["config"]["save_steps"] == 5  # so that a lost worker costs little


def test_a_body_that_does_not_fit_is_complained_of_once(api: Api, ada: User) -> None:
    """It is read twice: for the permission, and for the run."""
    answer = api(ada).post("/api/v1/runs", json={"kind": "sft", "base": {"new": "tiny"}})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "snapshot_id", "message": "Field required"}]
    assert answer.json()["detail"] == "snapshot_id: Field required"


def test_a_setting_that_does_not_exist_is_named_with_a_suggestion(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    answer = api(ada).post(
        "/api/v1/runs",
        json=body(snapshot, config={"learning_rat": 1, "beta": 0.1, "seed": "many"}),
    )
    assert answer.status_code == 422
    messages = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert "did you mean learning_rate?" in messages["config.learning_rat"]
    assert "belongs to dpo" in messages["config.beta"]
    assert "whole number" in messages["config.seed"]
    assert session.scalars(select(Run).where(Run.project_id == project.id)).all() == []


def test_a_reward_in_python_is_for_the_command_line_alone(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    judge = make_checkpoint(session, project, RunKind.REWARD)
    session.commit()
    asked = body(snapshot, kind="ppo", config={"reward_function": "os:system"})
    for more in ({}, {"reward_checkpoint_id": str(judge.id)}):
        answer = api(ada).post("/api/v1/runs", json=asked | more)
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["field"] == "config.reward_function"
        assert "on the command line alone" in error["message"]
    assert session.scalars(select(Run).where(Run.project_id == project.id)).all() == []
    names = {field.name for _, group in setting_groups("ppo", {})[1] for field in group}
    assert "monitor_action" in names
    assert "reward_function" not in names


@pytest.mark.parametrize("base", [{}, {"new": "tiny", "model": "x"}, {"new": "huge"}, {"x": 1}])
def test_a_base_is_exactly_one_thing(
    session: Session, api: Api, ada: User, project: Project, base: dict[str, str]
) -> None:
    snapshot = make_snapshot(session, project)
    assert api(ada).post("/api/v1/runs", json=body(snapshot, base=base)).status_code == 422


def test_a_snapshot_without_the_data_is_refused_with_what_it_has(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project, rows={"prompts": 5})
    answer = api(ada).post("/api/v1/runs", json=body(snapshot, kind="dpo"))
    assert answer.status_code == 422
    assert "It has prompts." in answer.json()["detail"]


def test_a_snapshot_that_is_still_being_frozen_is_refused(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project, state=JobState.QUEUED, path=None, finished_at=None)
    answer = api(ada).post("/api/v1/runs", json=body(snapshot))
    assert answer.status_code == 422
    assert "queued" in answer.json()["detail"]


def test_a_checkpoint_of_another_project_does_not_exist_here(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    other = make_project(session, "Other", by=ada)
    foreign = make_checkpoint(session, other)
    for base in ({"checkpoint": str(foreign.id)}, {"checkpoint": str(uuid4())}):
        answer = api(ada).post("/api/v1/runs", json=body(snapshot, base=base))
        assert answer.status_code == 422
        assert "no checkpoint" in answer.json()["detail"]


def test_ppo_needs_a_reward_model_and_takes_no_other_checkpoint_for_one(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    program = api(ada)
    missing = program.post("/api/v1/runs", json=body(snapshot, kind="ppo"))
    assert "needs a reward model" in missing.json()["detail"]
    writer = make_checkpoint(session, project, RunKind.DPO)
    session.commit()
    wrong = program.post(
        "/api/v1/runs", json=body(snapshot, kind="ppo", reward_checkpoint_id=str(writer.id))
    )
    assert "must come from a reward model" in wrong.json()["detail"]
    judge = make_checkpoint(session, project, RunKind.REWARD)
    session.commit()
    right = program.post(
        "/api/v1/runs", json=body(snapshot, kind="ppo", reward_checkpoint_id=str(judge.id))
    )
    assert right.status_code == 202
    assert right.json()["reward_checkpoint_id"] == str(judge.id)
    refused = program.post(
        "/api/v1/runs",
        json=body(snapshot, kind="ppo", base={"checkpoint": str(judge.id)})
        | {"reward_checkpoint_id": str(judge.id)},
    )
    assert "only scores" in refused.json()["detail"]


@pytest.mark.parametrize("who", ["ana", "rui", "vic"])
def test_only_admins_launch_cancel_and_resume(
    session: Session, api: Api, people: Any, who: str
) -> None:
    snapshot = make_snapshot(session, people.project)
    run = make_run(session, snapshot)
    program = api(getattr(people, who))
    assert program.post("/api/v1/runs", json=body(snapshot)).status_code == 403
    assert program.post(f"/api/v1/runs/{run.id}/cancel").status_code == 403
    assert program.post(f"/api/v1/runs/{run.id}/resume").status_code == 403


def test_a_stranger_finds_nothing(session: Session, api: Api, people: Any) -> None:
    snapshot = make_snapshot(session, people.project)
    run = make_run(session, snapshot)
    checkpoint = make_checkpoint(session, people.project, run=run)
    program = api(people.sam)
    assert program.post("/api/v1/runs", json=body(snapshot)).status_code == 404
    for path in (
        f"/api/v1/runs/{run.id}",
        f"/api/v1/runs/{run.id}/metrics",
        f"/api/v1/runs/{run.id}/samples",
        f"/api/v1/projects/{people.project.id}/runs",
        f"/api/v1/projects/{people.project.id}/checkpoints",
        f"/api/v1/checkpoints/{checkpoint.id}",
        f"/api/v1/checkpoints/{checkpoint.id}/lineage",
        f"/api/v1/checkpoints/{checkpoint.id}/archive",
    ):
        assert program.get(path).status_code == 404, path


def test_those_who_see_the_data_see_the_runs_and_annotators_do_not(
    session: Session, api: Api, people: Any
) -> None:
    run = make_run(session, make_snapshot(session, people.project))
    assert api(people.vic).get(f"/api/v1/runs/{run.id}").status_code == 200
    assert api(people.rui).get(f"/api/v1/runs/{run.id}/metrics").status_code == 200
    assert api(people.ana).get(f"/api/v1/runs/{run.id}").status_code == 403


def test_runs_are_listed_newest_first_and_page_by_page(
    session: Session, api: Api, ada: User, project: Project
) -> None:
    program, snapshot = api(ada), make_snapshot(session, project)
    for _ in range(3):
        assert program.post("/api/v1/runs", json=body(snapshot)).status_code == 202
    first = program.get(f"/api/v1/projects/{project.id}/runs?limit=2").json()
    assert [run["name"] for run in first["items"]] == ["SFT 3", "SFT 2"]
    rest = program.get(
        f"/api/v1/projects/{project.id}/runs?limit=2&cursor={first['next_cursor']}"
    ).json()
    assert [run["name"] for run in rest["items"]] == ["SFT 1"]
    assert rest["next_cursor"] is None


# -- chains -----------------------------------------------------------------------------------


def chain(session: Session, project: Project, ada: User) -> list[Run]:
    return service.launch_chain(session, snapshot=make_snapshot(session, project), by=ada)


def take(session: Session, run: Run) -> service.Lease:
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    return lease


def finish(session: Session, run: Run) -> None:
    service.succeed(
        session, lease=take(session, run), path=f"runs/{run.id}/attempt-1", files=[], result={}
    )


def test_a_chain_starts_with_its_first_run_and_goes_on_by_itself(
    session: Session, project: Project, ada: User
) -> None:
    sft, reward, dpo, ppo = chain(session, project, ada)
    assert [jobs_for(session, run.id) for run in (sft, reward, dpo, ppo)] == [1, 0, 0, 0]
    assert service.start(session, run_id=reward.id) is None  # what it builds on is not there
    assert dpo.config["learning_rate"] == 5e-5  # it, too, comes from a new model
    finish(session, sft)
    assert [jobs_for(session, run.id) for run in (reward, dpo, ppo)] == [1, 1, 0]
    finish(session, dpo)
    assert jobs_for(session, ppo.id) == 0  # the reward model is still missing
    finish(session, reward)
    assert jobs_for(session, ppo.id) == 1
    session.refresh(ppo)
    assert ppo.parent_checkpoint_id == service_checkpoint(session, dpo)
    assert ppo.reward_checkpoint_id == service_checkpoint(session, reward)


def service_checkpoint(session: Session, run: Run) -> Any:
    from app.runs.queries import final_checkpoint

    checkpoint = final_checkpoint(session, run=run)
    assert checkpoint is not None
    return checkpoint.id


def test_a_chain_that_breaks_says_why_and_follows_when_it_is_mended(
    session: Session, project: Project, ada: User
) -> None:
    sft, reward, dpo, ppo = chain(session, project, ada)
    service.fail(session, lease=take(session, sft), error="Out of memory.")
    for run in (reward, dpo, ppo):
        session.refresh(run)
        assert run.state is JobState.FAILED
    assert reward.error is not None
    assert "builds on “SFT 1”" in reward.error
    service.resume(session, run=sft, by=ada)
    for run in (reward, dpo, ppo):
        session.refresh(run)
        assert (run.state, run.error) == (JobState.QUEUED, None)
    assert jobs_for(session, reward.id) == 0
    finish(session, sft)
    assert jobs_for(session, reward.id) == 1


def test_what_somebody_cancelled_does_not_come_back_with_the_chain(
    session: Session, project: Project, ada: User
) -> None:
    sft, _, dpo, ppo = chain(session, project, ada)
    service.cancel(session, run=dpo, by=ada)
    session.refresh(ppo)
    assert ppo.state is JobState.FAILED
    service.fail(session, lease=take(session, sft), error="x")
    service.resume(session, run=sft, by=ada)
    session.refresh(dpo)
    session.refresh(ppo)
    assert dpo.state is JobState.CANCELLED
    assert ppo.state is JobState.FAILED  # it still waits for what was cancelled


def test_a_run_that_waits_for_a_failed_one_is_not_resumed_before_it(
    session: Session, api: Api, project: Project, ada: User
) -> None:
    sft, reward, _, _ = chain(session, project, ada)
    service.fail(session, lease=take(session, sft), error="x")
    session.commit()
    answer = api(ada).post(f"/api/v1/runs/{reward.id}/resume")
    assert answer.status_code == 409
    assert "“SFT 1”" in answer.json()["detail"]
