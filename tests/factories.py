"""Rows for tests, as plain functions: only what a test does not care about is filled in."""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.accounts.models import Role, User, UserKind
from app.accounts.service import hash_password
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.db import database_now
from app.projects.models import Guidelines, Membership, Project
from app.tasks.models import Assignment, AssignmentState, GoldKey, Task, TaskKind, TaskResponse

PASSWORD = "a long enough passphrase"

MANY_TASKS = """
INSERT INTO prompt (id, project_id, content_hash, messages, tags, meta)
SELECT md5('p' || n)::uuid, :project, sha256(n::text::bytea),
  jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Prompt ' || n || :words)),
  '{}', '{}' FROM generate_series(1, :tasks) n;
INSERT INTO response (id, prompt_id, content_hash, text, source, meta)
SELECT md5('r' || n || '-' || k)::uuid, md5('p' || n)::uuid, sha256((n || '-' || k)::bytea),
  'Response ' || n || ' ' || k || :words, 'model-' || k, '{}'
FROM generate_series(1, :tasks) n, generate_series(0, 1) k;
INSERT INTO task (id, project_id, prompt_id, identity, kind, priority, wanted, leased, counted,
  meta)
SELECT md5('t' || n)::uuid, :project, md5('p' || n)::uuid, sha256(n::text::bytea), 'ordinary', 0,
  :wanted, 0, 0, '{}' FROM generate_series(1, :tasks) n;
INSERT INTO task_response (task_id, position, response_id)
SELECT md5('t' || n)::uuid, k, md5('r' || n || '-' || k)::uuid
FROM generate_series(1, :tasks) n, generate_series(0, 1) k;
"""
MANY_JUDGED = """
INSERT INTO assignment (id, project_id, task_id, user_id, state, is_repeat, slot, ordinal,
  display_order, renewals, draft_revision, finished_at)
SELECT gen_random_uuid(), :project, md5('t' || n)::uuid, :user, 'submitted', false, 1, n, '{0,1}',
  0, 0, now() FROM generate_series(1, :judged) n;
UPDATE task SET counted = 1 WHERE id IN (SELECT task_id FROM assignment WHERE user_id = :user);
"""


@cache
def password_hash() -> str:
    return hash_password(PASSWORD)


def make_user(
    session: Session,
    name: str,
    *,
    role: Role = Role.ANNOTATOR,
    kind: UserKind = UserKind.PERSON,
) -> User:
    user = User(
        name=name,
        kind=kind,
        role=role,
        email=f"{name.lower().replace(' ', '.')}@example.org" if kind is UserKind.PERSON else None,
        password_hash=password_hash() if kind is UserKind.PERSON else None,
    )
    session.add(user)
    session.flush()
    return user


def make_project(session: Session, name: str, *, by: User, **settings: Any) -> Project:
    project = Project(name=name, created_by=by.id, **({"gold_rate": 0.0} | settings))
    session.add(project)
    session.flush()
    session.add(Guidelines(project_id=project.id, version=1, text="Prefer the better one."))
    session.flush()
    return project


def make_member(session: Session, project: Project, user: User, role: Role, **fields: Any) -> None:
    session.add(
        Membership(
            project_id=project.id,
            user_id=user.id,
            role=role,
            **({"guidelines_read": project.guidelines_version} | fields),
        )
    )
    session.flush()


def make_prompt(session: Session, project: Project, text: str, **fields: Any) -> Prompt:
    prompt = Prompt(
        project_id=project.id,
        messages=[{"role": "user", "content": text}],
        **({"content_hash": os.urandom(32)} | fields),
    )
    session.add(prompt)
    session.flush()
    return prompt


def make_task(
    session: Session,
    project: Project,
    *,
    prompt: str | Prompt = "How do I boil an egg?",
    responses: Sequence[str] = ("Eight minutes in boiling water.", "Eggs are eggs."),
    sources: Sequence[str | None] | None = None,
    wanted: int = 1,
    prefers: Sequence[Sequence[int]] | None = None,
    **fields: Any,
) -> Task:
    """An ordinary task, or gold when `prefers` is given."""
    if isinstance(prompt, str):
        prompt = make_prompt(session, project, prompt)
    is_gold = prefers is not None
    if not is_gold:
        ask_for(project, wanted)
    task = Task(
        project_id=project.id,
        prompt_id=prompt.id,
        identity=os.urandom(32),
        kind=TaskKind.GOLD if is_gold else TaskKind.ORDINARY,
        wanted=None if is_gold else wanted,
        **fields,
    )
    session.add(task)
    session.flush()
    for position, reply in enumerate(responses):
        response = Response(
            prompt_id=prompt.id,
            content_hash=os.urandom(32),
            text=reply,
            source=sources[position] if sources else f"model-{position}",
        )
        session.add(response)
        session.flush()
        session.add(TaskResponse(task_id=task.id, position=position, response_id=response.id))
    if prefers is not None:
        session.add(GoldKey(task_id=task.id, prefers=[list(pair) for pair in prefers]))
    session.flush()
    return task


def make_question(
    session: Session,
    project: Project,
    *,
    prompt: str = "A question",
    responses: Sequence[str] = ("0", "1"),
    prefers: Sequence[Sequence[int]] = ((0, 1),),
    equal: Sequence[Sequence[int]] = (),
    explanation: str = "",
) -> Task:
    """A question of the qualification."""
    task = make_task(session, project, prompt=prompt, responses=responses, prefers=prefers)
    task.kind = TaskKind.QUALIFICATION
    key = session.get_one(GoldKey, task.id)
    key.equal, key.explanation = [list(pair) for pair in equal], explanation
    session.flush()
    return task


def ask_for(project: Project, wanted: int) -> None:
    """No task is lent out more often than its project asks for: let it ask for as much."""
    if wanted > project.overlap_max:
        if project.overlap_min == project.overlap_max:
            project.overlap_min = wanted
        project.overlap_max = wanted


def make_annotation(
    session: Session,
    task: Task,
    user: User,
    *,
    ranks: Sequence[int],
    display_order: Sequence[int] | None = None,
    is_repeat: bool = False,
    submitted_at: datetime | None = None,
    **fields: Any,
) -> Annotation:
    """A submitted judgement with its assignment; counted when the task is an ordinary one."""
    now = submitted_at or database_now(session)
    counted = task.kind is TaskKind.ORDINARY and not is_repeat
    assignment = Assignment(
        project_id=task.project_id,
        task_id=task.id,
        user_id=user.id,
        state=AssignmentState.SUBMITTED,
        is_repeat=is_repeat,
        display_order=list(display_order or range(len(ranks))),
        leased_until=now + timedelta(minutes=30),
        created_at=now - timedelta(seconds=40),
        finished_at=now,
    )
    session.add(assignment)
    session.flush()
    annotation = Annotation(
        project_id=task.project_id,
        task_id=task.id,
        assignment_id=assignment.id,
        user_id=user.id,
        guidelines_version=1,
        counted=counted,
        is_repeat=is_repeat,
        ranks=list(ranks),
        submitted_at=now,
        **({"wall_ms": 40_000} | fields),
    )
    session.add(annotation)
    if counted:
        task.counted += 1
        task.wanted = max(task.wanted or 0, task.counted)
    session.flush()
    return annotation


def make_many_tasks(session: Session, project: Project, *, count: int, wanted: int) -> None:
    """So many pairs, each wanted so often, in as many statements as one would take."""
    ask_for(project, wanted)
    session.flush()
    words = " and so on, with care and some detail" * 12
    _run(session, MANY_TASKS, project=project.id, tasks=count, wanted=wanted, words=words)


def make_many_judged(session: Session, project: Project, user: User, *, count: int) -> None:
    """She has handed in the first `count` of `make_many_tasks`."""
    _run(session, MANY_JUDGED, project=project.id, user=user.id, judged=count)


def _run(session: Session, script: str, **values: Any) -> None:
    for statement in filter(str.strip, script.split(";\n")):
        given = {key: value for key, value in values.items() if f":{key}" in statement}
        session.execute(text(statement), given)
