"""Where a person's work went: snapshots, models, what these wrote; and how it is corrected."""

import threading

import pytest
from sqlalchemy import delete, select

from app import artifacts
from app.accounts.models import User
from app.corpus.models import Response
from app.datasets import service as datasets
from app.datasets.models import Snapshot, SnapshotAnnotator
from app.datasets.rules.identity import pseudonym
from app.datasets.service import freezing
from app.db import JobState, SessionLocal, database_now, transaction
from app.errors import Invalid
from app.generation.models import Generation
from app.privacy import service
from app.privacy.schemas import Scope
from app.projects.models import Membership
from app.runs import queries as runs
from app.runs.models import RunKind
from app.runs.schemas import RunBody
from app.runs.service import launch
from app.worker.snapshots import build
from tests.datasets.frozen import freeze, manifest_of, rows_of
from tests.factories import make_annotation, make_task
from tests.people import make_people
from tests.privacy.test_erasure import erase
from tests.runs.factories import make_checkpoint, make_run


def test_a_snapshot_knows_who_is_in_it_as_its_manifest_does(session, world, maria):
    frozen = freeze(session, world.project)
    traced = service.trace(session, user=maria)
    [(snapshot, number)] = traced.snapshots
    name = pseudonym(world.project.id, maria.id)
    entries = manifest_of(frozen)["lineage"]["annotations"].values()
    assert snapshot.id == frozen.id
    assert number == sum(who == name for entry in entries for _, who, _ in entry) == 5


def test_of_snapshots_from_before_it_is_read_from_the_manifest_once(session, world, maria):
    frozen = freeze(session, world.project)
    kept = select(SnapshotAnnotator.annotator, SnapshotAnnotator.judgements)
    known = set(session.execute(kept).all())
    session.execute(delete(SnapshotAnnotator))
    session.commit()
    assert [number for _, number in service.trace(session, user=maria).snapshots] == [5]
    assert set(session.execute(kept).all()) == known
    runs.snapshot_origins.cache_clear()
    artifacts.remove(frozen.path)  # it is not read again
    assert [number for _, number in service.trace(session, user=maria).snapshots] == [5]


def test_what_learned_from_it_is_found_however_far_down(session, world, maria, sam):
    project = world.project
    frozen = freeze(session, project)
    other = freeze(session, project, exclude_annotators=[str(maria.id)])
    ended = {"state": JobState.SUCCEEDED, "path": "none", "finished_at": database_now(session)}
    reward_run = make_run(session, frozen, RunKind.REWARD, **ended)
    reward = make_checkpoint(session, project, RunKind.REWARD, run=reward_run)
    clean_run = make_run(session, other, RunKind.SFT, **ended)
    clean = make_checkpoint(session, project, RunKind.SFT, run=clean_run)
    ppo_run = make_run(
        session,
        other,
        RunKind.PPO,
        reward_checkpoint_id=reward.id,
        parent_checkpoint_id=clean.id,
        **ended,
    )
    ppo = make_checkpoint(session, project, RunKind.PPO, run=ppo_run)
    waiting = make_run(session, other, RunKind.DPO, after_run_id=ppo_run.id)
    session.add(Generation(project_id=project.id, checkpoint_id=ppo.id, config={"n": 2}))
    response = session.scalars(select(Response).limit(1)).one()
    response.checkpoint_id = ppo.id
    session.commit()
    traced = service.trace(session, user=maria)
    assert {run.id for run in traced.runs} == {reward_run.id, ppo_run.id, waiting.id}
    assert {each.id for each in traced.checkpoints} == {reward.id, ppo.id}
    assert traced.direct == {reward_run.id}
    assert traced.responses == {ppo.id: 1}
    assert len(traced.generations) == 1
    assert service.trace(session, user=sam).snapshots == []


def test_it_is_answered_for_somebody_erased_as_before(session, world, maria, ada):
    freeze(session, world.project)
    before = service.trace(session, user=maria)
    session.delete(session.get_one(Membership, (world.project.id, maria.id)))  # she had left
    session.commit()
    erase(session, maria, ada, identity=True, judgements=True)
    after = service.trace(session, user=maria)
    assert [(s.id, n) for s, n in after.snapshots] == [(s.id, n) for s, n in before.snapshots]
    assert [name for _, name, _ in after.projects] == [name for _, name, _ in before.projects]


def test_snapshots_that_hold_her_are_marked_and_others_not(session, world, maria, ada):
    hers = freeze(session, world.project)
    others = freeze(session, world.project, exclude_annotators=[str(maria.id)])
    erase(session, maria, ada, identity=True)
    assert session.get_one(Snapshot, hers.id).erased_at is None  # her judgements are there
    done = erase(session, maria, ada, judgements=True)
    assert done.counts["snapshots"] == 1
    assert session.get_one(Snapshot, hers.id).erased_at is not None
    assert session.get_one(Snapshot, others.id).erased_at is None
    assert freeze(session, world.project).erased_at is None


def test_a_corrected_edition_is_the_same_recipe_without_her(session, world, maria, ada):
    wrong = freeze(session, world.project, margin="strength", seed=7)
    erase(session, maria, ada, judgements=True)
    corrected = datasets.correct(session, snapshot=wrong, without=None, by=ada)
    session.commit()
    lease = datasets.start(session, snapshot_id=corrected.id)
    session.commit()
    build(lease)
    session.expire_all()
    assert (corrected.name, corrected.replaces_id) == ("Snapshot 1, corrected", wrong.id)
    assert corrected.recipe == wrong.recipe
    assert (
        pseudonym(world.project.id, maria.id) not in manifest_of(corrected)["lineage"]["annotators"]
    )
    again = datasets.correct(session, snapshot=corrected, without=None, by=ada)
    assert again.name == "Snapshot 1, corrected"


def test_it_can_leave_somebody_out_whose_judgements_stay(session, world, maria, ada):
    wrong = freeze(session, world.project)
    made = datasets.correct(session, snapshot=wrong, without=maria, by=ada)
    assert made.recipe["exclude_annotators"] == [str(maria.id)]


def test_files_go_and_the_record_stays(session, world, maria, ada, api, people):
    wrong = freeze(session, world.project)
    program = api(ada)
    address = f"/api/v1/snapshots/{wrong.id}"
    assert program.delete(f"{address}/files").status_code == 409  # it holds nothing erased
    erase(session, maria, ada, identity=True, judgements=True, texts=True)
    run = make_run(session, wrong, RunKind.REWARD)
    session.commit()
    refused = program.delete(f"{address}/files")
    assert refused.status_code == 409
    assert "Cancel it" in refused.json()["detail"]
    run.state, run.finished_at = JobState.CANCELLED, database_now(session)
    session.commit()
    assert program.delete(f"{address}/files").status_code == 204
    assert program.delete(f"{address}/files").status_code == 204  # twice is once
    assert not artifacts.exists(wrong.path)
    told = program.get(address).json()
    assert told["files_removed_at"]
    assert told["erased_at"]
    assert told["counts"] == wrong.counts
    assert told["files"]
    for path in ("files/README.md", "archive"):
        gone = program.get(f"{address}/{path}")
        assert gone.status_code == 404
        assert "erased" in gone.json()["detail"]
    session.expire_all()
    asked = {"kind": "reward", "snapshot_id": str(wrong.id), "base": {"new": "tiny"}}
    body = RunBody.model_validate(asked)
    with pytest.raises(Invalid, match="corrected edition"):
        launch(session, snapshot=wrong, body=body, by=ada)
    assert runs.usable_snapshots(session, project=world.project) == []
    checkpoint = make_checkpoint(session, world.project, RunKind.REWARD, run=run)
    found = runs.lineage(session, checkpoint=checkpoint)
    assert pseudonym(world.project.id, maria.id) in found["annotators"]  # still answered


def test_models_that_learned_from_erased_judgements_say_so(session, world, maria, ada, sign_in):
    project = world.project
    ended = {"state": JobState.SUCCEEDED, "path": "none", "finished_at": database_now(session)}
    wrong = freeze(session, project)
    clean = freeze(session, project, exclude_annotators=[str(maria.id)])
    run = make_run(session, wrong, RunKind.SFT, **ended)
    checkpoint = make_checkpoint(session, project, RunKind.SFT, run=run)
    child = make_run(session, clean, RunKind.DPO, parent_checkpoint_id=checkpoint.id, **ended)
    alone = make_run(session, clean, RunKind.REWARD, **ended)
    session.commit()
    erase(session, maria, ada, judgements=True)
    browser = sign_in(ada)
    said = "learned from judgements that have been erased"
    base = f"/projects/{project.id}"
    assert said in browser.get(f"{base}/runs/{run.id}").text
    assert said in browser.get(f"{base}/runs/{child.id}").text
    assert said in browser.get(f"{base}/checkpoints/{checkpoint.id}").text
    assert said not in browser.get(f"{base}/runs/{alone.id}").text
    told = sign_in(ada).get(f"/api/v1/checkpoints/{checkpoint.id}/lineage").json()
    assert told["snapshots"][0]["erased_at"]


def test_nothing_of_her_texts_is_in_a_corrected_dataset(session, world, maria, ada):
    wrong = freeze(session, world.project, test_share=0)
    assert any("Nine minutes" in str(row) for row in rows_of(wrong, "sft"))
    erase(session, maria, ada, texts=True)
    assert session.get_one(Snapshot, wrong.id).erased_at is not None
    corrected = freeze(session, world.project, test_share=0)
    assert not any("Nine minutes" in str(row) for row in rows_of(corrected, "sft"))


@pytest.mark.concurrency
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_snapshot_that_is_frozen_meanwhile_is_marked(concurrency_engine, monkeypatch, is_marked):
    """The erasure commits after the freezing has begun to read, and before it ends."""
    with transaction() as session:
        cast = make_people(session)
        for number in range(4):
            task = make_task(session, cast.project, prompt=f"p{number}", wanted=2)
            make_annotation(session, task, cast.ana, ranks=[1, 2])
            make_annotation(session, task, cast.rui, ranks=[1, 2])
        asked = datasets.request(
            session, project=cast.project, recipe=freezing.Recipe(), queued=False
        )
        ids = cast.project.id, cast.ana.id, cast.ada.id, asked.id
    _, ana_id, ada_id, snapshot_id = ids

    def erase_her():
        with transaction() as session:
            service.erase(
                session,
                user=session.get_one(User, ana_id),
                scope=Scope(judgements=True),
                by=session.get_one(User, ada_id),
                now=database_now(session),
            )

    if is_marked:
        read = freezing.queries.judged_prompts

        def late(session, **what):
            thread = threading.Thread(target=erase_her)
            prompts = list(read(session, **what))
            thread.start()
            thread.join()
            yield from prompts

        monkeypatch.setattr(freezing.queries, "judged_prompts", late)
    else:
        erase_her()
    with transaction() as session:
        lease = datasets.start(session, snapshot_id=snapshot_id)
    build(lease)
    with SessionLocal() as session:
        made = session.get_one(Snapshot, snapshot_id)
        assert made.state is JobState.SUCCEEDED
        assert (made.erased_at is not None) is is_marked
