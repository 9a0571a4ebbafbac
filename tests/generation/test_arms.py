"""Whether choosing pays: figures of both arms, and a sentence that says no more than they do."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.annotation.models import Annotation
from app.generation import queries
from app.generation.models import Arm, Generation, GenerationPrompt, PromptState
from app.projects.models import Project
from app.quality.rules.intervals import wilson
from tests.factories import make_prompt, make_task

Ranks = list[list[int]]


@pytest.fixture
def generation(session: Session, project: Project) -> Generation:
    found = Generation(project_id=project.id, config={"select": {"by": "novelty"}})
    session.add(found)
    session.flush()
    return found


def judged(session: Session, generation: Generation, arm: Arm, rankings: Ranks, by: User) -> None:
    """A task of two responses, of which the reward model has the first one better."""
    project = session.get_one(Project, generation.project_id)
    number = session.query(GenerationPrompt).count()
    task = make_task(session, project, prompt=f"Prompt {number}?", responses=["One.", "Two."])
    session.add(
        GenerationPrompt(
            generation_id=generation.id,
            prompt_id=task.prompt_id,
            place=number,
            state=PromptState.DONE,
            arm=arm,
            task_id=task.id,
            score={"scores": [2.0, 1.0]},
        )
    )
    for ranks in rankings:
        session.add(
            Annotation(
                project_id=project.id,
                task_id=task.id,
                source=f"person {len(session.new)}",
                guidelines_version=1,
                counted=True,
                ranks=ranks,
            )
        )
        session.flush()


def test_few_judgements_prove_nothing(session: Session, generation: Generation, ada: User) -> None:
    assert queries.arm_facts(session, generation=generation) is None
    judged(session, generation, Arm.SELECTED, [[1, 2]], ada)
    judged(session, generation, Arm.RANDOM, [], ada)
    compared = queries.arm_facts(session, generation=generation)
    assert compared is not None
    assert compared.sentence.startswith("Not enough judgements yet: 1 of the chosen tasks and 0 of")
    by_lot = compared.arms[1]
    assert (by_lot.tasks, by_lot.judged) == (1, 0)
    assert by_lot.figures["decisive"].value is None


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ([[2, 1]], "Choosing pays"),
        ([[1, 2]], "So far no difference"),
        ([[1, 1]], "fewer clear winners"),
    ],
)
def test_the_sentence_follows_the_intervals(
    session: Session, generation: Generation, ada: User, chosen: Ranks, sentence: str
) -> None:
    for _ in range(12):
        judged(session, generation, Arm.SELECTED, chosen, ada)
        judged(session, generation, Arm.RANDOM, [[1, 2]], ada)
    compared = queries.arm_facts(session, generation=generation)
    assert compared is not None
    assert sentence in compared.sentence
    figure = compared.arms[1].figures["overruled"]
    assert (figure.value, figure.low, figure.high) == (0.0, *wilson(0, 12))


def test_the_page_and_the_api_tell_it(
    session: Session,
    sign_in: Callable[[User], TestClient],
    generation: Generation,
    ada: User,
) -> None:
    browser = sign_in(ada)
    its = f"/api/v1/generations/{generation.id}/arms"
    assert browser.get(its).status_code == 404
    judged(session, generation, Arm.SELECTED, [[2, 1], [1, 2]], ada)
    session.commit()
    answer = browser.get(its).json()
    assert answer["arms"][0]["disagreement"]["value"] == 1
    assert answer["differences"]["disagreement"]["value"] is None
    page = browser.get(f"/projects/{generation.project_id}/generations/{generation.id}").text
    assert "Does choosing pay?" in page
    assert "Not enough judgements yet" in page
    assert "make no task" not in page
    silent = make_prompt(session, session.get_one(Project, generation.project_id), "Silence?")
    session.add(
        GenerationPrompt(
            generation_id=generation.id, prompt_id=silent.id, place=9, arm=Arm.RANDOM,
            state=PromptState.FAILED,
        )
    )  # fmt: skip
    session.commit()
    page = browser.get(f"/projects/{generation.project_id}/generations/{generation.id}").text
    assert "0 of the chosen prompts and 1 of those drawn by lot make no task" in page
    assert "Neither arm has others in their place" in page
    assert browser.get(its).json()["arms"][1]["failed"] == 1
