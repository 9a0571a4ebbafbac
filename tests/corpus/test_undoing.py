"""Taking an import back: what goes, and what stays because somebody used it."""

import threading
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, select, text, update

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus import queries, service
from app.corpus.models import Import, Prompt
from app.datasets.models import Snapshot
from app.db import SessionLocal, database_now, transaction
from app.errors import Conflict
from app.projects.models import Project
from app.tasks import service as tasks
from app.tasks.models import Assignment, GoldKey, Task
from app.tasks.schemas import Gold
from app.worker.imports import import_file, undo_import
from app.worker.overlap import adjust_overlap
from tests.corpus.files import brought_in, counts, json_lines, pair
from tests.factories import make_annotation
from tests.people import make_people

NOTHING = {"prompts": 0, "responses": 0, "tasks": 0, "annotations": 0}


def judged(name, ranks=(1, 2)):
    return {"annotator": name, "ranks": list(ranks)}


def undone(session, row, by):
    """What is gone once the job has run."""
    service.request_undo(session, row=session.get_one(Import, row.id), by=by)
    session.commit()
    undo_import(row.id)
    session.expire_all()
    return session.get_one(Import, row.id).undone


def tasks_of(session, row):
    return session.scalars(select(Task).where(Task.import_id == row.id).order_by(Task.id)).all()


def test_what_nobody_has_used_goes_with_the_judgements_and_people_of_the_file(
    session, project, ada, tmp_path
):
    lines = [pair(f"{n}?", annotations=[judged("Kim"), judged("dataset:x")]) for n in range(5)]
    alone = json_lines(tmp_path / "b.jsonl", [{"prompt": "alone"}])
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines))
    prompts = brought_in(session, project, alone)
    before = queries.undoing_of(session, row=session.get_one(Import, row.id))
    assert (before.tasks, before.prompts, before.judgements, before.stay) == (5, 5, 10, 0)

    gone = undone(session, row, ada)

    assert (gone["tasks"], gone["prompts"], gone["responses"], gone["people"]) == (5, 5, 10, 1)
    assert counts(session, project) == NOTHING | {"prompts": 1}
    assert undone(session, prompts, ada)["prompts"] == 1
    assert counts(session, project) == NOTHING
    assert session.scalars(select(User).where(User.name == "Kim")).all() == []
    again = brought_in(session, project, tmp_path / "a.jsonl")
    assert again.rows_imported == 5


def test_twice_is_once(session, project, ada, tmp_path):
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair()]))
    first = undone(session, row, ada)
    ended = session.get_one(Import, row.id).undone_at
    brought_in(session, project, tmp_path / "a.jsonl")
    assert undone(session, row, ada) == first
    assert session.get_one(Import, row.id).undone_at == ended
    assert counts(session, project)["tasks"] == 1  # of the second import


@pytest.mark.parametrize("use", ["judged", "lent", "skipped", "gold", "another file", "snapshot"])
def test_what_somebody_used_stays(session, project, ada, ana, tmp_path, use):
    lines = [pair("used?", annotations=[judged("dataset:x")]), pair("idle?")]
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines))
    used = session.scalars(
        select(Task)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Task.import_id == row.id, Prompt.messages[0]["content"].astext == "used?")
    ).one()
    now = database_now(session)
    if use == "judged":
        make_annotation(session, used, ana, ranks=[1, 2])
    elif use in {"lent", "skipped"}:
        about = {"project_id": project.id, "task_id": used.id, "user_id": ana.id}
        state = (
            {"leased_until": now}
            if use == "lent"
            else {"state": "skipped", "skip_reason": "broken", "finished_at": now}
        )
        session.add(Assignment(display_order=[0, 1], **about, **state))
    elif use == "gold":
        key = Gold(prefers=[(0, 1)], equal=[], ties_allowed=False, explanation="")
        tasks.set_gold(session, task=used, gold=key, size=2, by=ada)
        later = {"created_at": row.finished_at + timedelta(seconds=1)}
        session.execute(update(GoldKey).where(GoldKey.task_id == used.id).values(later))
    elif use == "another file":
        more = [pair("used?", annotations=[judged("Lea")])]
        brought_in(session, project, json_lines(tmp_path / "b.jsonl", more))
    else:
        later = row.finished_at + timedelta(seconds=1)
        session.add(Snapshot(project_id=project.id, name="July", recipe={}, created_at=later))
    session.commit()

    reach = queries.undoing_of(session, row=session.get_one(Import, row.id))
    gone = undone(session, row, ada)

    assert (reach.tasks, reach.stay, reach.prompts, reach.prompts_stay) == (1, 1, 1, 1)
    assert (gone["tasks"], gone["prompts"], gone["responses"]) == (1, 1, 2)
    assert [task.id for task in tasks_of(session, row)] == [used.id]
    reasons = {"gold": (0, 1, 0), "snapshot": (0, 0, 1)}
    told = (reach.stay_judged, reach.stay_gold, reach.stay_snapshot)
    assert told == reasons.get(use, (1, 0, 0))
    assert session.scalars(select(Annotation).where(Annotation.task_id == used.id)).first()


def test_its_judgements_of_other_peoples_tasks_go_and_the_tasks_open_again(
    session, project, ada, tmp_path
):
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair()]))
    more = [pair(annotations=[judged("Kim"), judged("Lea"), judged("model:judge")])]
    row = brought_in(session, project, json_lines(tmp_path / "b.jsonl", more))
    task = session.scalars(select(Task).where(Task.project_id == project.id)).one()
    assert (task.wanted, task.counted) == (2, 2)

    gone = undone(session, row, ada)

    assert (gone["tasks"], gone["judgements"], gone["people"]) == (0, 3, 2)
    assert (task.wanted, task.counted) == (1, 0)
    assert counts(session, project) == NOTHING | {"prompts": 1, "responses": 2, "tasks": 1}


def test_adaptive_overlap_asks_for_more_where_judgements_came_or_went(
    session, project, ada, tmp_path
):
    project.overlap_min, project.overlap_max = 1, 4
    session.commit()
    votes = [judged("Kim"), judged("Lea"), judged("Max"), judged("Ole")]
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair(annotations=[votes[0]])]))
    more = brought_in(
        session, project, json_lines(tmp_path / "b.jsonl", [pair(annotations=votes[1:])])
    )

    def wanted():
        adjust_overlap(project_id=str(project.id))
        session.expire_all()
        task = session.scalars(select(Task).where(Task.project_id == project.id)).one()
        return task.counted, task.wanted

    def jobs():
        found = "DELETE FROM procrastinate_jobs WHERE task_name = 'overlap' RETURNING id"
        return len(session.execute(text(found)).all())

    assert (jobs(), wanted()) == (2, (4, 4))
    undone(session, more, ada)
    assert (jobs(), wanted()) == (1, (1, 2))  # one vote alone is not enough


def test_a_closed_task_asks_for_nobody_in_their_place(session, project, ada, tmp_path):
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair()]))
    more = [pair(annotations=[judged("Kim"), judged("Lea")])]
    row = brought_in(session, project, json_lines(tmp_path / "b.jsonl", more))
    task = session.scalars(select(Task).where(Task.project_id == project.id)).one()
    tasks.close_tasks(session, task_ids=[task.id])
    undone(session, row, ada)
    assert (task.wanted, task.counted) == (0, 0)


def test_a_prompt_with_a_response_of_another_origin_stays(session, project, ada, tmp_path):
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair()]))
    other = pair() | {"responses": ["four", "five"]}
    brought_in(session, project, json_lines(tmp_path / "b.jsonl", [other]))
    gone = undone(session, row, ada)
    assert (gone["tasks"], gone["responses"], gone["prompts"]) == (1, 2, 0)
    assert counts(session, project) == NOTHING | {"prompts": 1, "responses": 2, "tasks": 1}


def test_a_response_that_two_tasks_show_goes_with_the_last(session, project, ada, tmp_path):
    lines = [pair() | {"responses": ["4", "5"]}, pair() | {"responses": ["4", "6"]}]
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines))
    assert undone(session, row, ada)["responses"] == 3
    assert counts(session, project) == NOTHING


def test_only_what_was_brought_in_can_be_undone(session, project, ada, tmp_path):
    failed = brought_in(session, project, json_lines(tmp_path / "a.jsonl", ["oops"]))
    with pytest.raises(Conflict, match="nothing that could be taken back"):
        service.request_undo(session, row=session.get_one(Import, failed.id), by=ada)


def test_more_than_a_batch_goes_and_a_dead_worker_is_followed(
    session, project, ada, tmp_path, monkeypatch
):
    monkeypatch.setattr("app.worker.imports.undoing.BATCH", 3)
    lines = [pair(f"{n}?") for n in range(10)]
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", lines))
    service.request_undo(session, row=session.get_one(Import, row.id), by=ada)
    session.commit()
    left = iter([False, False, True])

    def die(*_args, **_more):
        if next(left):
            raise KeyboardInterrupt
        return 0

    with monkeypatch.context() as patched:
        patched.setattr("app.corpus.service.remove_unused_prompts", die)
        with pytest.raises(KeyboardInterrupt):
            undo_import(row.id)
    session.expire_all()
    half = session.get_one(Import, row.id)
    assert (half.undone["tasks"], half.undone_at, len(tasks_of(session, row))) == (6, None, 4)
    undo_import(row.id)
    session.expire_all()
    assert session.get_one(Import, row.id).undone["tasks"] == 10
    assert counts(session, project) == NOTHING


@pytest.mark.concurrency
def test_people_who_claim_meanwhile_keep_what_they_got(concurrency_engine, tmp_path):
    """Six people claim and submit while the import is undone under them."""
    with transaction() as session:
        people = make_people(session)
        project_id, ada_id = people.project.id, people.ada.id
        session.execute(
            update(Project).where(Project.id == project_id).values(overlap_min=2, overlap_max=2)
        )
        claimers = [people.ana.id, people.rui.id, people.ada.id]
    file = json_lines(tmp_path / "a.jsonl", [pair(f"{n}?") for n in range(300)])
    row = import_file(project_id=project_id, file=file)
    begin = threading.Barrier(len(claimers) + 1)
    got, problems = [], []

    def work(user_id):
        begin.wait()
        for turn in range(12):
            try:
                with SessionLocal() as session:
                    project = session.get_one(Project, project_id)
                    user = session.get_one(User, user_id)
                    now = database_now(session)
                    lent = tasks.claim(
                        session, project=project, user=user, now=now, rng=Random(turn)
                    )
                    if lent is None:
                        session.commit()
                        return
                    got.append((lent.id, lent.task_id))
                    if turn % 3:
                        tasks.complete(session, assignment=lent, now=now)
                    session.commit()
            except Exception as error:  # noqa: BLE001 # told by the test
                problems.append(error)

    def undo():
        with transaction() as session:
            row_now = session.get_one(Import, row.id)
            service.request_undo(session, row=row_now, by=session.get_one(User, ada_id))
        begin.wait()
        undo_import(row.id)

    threads = [threading.Thread(target=work, args=[each]) for each in claimers]
    threads.append(threading.Thread(target=undo))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    with transaction() as session:
        kept = dict(session.execute(select(Assignment.id, Assignment.task_id)).all())
        assert kept.keys() >= {assignment_id for assignment_id, _ in got}  # no lease is lost
        left = session.scalars(select(Task).where(Task.project_id == project_id)).all()
        assert {task.id for task in left} == {task_id for _, task_id in got}
        for task in left:
            assert 0 <= task.leased + task.counted <= task.wanted
        ended = session.get_one(Import, row.id)
        assert ended.undone["tasks"] == 300 - len(left)
        assert session.scalar(
            select(func.count()).select_from(Prompt).where(Prompt.project_id == project_id)
        ) == len(left)
