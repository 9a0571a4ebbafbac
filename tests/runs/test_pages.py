import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app import artifacts
from app.accounts.models import User
from app.db import JobState
from app.projects.models import Project
from app.runs import service
from app.runs.models import Run, RunKind
from app.runs.service import Lease, watching
from tests.runs.factories import make_checkpoint, make_run, make_snapshot, store_snapshot

SignIn = Callable[[User], TestClient]


def test_a_project_without_runs_says_what_to_do(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    browser = sign_in(ada)
    empty = browser.get(f"/projects/{project.id}/runs").text
    assert "Nothing has been trained yet" in empty
    assert "To the snapshots" in empty
    make_snapshot(session, project)
    session.commit()
    assert "Train one model" in browser.get(f"/projects/{project.id}/runs").text


def test_viewers_see_runs_without_the_means_to_start_one(
    session: Session, sign_in: SignIn, people: Any
) -> None:
    run = make_run(session, make_snapshot(session, people.project))
    browser = sign_in(people.vic)
    page = browser.get(f"/projects/{people.project.id}/runs/{run.id}")
    assert page.status_code == 200
    assert "Cancel" not in page.text
    assert "Train a model" not in browser.get(f"/projects/{people.project.id}/runs").text


@pytest.mark.parametrize("kind", list(RunKind))
def test_the_form_explains_each_kind_and_its_settings(
    session: Session, sign_in: SignIn, ada: User, project: Project, kind: RunKind
) -> None:
    make_snapshot(session, project)
    make_checkpoint(session, project, RunKind.REWARD)
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/runs/new?kind={kind}").text
    assert 'aria-current="page"' in page
    assert "Peak learning rate" in page
    assert 'name="set.weight_decay"' in page
    assert ("Reward model</label>" in page) == (kind is RunKind.PPO)
    assert "reward_model_path" not in page


def launch_fields(page: str, **fields: str) -> dict[str, str]:
    """What a browser sends of the form: its selects and what is typed."""
    snapshot = re.search(r'<option value="([0-9a-f-]{36})"', page)
    assert snapshot
    return {"snapshot_id": snapshot[1], "base": "new", "size": "tiny"} | fields


def test_ada_starts_a_run_from_the_form(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    make_snapshot(session, project)
    session.commit()
    browser = sign_in(ada)
    page = browser.get(f"/projects/{project.id}/runs/new?kind=dpo").text
    fields = launch_fields(
        page, kind="dpo", name="  Careful  ", **{"set.beta": "0.3", "set.learning_rate": ""}
    )
    answer = browser.post(f"/projects/{project.id}/runs", data=fields)
    assert answer.status_code == 303
    run = session.scalars(select(Run).where(Run.project_id == project.id)).one()
    assert (run.kind, run.name, run.config["beta"]) == (RunKind.DPO, "Careful", 0.3)
    assert run.config["learning_rate"] == 5e-5  # left empty: what suits a new model
    shown = browser.get(answer.headers["location"]).text
    assert "No worker is connected" in shown
    assert "a new tiny model" in shown


def test_a_mistake_in_the_form_keeps_what_was_typed(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    make_snapshot(session, project)
    session.commit()
    browser = sign_in(ada)
    page = browser.get(f"/projects/{project.id}/runs/new?kind=sft").text
    fields = launch_fields(page, kind="sft", **{"set.learning_rate": "fast", "set.seed": "7"})
    answer = browser.post(f"/projects/{project.id}/runs", data=fields)
    assert answer.status_code == 422
    assert "must be a number" in answer.text
    assert 'value="fast"' in answer.text
    assert 'value="7"' in answer.text
    missing = browser.post(f"/projects/{project.id}/runs", data=fields | {"snapshot_id": ""})
    assert "Choose a snapshot." in missing.text
    assert session.scalars(select(Run).where(Run.project_id == project.id)).all() == []


def test_a_chain_starts_with_one_button(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    session.commit()
    browser = sign_in(ada)
    answer = browser.post(
        f"/projects/{project.id}/runs/chain", data={"snapshot_id": str(snapshot.id)}
    )
    assert answer.status_code == 303
    page = browser.get(answer.headers["location"]).text
    for name in ("SFT 1", "Reward model 1", "DPO 1", "PPO 1"):
        assert name in page
    assert page.count(">waiting<") == 3
    ppo = session.scalars(select(Run).where(Run.kind == RunKind.PPO)).one()
    waiting = browser.get(f"/projects/{project.id}/runs/{ppo.id}").text
    assert "It starts when" in waiting


def test_the_page_of_a_running_run_shows_where_it_is(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    run = make_run(session, make_snapshot(session, project), RunKind.DPO, total_steps=40)
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    session.commit()
    browser = sign_in(ada)
    before = browser.get(f"/projects/{project.id}/runs/{run.id}").text
    assert "Loading the model and the data" in before
    service.record(
        session,
        lease=lease,
        metrics=[{"step": 10, "loss": 0.5, "rewards/accuracies": 0.75}],
        samples=[{"step": 10, "prompt": "An egg?", "response": "<b>Yes</b>, an egg.", "kl": 0.5}],
    )
    session.commit()
    page = browser.get(f"/projects/{project.id}/runs/{run.id}").text
    assert "Step 10 of about 40" in page
    assert "Does it come to prefer what people preferred?" in page
    assert "&lt;b&gt;Yes&lt;/b&gt;, an egg." in page
    assert "rewards/accuracies" in page
    metrics = browser.get(f"/api/v1/runs/{run.id}/metrics?after_step=-1").json()
    assert metrics["items"] == [{"step": 10, "loss": 0.5, "rewards/accuracies": 0.75}]
    assert (metrics["state"], metrics["attempt"]) == ("running", 1)


def test_a_reward_run_shows_its_newest_scores_beside_what_people_said(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    run = make_run(session, make_snapshot(session, project), RunKind.REWARD)
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    for step, scores in ((5, (0.5, -0.5)), (10, (-1.25, 2.5))):
        responses = [
            {"response": text, "score": score, "rank": rank}
            for text, score, rank in zip(("Boil it.", "No."), scores, (1, 2), strict=True)
        ]
        sample = {"step": step, "prompt": "An egg?", "response": "Boil it.", "responses": responses}
        service.record(session, lease=lease, metrics=[{"step": step}], samples=[sample])
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/runs/{run.id}").text
    assert "at step 10" in page
    assert "at step 5" not in page
    best, second = (
        page.index("score 2.50 · people: place 2"),
        page.index("score -1.25 · people put"),
    )
    assert best < page.index("No.", best) < second < page.index("Boil it.", second)


def test_cancel_and_resume_from_the_page(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    run = make_run(session, make_snapshot(session, project))
    session.commit()
    browser, address = sign_in(ada), f"/projects/{project.id}/runs/{run.id}"
    assert browser.post(f"{address}/cancel").status_code == 303
    session.refresh(run)
    assert run.state is JobState.CANCELLED
    assert "Start again" in browser.get(address).text
    assert browser.post(f"{address}/cancel").status_code == 409
    assert browser.post(f"{address}/resume").status_code == 303
    session.refresh(run)
    assert run.state is JobState.QUEUED


def test_a_failure_is_shown_with_its_remedy_and_its_log(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    run = make_run(session, make_snapshot(session, project))
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    service.fail(session, lease=lease, error="Out of memory. Lower it.", log="step 1\nstep 2")
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/runs/{run.id}").text
    assert "Out of memory. Lower it." in page
    assert "step 1\nstep 2" in page
    assert "data-curves" not in page  # it has nothing to draw


def test_what_the_monitors_said_stands_above_a_run_that_is_done(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    run = make_run(session, make_snapshot(session, project), RunKind.PPO)
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    with artifacts.workspace() as space:
        (space / "run").mkdir()
        (space / "run" / "for_people.jsonl").write_text('{"prompt": "Tea?"}\n')
        artifacts.put_folder(space / "run", to="runs/watched")
    warning = "Step 7: responses have become <shorter>."
    result = {
        "steps": 9,
        "warnings": [warning],
        "for_people": "for_people.jsonl",
        "stopped_because": "Stopped at step 9, for <reasons>.",
    }
    service.succeed(session, lease=lease, path="runs/watched", files=[], result=result)
    quiet = make_run(session, make_snapshot(session, project), RunKind.PPO)
    session.commit()
    browser = sign_in(ada)
    page = browser.get(f"/projects/{project.id}/runs/{run.id}").text
    assert "Read what it writes before you use it" in page
    assert "responses have become &lt;shorter&gt;." in page
    assert "its checkpoint</a>. Stopped at step 9, for &lt;reasons&gt;." in page
    file = browser.get(f"/projects/{project.id}/runs/{run.id}/for-people")
    assert file.text == '{"prompt": "Tea?"}\n'
    assert 'filename="for_people.jsonl"' in file.headers["content-disposition"]
    other = f"/projects/{project.id}/runs/{quiet.id}"
    assert "Read what it writes" not in browser.get(other).text
    assert browser.get(f"{other}/for-people").status_code == 404


@pytest.mark.parametrize("kind", [RunKind.SFT, RunKind.REWARD])
def test_a_run_that_diverged_says_so_while_it_runs_and_when_it_failed(
    kind: RunKind, session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    run = make_run(session, make_snapshot(session, project), kind)
    lease = service.start(session, run_id=run.id)
    assert lease is not None
    sentence = "The loss diverges: 50 at step 25. Lower learning_rate (now 2e-05)."
    watching.tell_of(session, lease=lease, usage={}, tail=None, warnings=[sentence])
    session.commit()
    browser, address = sign_in(ada), f"/projects/{project.id}/runs/{run.id}"
    heading = "Look at its figures" if kind is RunKind.REWARD else "Read what it writes"
    for page in (browser.get(address).text, _failed(session, lease, browser, address)):
        box = page.partition('id="warnings-title"')[2].partition("</section>")[0]
        assert box.startswith(f">{heading}</h2>")
        assert sentence in box
        assert "judge" not in box  # neither SFT nor a reward model pleases one


def _failed(session: Session, lease: Lease, browser: TestClient, address: str) -> str:
    service.fail(session, lease=lease, error="Not a number at step 40: loss nan.")
    session.commit()
    return browser.get(address).text


def test_a_run_of_another_project_is_not_here(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    from tests.factories import make_project

    other = make_project(session, "Other", by=ada)
    run = make_run(session, make_snapshot(session, other))
    session.commit()
    assert sign_in(ada).get(f"/projects/{project.id}/runs/{run.id}").status_code == 404


# -- checkpoints ------------------------------------------------------------------------------


@pytest.fixture
def family(session: Session, project: Project) -> dict[str, Any]:
    """SFT → reward and DPO → PPO, on a snapshot whose files are there."""
    snapshot = store_snapshot(session, project)
    made: dict[str, Any] = {"snapshot": snapshot}

    def trained(kind: RunKind, parent: str | None = None, reward: str | None = None) -> None:
        run = make_run(
            session,
            snapshot,
            kind,
            base={"checkpoint": str(made[parent].id)} if parent else {"new": "tiny"},
            parent_checkpoint_id=made[parent].id if parent else None,
            reward_checkpoint_id=made[reward].id if reward else None,
        )
        checkpoint = make_checkpoint(session, project, kind, run=run)
        checkpoint.parent_id = made[parent].id if parent else None
        session.flush()
        made[kind.value] = checkpoint

    trained(RunKind.SFT)
    trained(RunKind.REWARD, "sft")
    trained(RunKind.DPO, "sft")
    trained(RunKind.PPO, "dpo", "reward")
    session.commit()
    return made


def test_lineage_leads_from_a_checkpoint_to_people_and_guidelines(
    api: Callable[[User], TestClient], ada: User, family: dict[str, Any]
) -> None:
    lineage = api(ada).get(f"/api/v1/checkpoints/{family['ppo'].id}/lineage").json()
    assert lineage["checkpoint"]["id"] == str(family["ppo"].id)
    assert lineage["parent"]["checkpoint"]["kind"] == "dpo"
    assert lineage["parent"]["parent"]["checkpoint"]["kind"] == "sft"
    assert lineage["reward"]["parent"]["checkpoint"]["kind"] == "sft"
    assert [found["id"] for found in lineage["snapshots"]] == [str(family["snapshot"].id)]
    assert lineage["annotations"] == {"count": 3, "ids": ["a-1", "a-2", "a-3"]}
    assert lineage["annotators"] == ["annotator-1", "annotator-2"]
    assert lineage["guidelines_versions"] == [1, 2]


def test_the_picture_puts_everything_right_of_what_it_came_from(
    api: Callable[[User], TestClient], ada: User, family: dict[str, Any]
) -> None:
    from app.runs.formats import picture

    lineage = api(ada).get(f"/api/v1/checkpoints/{family['ppo'].id}/lineage").json()
    drawn = picture(lineage)
    columns = {box.key.split()[0] + " " + box.title: box.column for box in drawn.boxes}
    assert columns["guidelines Guidelines"] == 0
    assert columns["judgements 3 judgements"] == 1
    assert columns["snapshot Snapshot 1"] == 2
    assert columns["base A new tiny model"] == 2
    assert columns["checkpoint sft checkpoint"] == 3
    assert columns["checkpoint reward checkpoint"] == columns["checkpoint dpo checkpoint"] == 4
    assert columns["checkpoint ppo checkpoint"] == 5
    assert sum(arrow.is_reward for arrow in drawn.arrows) == 1
    corners = {(box.x, box.y) for box in drawn.boxes}
    assert len(corners) == len(drawn.boxes)  # none on top of another


def test_the_page_of_a_checkpoint_offers_what_it_can_do(
    sign_in: SignIn, people: Any, family: dict[str, Any]
) -> None:
    address = f"/projects/{people.project.id}/checkpoints"
    writer = sign_in(people.ada).get(f"{address}/{family['ppo'].id}").text
    assert "Write new responses" in writer
    assert "3 judgements by 2 people" in writer
    judge = sign_in(people.ada).get(f"{address}/{family['reward'].id}").text
    assert "Use it in PPO" in judge
    assert "Write new responses" not in judge
    assert (
        "Write new responses" not in sign_in(people.vic).get(f"{address}/{family['ppo'].id}").text
    )


def test_a_model_is_downloaded_as_one_zip(
    session: Session, api: Callable[[User], TestClient], ada: User, project: Project
) -> None:
    import io
    import zipfile

    from app import artifacts

    checkpoint = make_checkpoint(session, project)
    checkpoint.name = "My model/../x"
    with artifacts.workspace() as space:
        (space / "model" / "deep").mkdir(parents=True)
        (space / "model" / "config.json").write_text("{}")
        (space / "model" / "deep" / "model.safetensors").write_bytes(b"weights" * 1000)
        files = artifacts.put_folder(space / "model", to=checkpoint.path)
    checkpoint.files = [file.as_json() for file in files]
    session.commit()
    answer = api(ada).get(f"/api/v1/checkpoints/{checkpoint.id}/archive")
    assert answer.headers["content-disposition"].endswith('filename="My-model-..-x.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["config.json", "deep/model.safetensors"]


def test_all_files_of_a_run_go_out_as_a_zip(session, project, api, ada):
    import io
    import zipfile

    from app import artifacts

    run = make_run(session, make_snapshot(session, project))
    session.commit()
    address = f"/api/v1/runs/{run.id}/archive"
    none = api(ada).get(address)
    assert (none.status_code, "no files yet" in none.json()["detail"]) == (404, True)
    with artifacts.workspace() as space:
        (space / "run" / "model").mkdir(parents=True)
        (space / "run" / "log.txt").write_text("said")
        (space / "run" / "model" / "config.json").write_text("{}")
        artifacts.put_folder(space / "run", to=f"runs/{run.id}/attempt-1")
    run.state, run.path, run.finished_at = JobState.FAILED, f"runs/{run.id}/attempt-1", func.now()
    session.commit()
    page = api(ada).get(f"/projects/{project.id}/runs/{run.id}").text
    assert f'href="http://testserver{address}"' in page or f'href="{address}"' in page
    answer = api(ada).get(address)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.read("log.txt") == b"said"
        assert sorted(archive.namelist()) == ["log.txt", "model/config.json"]
