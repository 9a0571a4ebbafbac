"""A project with the same content each time, with or without the work of Maria Ferreira."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import insert, select, text

from app.accounts import service as accounts
from app.accounts.models import OneTimeLink, RateLimit, Role
from app.annotation.service import Surroundings, Which, requeue
from app.corpus.formats import ImportedAnnotation, ImportedGold, ImportedTask
from app.corpus.formats.rows import ImportedResponse
from app.corpus.models import Import, Prompt
from app.db import Base, database_now
from app.projects import service as projects
from app.projects.models import GuidelinesDraft, MemberMessage, Project
from app.projects.queries import member
from app.quality.models import Adjudication, SendBack
from app.tasks.models import (
    Appeal,
    Assignment,
    AssignmentState,
    QualificationAttempt,
    ReAsk,
    ReAskPair,
    SkipReason,
    Task,
    TaskKind,
)
from app.worker.imports.preparing import Here, prepare
from app.worker.imports.writing import write_batch
from tests.factories import make_annotation, make_member, make_project

N_TASKS = 12
NAME, EMAIL = "Maria Ferreira", "maria.ferreira@example.org"


@dataclass
class World:
    project: Project
    tasks: list[Task]
    gold: Task


def make_world(session, people, *, maria=None, name="Kitchen", **settings):
    """Twelve tasks with two judgements by others each; hers are the third and fourth."""
    project = make_project(
        session, name, by=people.ada, overlap_min=3, overlap_max=3, repeat_rate=0.1, **settings
    )
    project.criteria = [{"key": "help", "label": "Helpful", "min": 1, "max": 5}]
    for user, role in ((people.ana, Role.ANNOTATOR), (people.rui, Role.REVIEWER)):
        make_member(session, project, user, role)
    tasks, gold = _import(session, project, people)
    for number, task in enumerate(tasks):
        _judge(session, task, people.ana, number, better=number % 3 != 0)
        if number % 2:
            _judge(session, task, people.rui, number, better=number % 5 != 0)
    if maria is not None:
        make_member(session, project, maria, Role.ANNOTATOR, languages=["pt"], expertise=["law"])
        _leave_traces(session, project, people, maria, tasks=tasks, gold=gold)
    session.flush()
    return World(project, tasks, gold)


def bring_in(session, project, people):
    """The tasks, and one gold; a judgement of somebody imported comes with the first task."""
    rows = [
        ImportedTask(
            messages=[{"role": "user", "content": f"How long does egg {number} boil?"}],
            responses=_responses(number),
            annotations=[ImportedAnnotation(annotator="Olive", ranks=[1, 2])] if not number else [],
        )
        for number in range(N_TASKS)
    ]
    rows.append(
        ImportedTask(
            messages=[{"role": "user", "content": "Which is gold?"}],
            responses=_responses(99),
            gold=ImportedGold(prefers=[(0, 1)], equal=[], ties_allowed=False, explanation=""),
        )
    )
    about = Surroundings(
        project.id,
        project.guidelines_version,
        database_now(session),
        _import_row(session, project),
    )
    here = Here(about, overlap=project.overlap_min)
    write_batch(
        session,
        prepare(rows, here=here),
        here=here,
        project=project,
        by=people.ada,
        brought=Counter(),
    )


def _import(session, project, people):
    bring_in(session, project, people)
    found = session.scalars(
        select(Task)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Task.project_id == project.id)
        .order_by(Prompt.content_hash)
    ).all()
    ordinary = [task for task in found if task.kind is TaskKind.ORDINARY]
    return ordinary, next(task for task in found if task.kind is TaskKind.GOLD)


def _import_row(session, project):
    row = Import(project_id=project.id, filename="eggs.jsonl", format="touchstone", path="none")
    session.add(row)
    session.flush()
    return row.id


def _responses(number):
    return [
        ImportedResponse(text=f"Eight minutes, {number}.", source="model-a"),
        ImportedResponse(text=f"Eggs are eggs, {number}.", source="model-b"),
    ]


def _judge(session, task, user, number, *, better, **fields):
    return make_annotation(
        session,
        task,
        user,
        ranks=[1, 2] if better else [2, 1],
        strength=1 + number % 3,
        ratings={"help": [4, 2]},
        **fields,
    )


def _leave_traces(session, project, people, maria, *, tasks, gold):
    """Everything that a person can leave behind."""
    now = database_now(session)
    ours = {"project_id": project.id, "user_id": maria.id}
    for number, task in enumerate(tasks[:6]):
        _judge(
            session,
            task,
            maria,
            number,
            better=False,
            submitted_at=now - timedelta(minutes=10 - number),  # so that one of them is her last
            rationale=f"I know eggs, {number}.",
            rewrite=f"Nine minutes, {number}." if number == 2 else None,
        )
    first = session.scalars(
        select(Assignment).where(Assignment.task_id == tasks[0].id, Assignment.user_id == maria.id)
    ).one()
    first.draft = {"rationale": "half a"}
    repeat = make_annotation(session, tasks[1], maria, ranks=[1, 2], is_repeat=True)
    assert not repeat.counted
    make_annotation(session, gold, maria, ranks=[2, 1], gold_passed=False)
    held = Assignment(
        task_id=tasks[8].id,
        display_order=[1, 0],
        leased_until=now + timedelta(minutes=9),
        draft={"rationale": "not yet"},
        **ours,
    )
    tasks[8].leased += 1
    skipped = Assignment(
        task_id=tasks[9].id,
        state=AssignmentState.SKIPPED,
        skip_reason=SkipReason.OTHER,
        skip_note="I am Maria and do not eat eggs.",
        finished_at=now,
        **ours,
    )
    attempt = QualificationAttempt(number=1, size=2, needed=1, **ours)
    re_ask = ReAsk(project_id=project.id, from_version=1, to_version=2, needed=2, size=1)
    session.add_all([held, skipped, attempt, re_ask])
    session.flush()
    session.add_all(
        [
            ReAskPair(user_id=maria.id, task_id=tasks[3].id, re_ask_id=re_ask.id),
            Appeal(body="Let me go on, please.", **ours),
            Appeal(body="It is right.", task_id=gold.id, **ours),
            Adjudication(task_id=tasks[10].id, user_id=maria.id, ranks=[1, 2], reason="I decide."),
            SendBack(
                task_id=tasks[11].id,
                user_id=maria.id,
                more=1,
                reason="Ask more.",
                wanted_before=3,
                at_least_before=0,
                priority_before=0,
            ),
            GuidelinesDraft(base_version=1, text="My draft", updated_at=now, **ours),
            MemberMessage(body="Dear Maria Ferreira, well done.", sent_by=people.ada.id, **ours),
            MemberMessage(
                project_id=project.id, user_id=people.ana.id, sent_by=maria.id, body="Hi, Ana."
            ),
        ]
    )
    _act_upon(session, project, people, maria, now)


def _act_upon(session, project, people, maria, now):
    """What others do about her, so that logs, keys and queues know her."""
    membership = member(session, project=project, user_id=maria.id)
    maria.preferences = {"demographics": {"country": "PT"}, "break_after": 25}
    projects.send_message(
        session,
        membership=membership,
        body="Please slow down, Maria Ferreira.",
        by=people.ada,
        now=now,
    )
    projects.exclude_member(
        session, membership=membership, reason="Maria Ferreira is ill", by=people.ada, now=now
    )
    projects.include_member(session, membership=membership, by=people.ada)
    projects.pause_member(
        session,
        project=project,
        membership=membership,
        reason="Rest, Maria",
        by=people.ada,
        now=now,
    )
    membership = member(session, project=project, user_id=maria.id)
    requeue(
        session,
        project=project,
        membership=membership,
        which=Which(last=1),
        by=people.ada,
        now=now,
    )
    accounts.create_token(session, user=maria, name="Maria Ferreira's laptop", now=now)
    accounts.open_session(session, user=maria, now=now)
    accounts.audit(
        session,
        user=people.ada,
        action="invite",
        target=EMAIL,
        project_id=project.id,
        role="annotator",
    )
    accounts.audit(
        session,
        user=people.ada,
        action="project.update",
        target="Kitchen",
        project_id=project.id,
        was={"description": f"Ask {NAME} <{EMAIL.upper()}>"},
    )
    session.add(
        OneTimeLink(
            kind="invitation",
            token_hash=uuid4().bytes,
            email=EMAIL,
            role=Role.ANNOTATOR,
            expires_at=now,
        )
    )
    session.execute(
        insert(RateLimit),
        [{"key": f"sign-in:{EMAIL}:127.0.0.1", "tokens": 1.0, "updated_at": now}],
    )


def everything(session):
    """Every row of every table as (table, JSON text)."""
    names = sorted(
        session.scalars(
            text(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
                "AND table_type = 'BASE TABLE'"
            )
        )
    )
    assert {table.name for table in Base.metadata.tables.values()} <= set(names)
    return [
        (name, row)
        for name in names
        for row in session.scalars(text(f'SELECT to_jsonb(t)::text FROM "{name}" t'))  # noqa: S608
    ]


def where_said(session, *needles):
    """The tables that hold one of these words, in text, JSON or bytes, whatever its case."""
    wanted = [each.lower() for each in needles] + [each.encode().hex() for each in needles]
    return sorted(
        {name for name, row in everything(session) if any(w in row.lower() for w in wanted)}
    )
