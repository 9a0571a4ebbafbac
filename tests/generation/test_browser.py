"""The form for new responses and the pages around it, in a real browser."""

import os
import threading
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app.accounts import service as accounts
from app.accounts.models import User
from app.annotation.models import Annotation
from app.completions import addresses
from app.config import settings
from app.db import database_now, transaction
from app.generation import service
from app.generation.models import Arm, Generation, GenerationPrompt
from app.generation.schemas import EndpointBody, GenerationBody
from app.projects.models import Project
from app.runs.models import RunKind
from app.web.protection import SESSION_COOKIE
from app.worker.generation import generate_responses
from tests.factories import make_prompt
from tests.generation.chat_server import chat_server
from tests.journeys.test_every_page import visit
from tests.runs.factories import make_checkpoint
from tests.worker.conftest import Workshop, workshop  # noqa: F401 - a fixture
from tests.worker.test_generation import Desk

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

QUESTIONS = [
    "My bread dough does not rise. What did I do wrong?",
    "Write a polite reply to a guest who asks for a late check-out.",
    "Explain why the sky is blue to a six-year-old.",
    "What should I pack for three days in Lisbon in November?",
    "Give me three names for a small bakery by the harbour.",
    "How do I get red wine out of a white shirt?",
]


@pytest.fixture
def scene(live_server, workshop, monkeypatch):  # noqa: F811
    """A project with writers of both kinds, and what they have written."""
    desk = Desk(workshop)
    workshop.behave(judges="numbers")
    with chat_server() as server:
        allowed = settings.model_copy(update={"endpoints": server.at})
        monkeypatch.setattr(addresses, "settings", allowed)
        with transaction() as session:
            project = session.get_one(Project, workshop.project_id)
            ada = session.get_one(User, workshop.ada_id)
            for number, question in enumerate(QUESTIONS * 4):
                prompt = make_prompt(session, project, f"{question} ({number})")
                prompt.tags = [["kitchen", "travel", "letters"][number % 3]]
                prompt.source = ["support mail", "web"][number % 2]
            judge = make_checkpoint(session, project, RunKind.REWARD)
            judge.path = f"runs/{workshop.project_id}/model"
            for name, model in (("Lab server", "good"), ("Old server", "picky")):
                body = EndpointBody(name=name, base_url=server.url, model=model)
                service.add_endpoint(session, project=project, body=body, by=ada)
            body = GenerationBody.model_validate(
                {
                    "writers": [
                        {"checkpoint_id": desk.checkpoint_id, "n": 1, "temperature": 0.7},
                        {"endpoint": "Old server", "n": 2, "temperature": [0.3, 1.0]},
                    ],
                    "max_prompts": 12,
                    "select": {
                        "by": "uncertainty", "reward_checkpoint_id": judge.id, "control": 0.3,
                    },
                }
            )  # fmt: skip
            its = service.open_generation(session, project=project, body=body, by=ada).id
            cookie = accounts.open_session(session, user=ada, now=database_now(session))
        generate_responses(its, stopping=threading.Event())
        yield Scene(f"{live_server}/projects/{workshop.project_id}", its, cookie, desk)


class Scene:
    def __init__(self, base: str, its: UUID, cookie: str, desk: Desk) -> None:
        self.base, self.its, self.desk = base, its, desk
        self.cookie = {
            "name": SESSION_COOKIE, "value": cookie,
            "domain": "127.0.0.1", "path": "/", "secure": True,
        }  # fmt: skip


@pytest.fixture
def page(browser, scene):
    context = browser.new_context()
    context.add_cookies([scene.cookie])
    yield context.new_page()
    context.close()


def shoot(page, name: str) -> None:
    """With SHOTS set, how it looks: light and dark, wide and narrow."""
    folder = os.environ.get("SHOTS")
    if not folder:
        return
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_form_keeps_what_was_typed_and_counts_as_one_chooses(page, scene):
    page.goto(f"{scene.base}/generations/new")
    assert page.locator("#fitting").inner_text() == "30 prompts fit."
    page.get_by_label("Temperature").fill("0.2, 0.9")
    page.get_by_label("Tasks wanted").fill("4")
    page.get_by_role("button", name="Add a writer").click()
    rows = page.locator("fieldset.writer")
    assert rows.count() == 2
    assert page.locator("#writers-0-temperature").input_value() == "0.2, 0.9"
    page.locator("#writers-1-who").select_option(label="Lab server (good)")
    page.locator("#writers-1-n").fill("3")
    page.get_by_label("With one of these tags").select_option(["travel"])
    page.locator("#fitting", has_text="8 prompts fit.").wait_for()
    assert not page.get_by_label("Drawn by lot all the same").is_visible()
    page.get_by_label("The newest to this project").check()
    assert page.get_by_label("Drawn by lot all the same").is_visible()
    assert not page.get_by_label("Reward model", exact=True).is_visible()
    shoot(page, "form")
    page.get_by_role("button", name="Add a writer").click()
    assert rows.count() == 3
    assert page.get_by_label("The newest to this project").is_checked()
    page.get_by_role("button", name="Take writer 3 away").click()
    assert page.locator("#writers-1-n").input_value() == "3"
    assert page.locator("#fitting").inner_text() == "8 prompts fit."
    page.get_by_role("button", name="Write them", exact=True).last.click()
    page.wait_for_url("**/generations/*-*")
    assert "It waits for a worker" in page.content()
    with transaction() as session:
        newest = select(Generation).order_by(Generation.created_at.desc()).limit(1)
        generation = session.scalars(newest).one()
        assert generation.config["select"]["by"] == "novelty"
        writers = [(row.source, row.n, row.temperatures) for row in _writers(session, generation)]
    own = f"checkpoint:{scene.desk.checkpoint_id.hex[:8]}"
    assert writers == [(own, 2, [0.2, 0.9]), ("endpoint:Lab server", 3, [0.2, 0.9])]


def _writers(session, generation):
    from app.generation import queries

    return queries.writers_of(session, generations=[generation])[generation.id]


def test_what_is_wrong_stands_beside_its_field(page, scene):
    page.goto(f"{scene.base}/generations/new")
    page.get_by_label("Temperature").fill("hot")
    page.get_by_role("button", name="Write them", exact=True).last.click()
    page.get_by_role("alert").wait_for()
    assert "temperature" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Temperature").input_value() == "hot"


def test_an_endpoint_is_added_and_tried(page, scene):
    page.goto(f"{scene.base}/endpoints")
    shoot(page, "endpoints")
    page.get_by_label("Name", exact=True).fill("New one")
    page.get_by_label("Address").fill("http://169.254.169.254/v1")
    page.get_by_label("Model", exact=True).fill("good")
    page.get_by_role("button", name="Add it").click()
    assert "not on the list" in page.get_by_role("alert").inner_text()
    page.get_by_label("Address").fill(addresses.settings.endpoints.join(["http://", "/v1"]))
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("button", name="Write one reply").click()
    page.get_by_text("It answers.").wait_for()
    assert "Say hello in one sentence. →" in page.content()
    shoot(page, "endpoint")


def test_the_pages_tell_how_it_went(page, scene):
    _judge_all(scene)
    assert (
        visit(
            page,
            [
                f"{scene.base}/generations/{scene.its}",
                f"{scene.base}/generations",
                f"{scene.base}/generations/new",
                f"{scene.base}/endpoints",
            ],
        )
        == []
    )
    page.goto(f"{scene.base}/generations/{scene.its}")
    told = page.content()
    assert "Does choosing pay?" in told
    assert "context length exceeded" in told
    assert "Written last" in told
    shoot(page, "generation")
    page.goto(f"{scene.base}/generations")
    shoot(page, "generations")


def _judge_all(scene):
    """People find the first response better in what was chosen, the last in what was drawn."""
    with transaction() as session:
        rows = session.scalars(
            select(GenerationPrompt).where(
                GenerationPrompt.generation_id == scene.its, GenerationPrompt.task_id.is_not(None)
            )
        ).all()
        for row in rows:
            scores = (row.score or {})["scores"]
            ranks = [sorted(scores, reverse=row.arm is Arm.RANDOM).index(s) + 1 for s in scores]
            session.add(
                Annotation(
                    project_id=scene.desk.workshop.project_id,
                    task_id=row.task_id,
                    source="person",
                    guidelines_version=1,
                    counted=True,
                    ranks=ranks,
                )
            )
        session.execute(update(Generation).values(tasks_opened=len(rows)))
