"""Who may judge what: languages and expertise of tasks and people."""

import re
from collections import Counter
from random import Random

import pytest
from sqlalchemy import select, text

from app.accounts.models import Role
from app.corpus.schemas import NewResponse
from app.corpus.service import add_responses
from app.db import database_now, transaction
from app.projects.models import Membership
from app.projects.queries import stranded_tasks
from app.projects.rules import expertise_of, language_of, languages_of, may_judge
from app.tasks import queries, rules, service
from app.tasks.models import Task, TaskLane
from app.tasks.schemas import Gold, NewTask, Nothing
from app.tasks.service.lending import take
from tests.factories import (
    ask_for,
    make_many_judged,
    make_many_tasks,
    make_member,
    make_project,
    make_prompt,
    make_user,
)


@pytest.fixture
def claim(session, project):
    rng = Random(7)

    def claim_for(user):
        now = database_now(session)
        return service.claim(session, project=project, user=user, now=now, rng=rng)

    return claim_for


def opened(session, project, *, language=None, expertise=(), gold=None, count=1, **fields):
    """Tasks of prompts that ask for this, opened as an import does."""
    tasks = []
    for number in range(count):
        prompt = make_prompt(
            session, project, f"{language} {number}", language=language, expertise=list(expertise)
        )
        stored = add_responses(
            session,
            responses=[NewResponse(prompt.id, prompt.content_hash, each) for each in ("a", "b")],
        )
        new = NewTask(prompt.id, [each.id for each in stored], gold=gold, **fields)
        (task,) = service.open_tasks(session, project=project, tasks=[new])
        tasks.append(session.get(Task, task.task_id))
    return tasks


def terms(session, project, user, *, languages=(), expertise=()):
    membership = session.get(Membership, (project.id, user.id))
    membership.languages, membership.expertise = list(languages), list(expertise)
    session.flush()


def everything(session, claim, user):
    """What she is given until there is nothing more, in that order."""
    given = []
    while (assignment := claim(user)) is not None:
        given.append(assignment.task_id)
        service.complete(session, assignment=assignment, now=database_now(session))
    return given


@pytest.mark.parametrize(
    ("languages", "expertise", "expected"),
    [
        ([], [], {"plain", "german"}),
        (["de"], [], {"plain", "german"}),
        (["fr"], [], {"plain"}),
        (["de"], ["law"], {"plain", "german", "law", "german law"}),
        (["fr"], ["law", "tax"], {"plain", "law", "law and tax"}),
        ([], ["law", "tax"], {"plain", "german", "law", "german law", "law and tax"}),
    ],
)
def test_she_gets_what_she_may_judge_and_nothing_else(
    session, project, ana, claim, languages, expertise, expected
):
    tasks = {
        "plain": opened(session, project),
        "german": opened(session, project, language="de-AT"),
        "law": opened(session, project, expertise=["law"]),
        "german law": opened(session, project, language="DE", expertise=["law"]),
        "law and tax": opened(session, project, expertise=["tax", "law"]),
    }
    terms(session, project, ana, languages=languages, expertise=expertise)
    names = {task.id: name for name, (task,) in tasks.items()}
    given = everything(session, claim, ana)
    assert {names[each] for each in given} == expected
    assert len(given) == len(expected)
    reason = queries.why_nothing(session, project=project, user=ana)
    assert reason is (Nothing.NEEDS_OTHER_SKILLS if len(expected) < 5 else Nothing.FINISHED)


def test_nothing_is_said_to_need_other_skills_when_all_of_it_is_judged(
    session, project, ana, rui, claim
):
    opened(session, project, language="de")
    terms(session, project, ana, languages=["fr"])
    assert claim(ana) is None
    assert queries.why_nothing(session, project=project, user=ana) is Nothing.NEEDS_OTHER_SKILLS
    assert len(everything(session, claim, rui)) == 1
    assert queries.why_nothing(session, project=project, user=ana) is Nothing.FINISHED


def test_the_highest_priority_comes_first_across_lanes(session, project, ana, claim):
    low = opened(session, project, priority=1, count=3)
    high = opened(session, project, language="de", priority=5, count=2)
    middle = opened(session, project, expertise=["law"], priority=3, count=2)
    terms(session, project, ana, expertise=["law"])
    given = everything(session, claim, ana)
    expected = [high] * 2 + [middle] * 2 + [low] * 3
    assert all(
        task in {each.id for each in group} for task, group in zip(given, expected, strict=True)
    )


def test_a_lane_is_drawn_as_often_as_it_has_tasks(session, project, claim):
    ask_for(project, 60)
    german = {task.id for task in opened(session, project, language="de", count=10)}
    for number, task in enumerate(session.scalars(select(Task).where(Task.id.in_(german)))):
        task.random_key, task.wanted = number / 10 + 0.05, 60
    english = opened(session, project, language="en", count=30)
    for number, task in enumerate(english):
        task.random_key, task.wanted = number / 30, 60
    session.flush()
    firsts = Counter()
    for number in range(60):
        user = make_user(session, f"Person {number}")
        make_member(session, project, user, Role.ANNOTATOR)
        firsts[claim(user).task_id in german] += 1
    assert 5 <= firsts[True] <= 26  # 15 of 60 are expected; the bounds are 3 deviations away


def test_gold_is_only_given_to_who_may_judge_it(session, project, ana, rui, claim):
    project.gold_rate = 0.5
    gold = Gold(prefers=[(0, 1)])
    (german,) = opened(session, project, language="de", gold=gold)
    (plain,) = opened(session, project, gold=gold)
    ask_for(project, 9)
    opened(session, project, count=40)
    terms(session, project, ana, languages=["fr"])
    session.flush()
    of_ana, of_rui = everything(session, claim, ana), everything(session, claim, rui)
    assert plain.id in of_ana
    assert german.id not in of_ana
    assert german.id in of_rui


def test_an_admin_who_was_never_invited_gets_what_asks_nothing(session, project, claim):
    olga = make_user(session, "Olga", role=Role.ADMIN)
    (plain,) = opened(session, project)
    opened(session, project, expertise=["law"])
    assert everything(session, claim, olga) == [plain.id]


def test_the_admin_is_told_what_nobody_may_judge(session, project, people):
    opened(session, project, language="de", expertise=["law"], count=2)
    opened(session, project, language="fr", count=3)
    for user in (people.ana, people.rui, people.ada):
        terms(session, project, user, languages=["en"])
    terms(session, project, people.vic, languages=["fr"])  # a viewer gets no tasks
    found = stranded_tasks(session, project=project)
    assert [(each.lane.language, each.lane.expertise, each.tasks) for each in found] == [
        ("de", ["law"], 2),
        ("fr", [], 3),
    ]
    terms(session, project, people.ana, languages=["fr", "de"])
    assert [each.lane.language for each in stranded_tasks(session, project=project)] == ["de"]
    terms(session, project, people.ana, expertise=["law", "medicine"])
    assert stranded_tasks(session, project=project) == []


def test_tags_are_compared_as_people_mean_them():
    assert languages_of(["de-AT", " DE ", "pt_BR", ""]) == ["de", "pt"]
    assert expertise_of(["Tax  Law", "tax law", "Ärzte"]) == ["tax law", "ärzte"]
    assert language_of(None) == ""
    with pytest.raises(ValueError, match="without a comma"):
        expertise_of(["law, tax"])
    with pytest.raises(ValueError, match="41 tags"):
        languages_of([f"l{number}" for number in range(41)])
    assert may_judge(language="de", needs=[], languages=[], expertise=[])
    assert not may_judge(language="de", needs=[], languages=["en"], expertise=[])
    assert not may_judge(language="", needs=["law"], languages=[], expertise=[])
    assert rules.lane(language="", expertise=[]) == ""
    assert rules.lane(language="de", expertise=["b", "a"]) == '["de", "a", "b"]'


LANES = """
UPDATE task SET lane = (ARRAY['', '["de"]', '["en"]', '["", "law"]'])[1 + n % 4]
FROM (SELECT id, row_number() OVER (ORDER BY random_key) n FROM task) numbered
WHERE task.id = numbered.id
"""


@pytest.mark.concurrency
def test_a_claim_in_many_lanes_walks_indexes_and_sorts_lanes_not_tasks(concurrency_engine):
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Many", by=boss)
        make_many_tasks(session, project, count=10_000, wanted=3)
        make_many_judged(session, project, boss, count=5_000)
        session.execute(text(LANES))
        for language, needs in (("de", []), ("en", []), ("", ["law"])):
            key = rules.lane(language=language, expertise=needs)
            session.add(
                TaskLane(project_id=project.id, key=key, language=language, expertise=needs)
            )
        session.flush()
        session.execute(text("ANALYZE task, assignment, task_lane"))
        where = {"in_project": project.id, "person": boss.id, "gold_key": 0.5}
        where |= {"wants_gold": False, "gold_alone": False, "her_languages": ["de"]}
        where |= {"level": None, "from_key": 0.0, "to_key": 1.0, "her_expertise": ["law"]}
        compiled = take(lanes=True, due=True).compile(dialect=concurrency_engine.dialect)
        rows = session.connection().exec_driver_sql(
            f"EXPLAIN {compiled}", compiled.construct_params(where)
        )
        plan = "\n".join(rows.scalars())
    assert re.search(r"Index (Only )?Scan using ix_task_open", plan)
    assert re.search(r"Index (Only )?Scan using (uq|ix)_assignment_task", plan)
    assert not re.search(r"Seq Scan on (task|assignment)( |$)", plan, re.MULTILINE)
    assert not re.search(r"Sort Key: task\w*\.random_key", plan)  # lanes are sorted, not tasks
    assert "Hash" not in plan
    assert "Bitmap" not in plan


@pytest.mark.concurrency
def test_a_claim_is_not_planned_anew_each_time(concurrency_engine):
    """What is due seldom must not make a plan for the one case look cheaper than for all."""
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Many", by=boss, gold_rate=0.1, repeat_rate=0.05)
        make_many_tasks(session, project, count=2_000, wanted=3)
        make_many_judged(session, project, boss, count=500)
        session.execute(text("ANALYZE task, assignment"))
        for number in range(25):
            now = database_now(session)
            held = service.claim(session, project=project, user=boss, now=now, rng=Random(number))
            service.complete(session, assignment=held, now=now)
        plans = session.execute(
            text(
                "SELECT custom_plans, generic_plans FROM pg_prepared_statements"
                " WHERE statement LIKE '%INSERT INTO assignment%'"
            )
        ).one()
    assert plans.custom_plans <= 6
    assert plans.generic_plans >= 8
