"""Gold that good annotators dispute is taken out of scoring, and scores are corrected."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.annotation.service.gold import restand
from app.db import database_now
from app.projects.models import Membership, Project, Standing
from app.quality.queries.review import responses_of
from app.quality.service.review import suspend_disputed_gold
from app.tasks.models import GoldKey, Task
from tests.factories import make_annotation, make_member, make_task, make_user
from tests.people import People


def crowd(session: Session, project: Project, number: int) -> list[User]:
    users = [make_user(session, f"Person {place}") for place in range(number)]
    for user in users:
        make_member(session, project, user, Role.ANNOTATOR)
    return users


def answer(session: Session, gold: Task, users: Sequence[User], passed: Sequence[bool]) -> None:
    for user, right in zip(users, passed, strict=True):
        make_annotation(session, gold, user, ranks=[1, 2] if right else [2, 1], gold_passed=right)


def test_gold_that_two_of_five_good_annotators_fail_is_suspended(session: Session, people: People):
    users = crowd(session, people.project, 5)
    disputed = make_task(session, people.project, prefers=[[0, 1]])
    fine = make_task(session, people.project, prefers=[[0, 1]])
    answer(session, disputed, users, [True, True, True, False, False])
    answer(session, fine, users, [True, True, True, True, False])
    now = database_now(session)
    assert suspend_disputed_gold(session, project=people.project, now=now) == [disputed.id]
    assert suspend_disputed_gold(session, project=people.project, now=now) == []
    session.expire_all()
    assert session.get(GoldKey, disputed.id).suspended_at == now
    assert session.get(GoldKey, fine.id).suspended_at is None


def test_people_who_fail_gold_do_not_dispute_it(session: Session, people: People):
    users = crowd(session, people.project, 7)
    for user in users[5:]:
        session.get(Membership, (people.project.id, user.id)).standing = Standing.FAILED
    gold = make_task(session, people.project, prefers=[[0, 1]])
    answer(session, gold, users, [True, True, True, True, False, False, False])
    assert suspend_disputed_gold(session, project=people.project, now=database_now(session)) == []


def test_scores_are_corrected_when_gold_is_suspended(session: Session, people: People):
    users = crowd(session, people.project, 6)
    ida = users[5]
    for _ in range(12):  # gold that everybody else passes
        answer(session, make_task(session, people.project, prefers=[[0, 1]]), [ida], [True])
    disputed = [make_task(session, people.project, prefers=[[0, 1]]) for _ in range(3)]
    for gold in disputed:
        answer(session, gold, users, [False] * 6)
    now = database_now(session)
    restand(session, project=people.project, user_ids={ida.id})
    member = session.get(Membership, (people.project.id, ida.id), populate_existing=True)
    assert (member.gold_seen, member.gold_passed) == (15, 12)
    found = suspend_disputed_gold(session, project=people.project, now=now)
    assert set(found) == {gold.id for gold in disputed}
    session.refresh(member)
    assert (member.gold_seen, member.gold_passed) == (12, 12)
    # Counted anew, what is suspended stays out.
    restand(session, project=people.project, user_ids={ida.id})
    session.refresh(member)
    assert (member.gold_seen, member.gold_passed) == (12, 12)


def test_setting_the_key_again_brings_gold_back(session: Session, people: People, api):
    users = crowd(session, people.project, 5)
    gold = make_task(session, people.project, prefers=[[0, 1]])
    answer(session, gold, users, [False] * 5)
    suspend_disputed_gold(session, project=people.project, now=database_now(session))
    session.commit()
    first, second = (str(response.id) for response in responses_of(session, task=gold))
    reply = api(people.ada).put(
        f"/api/v1/tasks/{gold.id}/gold", json={"prefers": [[second, first]]}
    )
    assert reply.status_code == 200, reply.text
    session.expire_all()
    assert session.get(GoldKey, gold.id).suspended_at is None
    member = session.get(Membership, (people.project.id, users[0].id))
    assert (member.gold_seen, member.gold_passed) == (1, 1)
