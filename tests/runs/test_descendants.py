"""From judgements forward to every model that learned from them, however far down."""

from uuid import uuid4

from sqlalchemy import delete, event, insert, select, update

from app.corpus.models import Response
from app.datasets.models import SnapshotGuidelines, SnapshotWriter
from app.db import JobState, database_now
from app.runs import service
from app.runs.models import Checkpoint, Run, RunKind
from app.runs.queries.descendants import How, descendants, snapshots_under
from app.tasks.models import TaskResponse
from tests.datasets.frozen import freeze
from tests.factories import make_annotation, make_task
from tests.runs.factories import make_checkpoint, make_run, make_snapshot


def trained(session, snapshot, project, kind=RunKind.SFT, **built_on):
    run = make_run(
        session,
        snapshot,
        kind,
        state=JobState.SUCCEEDED,
        path="none",
        finished_at=database_now(session),
        **built_on,
    )
    return make_checkpoint(session, project, kind, run=run)


def test_it_goes_through_parents_rewards_and_what_models_wrote(session, project):
    first, second, apart = (make_snapshot(session, project) for _ in range(3))
    reward = trained(session, first, project, RunKind.REWARD)
    clean = trained(session, apart, project)
    ppo = trained(
        session, apart, project, RunKind.PPO,
        parent_checkpoint_id=clean.id, reward_checkpoint_id=reward.id,
    )  # fmt: skip
    session.add(SnapshotWriter(snapshot_id=second.id, checkpoint_id=ppo.id, judgements=7))
    session.flush()
    child = trained(session, second, project, RunKind.DPO)
    found = descendants(session, snapshot_ids=[first.id])
    assert {each.id for each in found.snapshots} == {first.id, second.id}
    assert {each.id for each in found.checkpoints} == {reward.id, ppo.id, child.id}
    ways = found.ways()
    assert ways[ppo.id] == {How.REWARD}
    assert ways[child.id] == ways[reward.id] == {How.DATA}
    assert found.how(second.id) == {How.WRITTEN}


def test_a_circle_of_models_and_snapshots_ends(session, project):
    """A model writes, is trained on what people think of it, and writes again."""
    snapshot = make_snapshot(session, project)
    model = trained(session, snapshot, project)
    session.add(SnapshotWriter(snapshot_id=snapshot.id, checkpoint_id=model.id, judgements=1))
    session.flush()
    found = descendants(session, checkpoint_ids=[model.id])
    assert [each.id for each in found.checkpoints] == [model.id]
    assert [each.id for each in found.snapshots] == [snapshot.id]


def test_a_snapshot_knows_whose_responses_and_which_guidelines_it_holds(session, people):
    writer = make_checkpoint(session, people.project)
    ids = []
    for number in range(4):
        task = make_task(session, people.project, prompt=f"p{number}", wanted=2)
        if number < 3:
            ids.append(task.id)
        make_annotation(session, task, people.ana, ranks=[1, 2])
    mark_written(session, ids, writer.id)
    session.commit()
    snapshot = freeze(session, people.project)
    [wrote] = session.query(SnapshotWriter).all()
    assert (wrote.snapshot_id, wrote.checkpoint_id, wrote.judgements) == (snapshot.id, writer.id, 3)
    [(held, number)] = snapshots_under(session, project=people.project, version=1)
    assert (held.id, number) == (snapshot.id, 4)
    assert snapshots_under(session, project=people.project, version=0) == []
    # of one from before this was kept it is read from the manifest
    session.execute(delete(SnapshotWriter))
    session.execute(delete(SnapshotGuidelines))
    service.look_through(session, projects=[people.project])
    [wrote] = session.query(SnapshotWriter).all()
    assert (wrote.checkpoint_id, wrote.judgements) == (writer.id, 3)
    assert len(snapshots_under(session, project=people.project, version=1)) == 1


def mark_written(session, task_ids, checkpoint_id):
    theirs = select(TaskResponse.response_id).where(TaskResponse.task_id.in_(task_ids))
    session.execute(
        update(Response).where(Response.id.in_(theirs)).values(checkpoint_id=checkpoint_id)
    )


def test_a_thousand_checkpoints_are_followed_in_one_statement(session, project, connection):
    snapshot = make_snapshot(session, project)
    last = None
    for _ in range(100):  # a long chain
        last = trained(session, snapshot, project, parent_checkpoint_id=last.id if last else None)
    other = make_snapshot(session, project)
    session.add(SnapshotWriter(snapshot_id=other.id, checkpoint_id=last.id, judgements=1))
    session.flush()
    bulk(session, other, 900)
    session.commit()
    begin, said = snapshot.id, []
    event.listen(connection, "before_cursor_execute", lambda *args: said.append(args[2]))
    found = descendants(session, snapshot_ids=[begin])
    assert len(found.checkpoints) == 1000
    assert len([each for each in said if each.lstrip().startswith(("SELECT", "WITH"))]) == 4


def bulk(session, snapshot, number):
    ids = [uuid4() for _ in range(number)]
    now = database_now(session)
    session.execute(
        insert(Run),
        [
            {
                "id": each, "project_id": snapshot.project_id, "snapshot_id": snapshot.id,
                "kind": RunKind.SFT, "name": "r", "base": {}, "config": {}, "path": "none",
                "state": JobState.SUCCEEDED, "finished_at": now,
            }
            for each in ids
        ],
    )  # fmt: skip
    session.execute(
        insert(Checkpoint),
        [
            {
                "id": uuid4(), "project_id": snapshot.project_id, "run_id": each, "name": "c",
                "kind": RunKind.SFT, "step": 1, "path": "p", "bytes": 0, "sha256": "0", "files": [],
            }
            for each in ids
        ],
    )  # fmt: skip
