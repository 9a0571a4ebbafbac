"""A task that the guidelines show as an example is not asked any more: its answer is told."""

from random import Random
from types import SimpleNamespace

import pytest

from app.annotation import service as annotation
from app.annotation.schemas import JudgementBody
from app.db import database_now
from app.errors import Conflict
from app.projects import service as projects
from app.projects.schemas import ProjectPatch
from app.quality.service.settling import send_back
from app.tasks import queries
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState
from app.work.queries.checks import invariants
from app.worker.overlap import retire_examples
from tests.factories import make_annotation, make_project, make_task


def show(session, project, by, *made):
    """Publish guidelines with these tasks as examples, and let the job run."""
    examples = [
        {"prompt": f"Question {place}", "responses": ["a", "b"], "ranks": [1, 2], "why": "So.",
         "task_id": str(task.id)}
        for place, task in enumerate(made)
    ]  # fmt: skip
    patch = ProjectPatch.model_validate({"guidelines_examples": examples})
    projects.update_settings(
        session, project=project, patch=patch, by=by, now=database_now(session)
    )
    session.commit()
    retire_examples(project_id=str(project.id))
    session.expire_all()


def claim(session, project, user):
    return tasks.claim(
        session, project=project, user=user, now=database_now(session), rng=Random(1)
    )


def sound(session, project):
    assert [each for each in invariants(session, project=project) if not each.holds] == []


def test_nobody_is_handed_it_and_what_was_judged_stays(session, project, ana, rui, ada):
    shown = make_task(session, project, prompt="shown", wanted=2)
    other = make_task(session, project, prompt="other", wanted=2)
    make_annotation(session, shown, rui, ranks=[1, 2])
    show(session, project, ada, shown)
    assert (shown.leased, shown.counted, shown.wanted) == (0, 1, 1)
    assert claim(session, project, ana).task_id == other.id
    sound(session, project)
    annotation.apply_overlap(session, project=project)
    session.expire_all()
    assert shown.wanted == 1  # the overlap of the project does not bring it back
    with pytest.raises(Conflict, match="the guidelines show it as an example"):
        send_back(session, task=shown, more=1, reason="", by=ada)


def test_who_holds_it_gives_it_up_and_her_answer_is_kept_without_counting(
    session, project, ana, ada
):
    shown = make_task(session, project, wanted=2)
    held = claim(session, project, ana)
    show(session, project, ada, shown)
    assert session.get_one(Assignment, held.id).state is AssignmentState.EXPIRED
    assert (shown.leased, shown.counted, shown.wanted) == (0, 0, 0)
    done = annotation.submit(
        session, assignment=held, project=project, user=ana,
        judgement=JudgementBody(ranking=[["A"], ["B"]]), key=None, now=database_now(session),
    )  # fmt: skip
    session.expire_all()
    assert not done.counted
    assert shown.counted == 0
    sound(session, project)


def test_neither_gold_nor_a_repeat_of_it_comes(session, project, ana, ada):
    gold = make_task(session, project, prompt="gold", prefers=[[0, 1]])
    seen = make_task(session, project, prompt="seen", wanted=1)
    make_annotation(session, seen, ana, ranks=[1, 2])
    session.flush()
    hers = {"in_project": project.id, "person": ana.id}

    def due():
        return (
            session.scalar(queries.gold_task(lanes=False), hers),
            session.scalar(queries.REPEATED_TASK, hers),
        )

    assert due() == (gold.id, seen.id)
    show(session, project, ada, gold, seen)
    assert due() == (None, None)
    tasks.unset_gold(session, task=gold, project=project)
    assert claim(session, project, ana) is None  # as an ordinary task it stays out as well


def test_a_task_of_another_project_stays(session, project, ada):
    elsewhere = make_project(session, "Elsewhere", by=ada)
    task = make_task(session, elsewhere, wanted=2)
    show(session, project, ada, task)
    assert (task.closed_at, task.wanted) == (None, 2)


def test_a_name_that_is_no_task_is_passed_by(session, project, ada):
    task = make_task(session, project, wanted=2)
    show(session, project, ada, SimpleNamespace(id="the egg one"), task)
    assert task.closed_at is not None
