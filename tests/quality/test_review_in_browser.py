"""The queue worked through by keyboard, in Chromium."""

import re

import pytest
from sqlalchemy import select

from app.accounts import service as accounts
from app.accounts.models import Role
from app.db import database_now, transaction
from app.quality.models import Adjudication
from app.tasks.models import Task, TaskKind
from app.web.protection import SESSION_COOKIE
from tests.axe import faults
from tests.factories import make_annotation, make_member, make_task, make_user
from tests.people import make_people

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

LONG = (
    "Put the egg into **boiling** water for eight minutes, then into cold water.\n\n"
    "1. Boil the water first.\n2. Use a spoon, so that the shell does not break.\n"
    "3. Start the clock *when the egg is in*.\n\nA soft egg takes five minutes."
)


@pytest.fixture
def work(live_server):
    """Three pairs and a ranking that people differ on; the address and Ada's cookie."""
    with transaction() as session:
        people = make_people(session)
        project = people.project
        project.criteria = [{"key": "helpful", "label": "Helpful", "min": 1, "max": 5}]
        bea = make_user(session, "Bea")
        make_member(session, project, bea, Role.ANNOTATOR)
        for number in range(3):
            task = make_task(
                session,
                project,
                prompt=f"How long do I boil {number + 1} eggs?",
                responses=(LONG, "Eggs are eggs."),
                wanted=3,
            )
            how = {"ratings": {"helpful": [5, 2]}, "active_ms": 42_000}
            make_annotation(
                session, task, people.ana, ranks=[1, 2], strength=2, display_order=[1, 0],
                rationale="It says *how long*, and when to start the clock.", **how,
            )  # fmt: skip
            make_annotation(session, task, people.rui, ranks=[2, 1], flags={"0": ["incorrect"]})
            make_annotation(session, task, people.ada, ranks=[1, 2], active_ms=9_000)
        ranking = make_task(
            session, project, prompt="Name a good soup.", responses=("Leek", "Stone", "Onion"),
            wanted=2,
        )  # fmt: skip
        make_annotation(session, ranking, people.ana, ranks=[1, 3, 2])
        make_annotation(session, ranking, people.rui, ranks=[1, 2, 2])
        cookie = accounts.open_session(session, user=people.ada, now=database_now(session))
        return f"{live_server}/projects/{project.id}/review", cookie, ranking.id


@pytest.fixture
def visit(browser, work):
    contexts = []

    def open_page(**options):
        context = browser.new_context(**({"reduced_motion": "reduce"} | options))
        cookie = {"domain": "127.0.0.1", "path": "/", "secure": True}
        context.add_cookies([{"name": SESSION_COOKIE, "value": work[1], **cookie}])
        contexts.append(context)
        page = context.new_page()
        page.troubles = []
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on(
            "console",
            lambda said: said.type in {"error", "warning"} and page.troubles.append(said.text),
        )
        return page

    yield open_page
    for context in contexts:
        context.close()


def decisions():
    with transaction() as session:
        rows = session.scalars(select(Adjudication).order_by(Adjudication.created_at))
        return [(row.ranks, row.reason) for row in rows]


def test_a_reviewer_works_through_the_queue_by_keyboard(work, visit):
    address, _, ranking_id = work
    page = visit()
    page.goto(address)
    assert "0 of 4 settled" in page.locator("main").inner_text()
    page.keyboard.press("n")
    for number, key in enumerate("120"):
        page.locator("[data-review-keys]:visible").wait_for()
        page.locator("main", has_text=f"{number} of 4 settled").wait_for()
        page.keyboard.press(key)
        page.keyboard.press("r")
        page.keyboard.type(f"Reason {key}, not n or 2.")
        with page.expect_navigation():
            page.keyboard.press("Control+Enter")
    page.locator("#place-C").wait_for()
    assert str(ranking_id) in page.url
    for name, place in (("a", "1"), ("b", "3"), ("c", "2")):
        page.keyboard.press(name)
        page.keyboard.press(place)
        page.locator(f"#place-{name.upper()}").blur()
    page.keyboard.press("r")
    page.keyboard.type("Stones are no food.")
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")
    page.locator("main", has_text="That was the last one. Nothing is left here.").wait_for()
    assert decisions() == [
        ([1, 2], "Reason 1, not n or 2."),
        ([2, 1], "Reason 2, not n or 2."),
        ([1, 1], "Reason 0, not n or 2."),
        ([1, 3, 2], "Stones are no food."),
    ]
    assert page.troubles == []


def test_keys_can_be_switched_off_and_stay_off(work, visit):
    page = visit()
    page.goto(address_of_first(page, work))
    page.locator("[data-review-keys] input").uncheck()
    page.reload()
    page.locator("[data-review-keys]:visible").wait_for()
    page.keyboard.press("1")
    assert page.locator('input[name="answer"]:checked').count() == 0
    page.locator("[data-review-keys] input").check()
    page.locator("h1").click()
    page.keyboard.press("1")
    assert page.locator('input[name="answer"]:checked').get_attribute("value") == "1"


def address_of_first(page, work):
    page.goto(work[0])
    link = page.locator("tbody a").first
    return work[0].split("/projects")[0] + link.get_attribute("href")


def test_all_of_it_works_without_scripts_and_what_changed_is_told(work, visit):
    page = visit(java_script_enabled=False)
    address = address_of_first(page, work)
    page.goto(address)
    page.check('input[name="answer"][value="1"]')
    page.fill("#reason", "A is right.")
    task_id = re.search(r"/tasks/([^/]+)/", address)[1]
    with transaction() as session:  # somebody else, meanwhile
        task = session.get_one(Task, task_id)
        bea = make_user(session, "Cleo")
        make_annotation(session, task, bea, ranks=[1, 1])
    page.click("text=Settle and stay here")
    said = page.locator("[role=alert]").inner_text()
    assert "Cleo judged: A = B." in said
    assert page.input_value("#reason") == "A is right."
    page.click("text=Settle anyway and go on")
    assert decisions() == [([1, 2], "A is right.")]
    page.goto(address)
    page.click("text=See what this would do")
    assert "Wrong by this key:" in page.locator("main").inner_text()
    page.click("button:has-text('Make it gold')")
    with transaction() as session:
        assert session.get_one(Task, task_id).kind is TaskKind.GOLD
    page.click("text=Make it an ordinary task again")
    with transaction() as session:
        assert session.get_one(Task, task_id).kind is TaskKind.ORDINARY
    page.click("button:has-text('Send back')")
    assert "Ada asked 1 more person" in page.locator("main").inner_text()
    page.click("text=Take it back")
    assert "Taken back: nobody else is asked." in page.locator("main").inner_text()


def test_a_ranking_fits_a_phone_and_axe_finds_no_fault(work, visit):
    page = visit(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page.goto(f"{work[0].split('/projects')[0]}/tasks/{work[2]}/review")
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert faults(page) == []
    assert page.troubles == []
