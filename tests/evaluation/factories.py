"""Evaluations for tests: two checkpoints that have answered, and people who have judged."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.corpus.models import Response
from app.db import JobState
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.projects.models import Project
from app.runs.models import Checkpoint, RunKind
from app.tasks.models import TaskResponse
from tests.factories import make_annotation, make_prompt, make_task
from tests.runs.factories import make_checkpoint

CONFIG: dict[str, Any] = {
    "prompts": 200,
    "tag": None,
    "source": None,
    "snapshot_id": None,
    "allow_seen": False,
    "judgements": 1,
    "priority": 100,
    "stop": True,
    "margin": 0.0,
    "temperature": 0.7,
    "top_p": 1.0,
    "max_new_tokens": 128,
    "seed": 42,
    "best_of": 0,
}


def make_writers(session: Session, project: Project) -> tuple[Checkpoint, Checkpoint]:
    """A newcomer and what it must beat."""
    a = make_checkpoint(session, project, RunKind.DPO)
    b = make_checkpoint(session, project, RunKind.SFT)
    a.name, b.name = "DPO 2", "SFT 1"
    session.flush()
    return a, b


def make_evaluation(
    session: Session,
    project: Project,
    a: Checkpoint,
    b: Checkpoint | None,
    *,
    prompts: int = 0,
    equal: int = 0,
    tags: Sequence[Sequence[str]] = ((),),
    **fields: Any,
) -> Evaluation:
    """One that people are asked about, with a task for each prompt; tags go round."""
    config = CONFIG | fields.pop("config", {})
    evaluation = Evaluation(
        project_id=project.id,
        name=f"{a.name} against {b.name if b else 'the data'}",
        a_checkpoint_id=a.id,
        b_checkpoint_id=b.id if b else None,
        config=config,
        **(
            {"state": JobState.SUCCEEDED, "finished_at": func.now(), "opened_at": func.now()}
            | fields
        ),
    )
    session.add(evaluation)
    session.flush()
    for number in range(prompts):
        prompt = make_prompt(
            session, project, f"What is {number}?", tags=list(tags[number % len(tags)])
        )
        texts = (f"{number} is a number.", f"It is {number}, and " + "so on " * (number % 7))
        task = make_task(
            session, project, prompt=prompt, responses=texts, wanted=config["judgements"]
        )
        session.flush()
        ids = dict(
            session.query(TaskResponse.position, TaskResponse.response_id)
            .filter(TaskResponse.task_id == task.id)
            .all()
        )
        session.add(
            EvaluationPrompt(
                evaluation_id=evaluation.id,
                prompt_id=prompt.id,
                place=number,
                a_response_id=ids[number % 2],  # A stands first in half of the tasks
                b_response_id=ids[1 - number % 2],
                task_id=task.id,
            )
        )
    for number in range(equal):
        prompt = make_prompt(session, project, f"What is equal to {number}?")
        response = Response(prompt_id=prompt.id, content_hash=prompt.content_hash, text="The same")
        session.add(response)
        session.flush()
        session.add(
            EvaluationPrompt(
                evaluation_id=evaluation.id,
                prompt_id=prompt.id,
                place=prompts + number,
                a_response_id=response.id,
                b_response_id=response.id,
                is_equal=True,
            )
        )
    session.flush()
    return evaluation


def judge(
    session: Session,
    evaluation: Evaluation,
    by: User,
    said: Sequence[float],
    *,
    first: int = 0,
    **fields: Any,
) -> None:
    """She judges the prompts from the `first` on: 1 for A, 0 for B, ½ a tie."""
    from app.tasks.models import Task

    rows = (
        session.query(EvaluationPrompt)
        .filter(EvaluationPrompt.evaluation_id == evaluation.id)
        .order_by(EvaluationPrompt.place)
        .all()
    )
    for row, score in zip(rows[first:], said, strict=False):
        task = session.get_one(Task, row.task_id)
        rank_a, rank_b = {1: (1, 2), 0: (2, 1), 0.5: (1, 1)}[score]
        ranks = (rank_a, rank_b) if row.place % 2 == 0 else (rank_b, rank_a)
        make_annotation(session, task, by, ranks=ranks, **fields)
    session.flush()
