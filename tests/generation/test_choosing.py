"""Which prompts a generation writes to, and how their tasks look."""

import hashlib
from collections.abc import Iterable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.corpus.models import Prompt, Response
from app.generation import service
from app.generation.models import Generation, GenerationPrompt, PromptState, Writer, Writing
from app.generation.service.storing import open_tasks
from app.runs.models import RunKind
from app.tasks.models import TaskResponse
from tests.factories import make_project, make_prompt
from tests.runs.factories import make_checkpoint


def chosen(session: Session, by: User, name: str, numbers: Iterable[int], how: str) -> list[str]:
    """The words of the prompts in their order, in a project that got these in this order."""
    project = make_project(session, name, by=by)
    for number in numbers:
        hashed = hashlib.sha256(bytes([number])).digest()
        make_prompt(session, project, f"Prompt {number}?", content_hash=hashed)
    config = {"max_prompts": 5, "seed": 3, "select": {"by": how, "control": 0.4}}
    generation = Generation(project_id=project.id, config=config)
    session.add(generation)
    session.flush()
    service.choose_prompts(session, generation=generation)
    messages = session.scalars(
        select(Prompt.messages)
        .join(GenerationPrompt, GenerationPrompt.prompt_id == Prompt.id)
        .where(GenerationPrompt.generation_id == generation.id)
        .order_by(GenerationPrompt.place)
    )
    return [str(each[0]["content"]) for each in messages]


@pytest.mark.parametrize("how", ["random", "novelty"])
def test_the_choice_is_the_same_wherever_the_data_was_imported(
    session: Session, ada: User, how: str
) -> None:
    one = chosen(session, ada, "Here", range(12), how)
    assert len(one) == 5
    assert chosen(session, ada, "There", reversed(range(12)), how) == one


def shown(session: Session, by: User, name: str) -> list[list[str]]:
    """In a project of its own, the responses of each task that a generation opens, in order."""
    project = make_project(session, name, by=by)
    checkpoint = make_checkpoint(session, project, RunKind.SFT)
    generation = Generation(project_id=project.id, config={"seed": 3})
    session.add(generation)
    session.flush()
    writer = Writer(
        generation_id=generation.id, place=0, checkpoint_id=checkpoint.id, source="new", name="New",
        n=2, temperatures=[1.0], top_p=1.0, max_new_tokens=8, seed=3,
    )  # fmt: skip
    session.add(writer)
    prompts = [make_prompt(session, project, f"Prompt {number}?").id for number in range(8)]
    for place, prompt_id in enumerate(prompts):
        its = {"generation_id": generation.id, "prompt_id": prompt_id}
        texts = [{"text": "One."}, {"text": "Two."}, {"text": f"{place}."}]
        session.add(GenerationPrompt(**its, place=place, state=PromptState.WAITING))
        session.add(Writing(**its, place=0, turn=0, texts=texts))
    session.flush()
    assert open_tasks(session, generation=generation, prompt_ids=prompts) == (8, 8)
    rows = session.execute(
        select(GenerationPrompt.place, Response.text)
        .join(TaskResponse, TaskResponse.task_id == GenerationPrompt.task_id)
        .join(Response, Response.id == TaskResponse.response_id)
        .where(GenerationPrompt.generation_id == generation.id)
        .order_by(GenerationPrompt.place, TaskResponse.position)
    ).all()
    return [[text for its, text in rows if its == place] for place in range(8)]


def test_responses_stand_in_the_same_order_wherever_they_were_written(
    session: Session, ada: User
) -> None:
    assert shown(session, ada, "Here") == shown(session, ada, "There")
