"""A task that the guidelines show as an example is not asked any more: its answer is told."""

from datetime import timedelta
from random import Random
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from app.annotation import service as annotation
from app.annotation.models import Annotation
from app.annotation.schemas import GoldBody, JudgementBody
from app.db import database_now
from app.errors import Conflict
from app.projects import service as projects
from app.projects.models import Membership
from app.projects.schemas import ProjectPatch
from app.quality.models import Part
from app.quality.queries.summary import fingerprint
from app.quality.service.settling import send_back
from app.tasks import queries
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState
from app.work.queries.checks import invariants
from app.worker.overlap import retire_examples, retire_forgotten
from tests.factories import make_annotation, make_project, make_task


def show(session, project, by, *made):
    """Publish guidelines with these tasks as examples, and let the job run."""
    publish(session, project, by, *made)
    retire_examples(project_id=str(project.id))
    session.expire_all()


def publish(session, project, by, *made):
    examples = [
        {"prompt": f"Question {place}", "responses": ["a", "b"], "ranks": [1, 2], "why": "So.",
         "task_id": str(task.id)}
        for place, task in enumerate(made)
    ]  # fmt: skip
    patch = ProjectPatch.model_validate({"guidelines_examples": examples})
    now = database_now(session) - timedelta(minutes=1)  # the transaction of a test has one time
    projects.update_settings(session, project=project, patch=patch, by=by, now=now)
    session.commit()


def before(session):
    return database_now(session) - timedelta(hours=1)


def claim(session, project, user):
    return tasks.claim(
        session, project=project, user=user, now=database_now(session), rng=Random(1)
    )


def sound(session, project):
    assert [each for each in invariants(session, project=project) if not each.holds] == []


def test_nobody_is_handed_it_and_what_was_judged_stays(session, project, ana, rui, ada):
    shown = make_task(session, project, prompt="shown", wanted=2)
    other = make_task(session, project, prompt="other", wanted=2)
    make_annotation(session, shown, rui, ranks=[1, 2], submitted_at=before(session))
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
    done = hand_in(session, project, ana, held)
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
    annotation.unset_gold(session, task=gold, project=project, by=ada)
    assert claim(session, project, ana) is None  # as an ordinary task it stays out as well


def test_a_task_of_another_project_stays(session, project, ada):
    elsewhere = make_project(session, "Elsewhere", by=ada)
    task = make_task(session, elsewhere, wanted=2)
    task.closed_at = database_now(session)
    held = Assignment(
        project_id=elsewhere.id, task_id=task.id, user_id=ada.id, display_order=[0, 1],
        leased_until=database_now(session),
    )  # fmt: skip
    session.add(held)
    show(session, project, ada, task)
    assert task.wanted == 2
    assert held.state is AssignmentState.OPEN  # whoever names it cannot call it back


def hand_in(session, project, user, assignment):
    return annotation.submit(
        session, assignment=assignment, project=project, user=user,
        judgement=JudgementBody(ranking=[["A"], ["B"]]), key=None, now=database_now(session),
    )  # fmt: skip


def test_what_is_handed_in_before_the_job_comes_does_not_count(session, project, ana, rui, ada):
    shown = make_task(session, project, wanted=3)
    earlier = make_annotation(session, shown, rui, ranks=[2, 1], submitted_at=before(session))
    held = claim(session, project, ana)
    publish(session, project, ada, shown)
    late = hand_in(session, project, ana, held)
    publish(session, project, ada, make_task(session, project, prompt="one more"), shown)
    session.commit()
    kept = fingerprint(session, project=project, part=Part.OVERVIEW)
    retire_examples(project_id=str(project.id))
    assert fingerprint(session, project=project, part=Part.OVERVIEW) != kept
    retire_examples(project_id=str(project.id))  # twice is once
    session.expire_all()
    assert earlier.counted
    assert not session.get_one(Annotation, late.annotation_id).counted
    assert (shown.leased, shown.counted, shown.wanted) == (0, 1, 1)
    sound(session, project)


def test_gold_that_was_told_says_nothing_of_her(session, project, ana, ada):
    gold = make_task(session, project, prefers=[[0, 1]])
    other = make_task(session, project, prompt="other", prefers=[[0, 1]])
    make_annotation(session, other, ana, ranks=[1, 2], gold_passed=True)
    publish(session, project, ada, gold)
    told = make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    session.commit()
    retire_examples(project_id=str(project.id))
    session.expire_all()
    hers = session.get_one(Membership, (project.id, ana.id))
    assert (hers.gold_seen, hers.gold_passed, told.gold_passed) == (1, 1, None)
    sound(session, project)


def test_what_was_told_is_not_scored_by_a_later_key_nor_counted_without_one(
    session, project, ana, rui, ada
):
    gold = make_task(session, project, prefers=[[0, 1]])
    unseen = make_annotation(
        session, gold, rui, ranks=[1, 2], gold_passed=True, submitted_at=before(session)
    )
    publish(session, project, ada, gold)
    told = make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    session.commit()
    retire_examples(project_id=str(project.id))
    show(session, project, ada)  # a later version shows it no more: she knows it all the same

    def scores():
        session.expire_all()
        seen = [session.get_one(Membership, (project.id, user.id)).gold_seen for user in (rui, ana)]
        return unseen.gold_passed, told.gold_passed, seen

    better, worse = map(str, queries.responses_of(session, task_ids=[gold.id])[gold.id])
    for pair, passed in (((worse, better), False), ((better, worse), True)):
        annotation.set_gold(
            session, task=gold, project=project, body=GoldBody(prefers=[pair]), by=ada,
            now=database_now(session),
        )  # fmt: skip
        assert scores() == (passed, None, [1, 0])
    about = {"task": gold, "project": project, "by": ada}
    annotation.withdraw_gold(session, reason="Hm.", now=database_now(session), **about)
    annotation.restore_gold(session, now=database_now(session), **about)
    assert scores() == (True, None, [1, 0])
    annotation.unset_gold(session, **about)
    assert scores() == (None, None, [0, 0])
    assert (unseen.counted, told.counted) == (True, False)
    assert (gold.counted, gold.wanted) == (1, 1)
    sound(session, project)


def test_late_gold_that_was_told_is_kept_and_not_scored(session, project, ana, ada):
    gold = make_task(session, project, prefers=[[0, 1]])
    held = Assignment(
        project_id=project.id, task_id=gold.id, user_id=ana.id, display_order=[0, 1],
        leased_until=database_now(session),
    )  # fmt: skip
    session.add(held)
    session.flush()
    show(session, project, ada, gold)
    done = hand_in(session, project, ana, held)
    session.expire_all()
    assert session.get_one(Annotation, done.annotation_id).gold_passed is None
    assert session.get_one(Membership, (project.id, ana.id)).gold_seen == 0


@pytest.mark.parametrize("prefers", [None, [[0, 1]]])
def test_an_answer_that_was_told_meanwhile_stays_as_it_was_given(
    session, project, ana, ada, prefers
):
    shown = make_task(session, project, prefers=prefers)
    passed = False if prefers else None
    given = make_annotation(
        session, shown, ana, ranks=[2, 1], gold_passed=passed, submitted_at=before(session)
    )
    assignment = session.get_one(Assignment, given.assignment_id)
    show(session, project, ada, shown)
    with pytest.raises(Conflict, match="stays as you gave it"):
        annotation.submit(
            session, assignment=assignment, project=project, user=ana,
            judgement=JudgementBody(ranking=[["A"], ["B"]], revision=1), key=None,
            now=database_now(session),
        )  # fmt: skip
    session.expire_all()
    assert (given.is_current, given.gold_passed) == (True, passed)


def test_examples_older_than_the_rule_are_found(session, project, ana, ada):
    shown = make_task(session, project, wanted=2)
    publish(session, project, ada, shown)
    session.execute(text("DELETE FROM procrastinate_jobs"))
    session.commit()
    retire_forgotten()
    retire_forgotten()  # it waits already
    asked = text(
        "SELECT args ->> 'project_id' FROM procrastinate_jobs WHERE task_name = 'examples'"
    )
    assert session.scalars(asked).all() == [str(project.id)]
    retire_examples(project_id=str(project.id))
    session.execute(text("DELETE FROM procrastinate_jobs"))
    session.commit()
    retire_forgotten()
    assert session.scalars(asked).all() == []


def test_a_comparison_of_models_does_not_ask_it_again(session, project, ada):
    shown = make_task(session, project, prompt="shown", wanted=2)
    other = make_task(session, project, prompt="other", wanted=2)
    show(session, project, ada, shown)
    tasks.close_tasks(session, task_ids=[other.id])
    assert tasks.reopen_tasks(session, project=project, task_ids=[shown.id, other.id]) == 1
    session.expire_all()
    assert (other.closed_at, shown.wanted) == (None, 0)
    assert shown.closed_at is not None


def test_a_name_that_is_no_task_is_passed_by(session, project, ada):
    task = make_task(session, project, wanted=2)
    show(session, project, ada, SimpleNamespace(id="the egg one"), task)
    assert task.closed_at is not None
