"""Judged prompts for tests that need no database, and an assembly over them."""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from app.datasets.rules.choosing import Choice
from app.datasets.rules.comparisons import Vote
from app.datasets.rules.identity import sha256
from app.datasets.rules.judged import Admission, JudgedPrompt, JudgedTask, Judgement
from app.datasets.rules.rows import Candidate
from app.datasets.schemas import Recipe
from app.datasets.service.assembling import Assembly, Plan

ANY = Choice()
_numbers = count(1)


def judged_task(*rankings, texts=("good", "bad"), adjudicated=None):
    """A task that as many people judged as there are rankings; ids are the texts."""
    judgements = [
        Judgement(
            id=f"judgement {number}",
            user_id=f"person {number}",
            source=None,
            guidelines_version=1,
            counted=True,
            is_repeat=False,
            submitted_at=datetime(2026, 1, 1, tzinfo=UTC),
            rewrite=None,
            vote=Vote(tuple(ranks)),
        )
        for number, ranks in enumerate(rankings)
    ]
    return JudgedTask(
        id=UUID(int=next(_numbers)),
        responses=[Candidate(f"id of {text}", text) for text in texts],
        judgements=judgements,
        adjudicated=adjudicated,
    )


def judged_prompt(messages, *tasks, **fields):
    """By its messages, or one turn of the user; judged once unless tasks say otherwise."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    parts = [part for message in messages for part in (message["role"], message["content"])]
    return JudgedPrompt(
        id=sha256(*parts), messages=messages, tasks=tasks or [judged_task([1, 2])], **fields
    )


def assembled(prompts, *, choice=ANY, **recipe):
    """(what each prompt gives, the assembly with its counts)."""
    assembly = Assembly(
        Plan(
            recipe=Recipe.model_validate(recipe),
            admission=Admission(),
            choice=choice,
            criteria=(),
            strength_levels=0,
        )
    )
    return list(assembly.all(prompts)), assembly
