"""Which prompts a generation writes to."""

import hashlib
from collections.abc import Iterable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.corpus.models import Prompt
from app.generation import service
from app.generation.models import Generation, GenerationPrompt
from tests.factories import make_project, make_prompt


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
