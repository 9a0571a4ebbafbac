"""What must always hold is found broken when it is broken, and only then."""

from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import text

from app.annotation import service as annotation
from app.annotation.schemas import GoldBody, ImportedJudgement, JudgementBody
from app.db import database_now
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment, SkipReason
from app.work.queries.checks import CHECKS, NAMED, invariants
from tests.factories import make_annotation, make_task

CONSTRAINTS = {
    "task": ("ck_task_never_too_many", "ck_task_counters"),
    "assignment": ("ck_assignment_slot",),
}


@pytest.fixture
def lawless(session):
    """The constraints of the database gone, as far as this test can see."""
    for table, names in CONSTRAINTS.items():
        for name in names:
            session.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    for index in (
        "assignment_task_user",
        "assignment_slot",
        "assignment_repeat",
        "annotation_current",
    ):
        session.execute(text(f"DROP INDEX uq_{index}"))
    return session


@pytest.fixture
def judged(session, project, ana, rui):
    """A task with two judgements of two wanted, as it should be."""
    task = make_task(session, project, wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, rui, ranks=[1, 2])
    session.flush()
    return task


def broken(session, project=None):
    session.flush()
    return {
        result.name: result.broken
        for result in invariants(session, project=project)
        if result.broken
    }


def hold(session, task, user, **fields):
    now = database_now(session)
    session.add(
        Assignment(
            project_id=task.project_id,
            task_id=task.id,
            user_id=user.id,
            display_order=[0, 1],
            created_at=now,
            leased_until=now + timedelta(minutes=9),
            **fields,
        )
    )
    session.flush()


INJECTED = {
    "places": "UPDATE task SET wanted = 1 WHERE id = :task",
    "closed": "UPDATE task SET closed_at = now(), wanted = 3 WHERE id = :task",
    "leased": "UPDATE task SET leased = 1, wanted = 3 WHERE id = :task",
    "counted": "UPDATE task SET counted = 1 WHERE id = :task",
    "judgement": "UPDATE annotation SET is_current = false WHERE task_id = :task",
    "handed_in": "UPDATE assignment SET state = 'expired' WHERE task_id = :task",
    "never_counts": "UPDATE annotation SET is_repeat = true WHERE task_id = :task",
    "revisions": "UPDATE annotation SET revision = 2 WHERE task_id = :task",
}


@pytest.mark.parametrize("name", INJECTED)
def test_each_rule_finds_what_breaks_it(lawless, project, judged, ana, rui, name):
    assert broken(lawless) == {}
    lawless.execute(text(INJECTED[name]), {"task": judged.id})
    found = broken(lawless, project)
    assert name in found
    assert len(found[name]) in {1, 2}  # of the task, or of each of its judgements
    assert any(word in found[name][0] for word in (str(judged.id), "assignment ", "judgement "))
    assert name in broken(lawless)  # over all projects too, which are named
    assert str(project.id) in broken(lawless)[name][0]


def test_nobody_has_a_task_twice(lawless, project, judged, ana):
    make_annotation(lawless, judged, ana, ranks=[1, 2])
    assert list(broken(lawless, project)) == ["once"]
    assert str(ana.id) in broken(lawless, project)["once"][0]


def test_one_silent_repeat_is_right_and_a_second_is_not(lawless, project, judged, ana):
    make_annotation(lawless, judged, ana, ranks=[1, 2], is_repeat=True)
    assert broken(lawless) == {}
    make_annotation(lawless, judged, ana, ranks=[1, 2], is_repeat=True)
    assert list(broken(lawless, project)) == ["once"]


def test_nobody_holds_three(lawless, project, ana):
    for number in range(3):
        hold(lawless, make_task(lawless, project, prompt=f"p{number}", leased=1), ana)
    assert list(broken(lawless, project)) == ["two_open"]


def test_gold_that_counts_is_found(session, project, ana):
    gold = make_task(session, project, prefers=[[0, 1]])
    made = make_annotation(session, gold, ana, ranks=[1, 2])
    assert broken(session) == {}
    made.counted = True
    assert "of a gold task" in broken(session)["never_counts"][0]


def test_a_gap_between_revisions_and_an_old_one_that_is_current(lawless, project, judged, ana):
    copy = """
      INSERT INTO annotation (id, project_id, task_id, assignment_id, user_id, guidelines_version,
        revision, is_current, counted, is_repeat, ranks, ratings, flags)
      SELECT gen_random_uuid(), project_id, task_id, assignment_id, user_id, 1, 3, false, counted,
        false, ranks, ratings, flags FROM annotation WHERE task_id = :task AND user_id = :ana"""
    lawless.execute(text(copy), {"task": judged.id, "ana": ana.id})
    assert "2 revisions from 1 to 3, current 1" in broken(lawless)["revisions"][0]


def test_another_projects_trouble_is_not_this_ones(lawless, project, judged, sam):
    other = make_task(lawless, project, prompt="here")
    lawless.execute(text("UPDATE task SET leased = 1 WHERE project_id <> :p"), {"p": project.id})
    assert broken(lawless, project) == {}
    assert "leased" in broken(lawless)
    assert other.leased == 0


def test_many_rows_are_cut_short(lawless, project):
    for number in range(NAMED + 3):
        make_task(lawless, project, prompt=f"p{number}", leased=1)
    lawless.flush()
    (result,) = [each for each in invariants(lawless, project=project) if not each.holds]
    assert (result.name, len(result.broken), result.is_cut) == ("leased", NAMED, True)


def test_all_that_people_may_do_breaks_nothing(session, project, ana, rui, ada):
    """Claims, skips, releases, late and changed judgements, gold and back, imports."""
    made = [make_task(session, project, prompt=f"p{n}", wanted=2) for n in range(6)]
    session.commit()
    now = database_now(session)

    def claim(user, later=timedelta(), **options):
        rng = Random(1)
        return tasks.claim(session, project=project, user=user, now=now + later, rng=rng, **options)

    def submit(user, assignment, **body):
        judgement = JudgementBody(ranking=[["A"], ["B"]], **body)
        return annotation.submit(
            session, assignment=assignment, project=project, user=user, judgement=judgement,
            key=None, now=now,
        )  # fmt: skip

    first = claim(ana)
    claim(ana, after=first)
    assert broken(session) == {}
    submit(ana, first)
    submit(ana, first, revision=1, rationale="On second thoughts.")
    tasks.skip(session, assignment=claim(ana), reason=SkipReason.OTHER, note=None, now=now)
    tasks.release(session, assignment=claim(ana), now=now)
    stale = claim(rui)
    tasks.free_expired(session, project=project, but=ana, now=now + timedelta(hours=2))
    submit(rui, stale)
    assert broken(session) == {}
    order = [
        str(each)
        for each in task_queries.responses_of(session, task_ids=[first.task_id])[first.task_id]
    ]
    gold = GoldBody(prefers=[(order[0], order[1])])
    task = next(each for each in made if each.id == first.task_id)
    annotation.set_gold(session, task=task, project=project, body=gold, by=ada, now=now)
    assert broken(session) == {}
    annotation.unset_gold(session, task=task, project=project, by=ada)
    judgements = [
        ImportedJudgement(made[0].id, name, ranks)
        for name in ("Iris", "Ivo", "Ina", "dataset:x")
        for ranks in ([1, 2], [2, 1], [1, 1])
    ]
    annotation.record_imported(session, project=project, judgements=judgements, now=now)
    assert broken(session) == {}


def test_the_checks_have_names_and_rules_of_their_own():
    assert len({check.name for check in CHECKS}) == len({check.rule for check in CHECKS}) == 10
