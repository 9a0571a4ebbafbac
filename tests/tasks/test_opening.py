"""Opening tasks: equal lines merge, ranks follow, gold keys stay with their responses."""

import pytest
from sqlalchemy import func, select

from app.corpus.models import Response
from app.db import database_now
from app.errors import Invalid
from app.tasks import service
from app.tasks.models import GoldKey, Task, TaskKind, TaskResponse
from app.tasks.schemas import Gold, NewTask
from tests.factories import make_prompt


@pytest.fixture
def prompt(session, project):
    return make_prompt(session, project, "How long does rice keep?")


@pytest.fixture
def replies(session, prompt):
    rows = [
        Response(prompt_id=prompt.id, content_hash=bytes([n]) * 32, text=f"reply {n}")
        for n in range(4)
    ]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def open_one(session, project, *tasks):
    return service.open_tasks(session, project=project, tasks=tasks)


def responses_of(session, task_id):
    return session.scalars(
        select(TaskResponse.response_id)
        .where(TaskResponse.task_id == task_id)
        .order_by(TaskResponse.position)
    ).all()


def test_a_new_task_wants_what_the_project_asks_for(session, project, prompt, replies):
    project.overlap_min = project.overlap_max = 3
    (opened,) = open_one(
        session, project, NewTask(prompt.id, replies, priority=2, external_id="x", meta={"k": 1})
    )
    task = session.get(Task, opened.task_id)
    assert opened.is_new
    assert (task.kind, task.wanted, task.priority) == (TaskKind.ORDINARY, 3, 2)
    assert (task.external_id, task.meta) == ("x", {"k": 1})
    assert responses_of(session, task.id) == replies
    assert 0 <= task.random_key < 1


def test_equal_lines_are_one_task_and_ranks_follow_the_responses(session, project, prompt, replies):
    a, b, c, _ = replies
    first, second = open_one(
        session, project, NewTask(prompt.id, [a, b, c]), NewTask(prompt.id, [c, a, b])
    )
    (again,) = open_one(session, project, NewTask(prompt.id, [b, c, a]))
    assert first.task_id == second.task_id == again.task_id
    assert [first.is_new, second.is_new, again.is_new] == [True, False, False]
    # The same judgement, best a then b then c, told in three orders.
    assert first.canonical([1, 2, 3]) == [1, 2, 3]
    assert second.canonical([3, 1, 2]) == [1, 2, 3]
    assert again.canonical([2, 3, 1]) == [1, 2, 3]


def test_other_responses_are_another_task(session, project, prompt, replies):
    a, b, c, d = replies
    opened = open_one(
        session,
        project,
        NewTask(prompt.id, [a, b]),
        NewTask(prompt.id, [c, d]),
        NewTask(prompt.id, [a, c]),
    )
    assert len({each.task_id for each in opened}) == 3


def test_a_gold_key_follows_its_responses_into_the_first_order(session, project, prompt, replies):
    a, b, c, _ = replies
    gold = Gold(prefers=[(0, 2)], equal=[(0, 1)], ties_allowed=True, explanation="b is wrong")
    opened = open_one(
        session, project, NewTask(prompt.id, [a, b, c]), NewTask(prompt.id, [c, a, b], gold=gold)
    )
    key = session.get(GoldKey, opened[0].task_id)
    assert key.prefers == [[2, 1]]  # c before b
    assert key.equal == [[2, 0]]  # c ties a
    assert (key.ties_allowed, key.explanation) == (True, "b is wrong")
    task = session.get(Task, opened[0].task_id)
    assert (task.kind, task.wanted) == (TaskKind.GOLD, None)
    assert [each.is_gold for each in opened] == [True, True]


def test_gold_comes_to_an_old_task_only_while_nobody_has_had_it(
    session, project, ana, prompt, replies
):
    import random

    a, b, c, d = replies
    fresh, touched = open_one(
        session, project, NewTask(prompt.id, [a, b]), NewTask(prompt.id, [c, d])
    )
    session.get(Task, fresh.task_id).priority = -1
    session.flush()
    now = database_now(session)
    held = service.claim(session, project=project, user=ana, now=now, rng=random.Random(1))
    assert held.task_id == touched.task_id

    gold = Gold(prefers=[(0, 1)])
    again = open_one(
        session,
        project,
        NewTask(prompt.id, [b, a], gold=gold),
        NewTask(prompt.id, [c, d], gold=gold),
    )
    assert [each.is_gold for each in again] == [True, False]
    assert session.get(GoldKey, fresh.task_id).prefers == [[1, 0]]
    assert session.get(GoldKey, touched.task_id) is None


@pytest.mark.parametrize(
    ("size", "gold", "sentence"),
    [
        (1, None, "2 to 10 responses"),
        (2, Gold(prefers=[(0, 1), (1, 0)]), "run in a circle"),
        (2, Gold(prefers=[(0, 2)]), "does not have"),
        (2, Gold(prefers=[]), "at least one pair"),
    ],
)
def test_what_cannot_be_ranked_is_refused(session, project, prompt, replies, size, gold, sentence):
    before = session.scalar(select(func.count()).select_from(Task))
    with pytest.raises(Invalid, match=sentence):
        open_one(session, project, NewTask(prompt.id, replies[:size], gold=gold))
    with pytest.raises(Invalid, match="stands twice"):
        open_one(session, project, NewTask(prompt.id, [replies[0], replies[0]]))
    assert session.scalar(select(func.count()).select_from(Task)) == before


def test_overlap_changes_in_batches_and_never_below_what_is_there(
    session, project, prompt, replies
):
    a, b, c, d = replies
    opened = open_one(
        session,
        project,
        NewTask(prompt.id, [a, b]),
        NewTask(prompt.id, [c, d]),
        NewTask(prompt.id, [a, d]),
    )
    busy = session.get(Task, opened[0].task_id)
    busy.wanted, busy.counted, busy.leased = 4, 2, 1
    project.overlap_min = project.overlap_max = 2
    session.flush()
    after, steps = b"", 0
    while batch := service.set_overlap(session, project=project, after=after, limit=1):
        after, steps = batch[-1][1], steps + 1
    assert steps == 3
    session.expire_all()
    assert [session.get(Task, each.task_id).wanted for each in opened] == [3, 2, 2]
