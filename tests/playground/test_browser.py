"""The playground as people use it: in a browser, with the keyboard."""

import re

import pytest

from app.accounts import service as accounts
from app.accounts.models import User
from app.db import database_now, transaction
from app.projects.models import Project
from app.runs.models import Checkpoint
from app.tasks.models import Task
from app.web.protection import SESSION_COOKIE
from tests.playground.desk import Desk
from tests.playground.factories import make_turn
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

LONG = 120_000  # ms, for a model on a busy machine

COUNTING = """
window.pieces = [];
const Real = window.EventSource;
window.EventSource = class extends Real {
  constructor(url) {
    super(url);
    this.addEventListener("piece", (event) => window.pieces.push(JSON.parse(event.data).answer));
  }
};
"""

GROWS = "() => document.querySelector('[data-stream]')?.childNodes.length > 2"


@pytest.fixture
def page_of(browser, live_server):
    """A page of Ada's; what it complains of is a failure."""
    opened, complaints = [], []

    def open_page(desk):
        with transaction() as session:
            ada = session.get_one(User, desk.ada_id)
            cookie = accounts.open_session(session, user=ada, now=database_now(session))
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(COUNTING)
        kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
        context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, **kept}])
        page = context.new_page()
        page.set_default_timeout(LONG)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        opened.append(context)
        page.goto(f"{live_server}/projects/{desk.project_id}/playground")
        return page

    yield open_page
    for context in opened:
        context.close()
    assert complaints == []


def test_two_models_answer_and_annotators_get_it(page_of, start_worker, tiny_lm, tiny_judge):
    desk = Desk(tiny_lm, tiny_judge)
    start_worker()
    page = page_of(desk)
    page.get_by_text("How they write").click()
    page.get_by_label("Tokens, at most").fill("40")
    page.get_by_label("Your message").fill("How many eggs are in box 3?")
    page.get_by_label("Your message").press("Control+Enter")
    page.get_by_role("button", name="Send to annotators").wait_for()
    pieces = page.evaluate("window.pieces")
    assert len(pieces) > len(set(pieces)) == 2  # as it is written; one of them may be short
    scores = page.locator(".play-score strong").all_inner_texts()
    assert len(scores) == 2
    assert all(re.fullmatch(r"[+-]\d+\.\d\d σ", score) for score in scores)

    answer = page.locator(".play-answer").first
    answer.get_by_role("button", name="Tokens").click()
    text = answer.get_by_role("group", name=re.compile("Tokens"))
    text.focus()
    page.keyboard.press("End")
    details = answer.locator(".play-token-details")
    assert "log-probability" in details.inner_text()
    assert details.locator("li").count() == 5
    mine = details.inner_text()
    answer.get_by_role("button", name="Eggs SFT", exact=True).or_(
        answer.get_by_role("button", name="Eggs DPO", exact=True)
    ).click()  # the view of the one who did not write it
    text.focus()
    page.keyboard.press("Home")
    assert details.inner_text() != mine

    page.get_by_role("button", name="Send to annotators").click()
    page.get_by_role("link", name="the task").click()
    page.wait_for_url(re.compile("/tasks/.*/review"))
    with transaction() as session:
        assert session.query(Task).count() == 1


def test_escape_stops_and_the_conversation_goes_on(desk, page_of):
    page = page_of(desk)
    page.get_by_label("Your message").fill("slow")
    page.get_by_role("button", name="Ask").click()
    page.locator("[data-turn]").wait_for()
    page.get_by_text("No worker is running").first.wait_for()
    turn_id = page.locator("[data-turn]").get_attribute("id").removeprefix("turn-")
    thread = desk.in_the_background(turn_id)
    page.wait_for_function(GROWS)
    page.keyboard.press("Escape")
    page.locator(".badge", has_text="stopped").first.wait_for()
    thread.join(PATIENCE)
    assert page.locator("[data-announce]").inner_text() == "Stopped."
    assert "egg 0 egg 1" in page.locator("[data-words]").first.inner_text()
    assert page.get_by_role("button", name="Send to annotators").count() == 0

    page.get_by_label("Your next message").fill("And hens?")
    page.get_by_label("Your next message").press("Control+Enter")
    page.get_by_role("region", name="Turn 2").wait_for()
    assert page.get_by_text("goes on from this answer").count() == 1


def test_leaving_the_page_stops_the_answers(desk, page_of):
    page = page_of(desk)
    page.get_by_label("Your message").fill("slow")
    page.get_by_role("button", name="Ask").click()
    page.locator("[data-turn]").wait_for()
    turn_id = page.locator("[data-turn]").get_attribute("id").removeprefix("turn-")
    thread = desk.in_the_background(turn_id)
    page.wait_for_function(GROWS)
    page.get_by_role("link", name="Runs").first.click()
    thread.join(PATIENCE)
    assert {each.answer.why_ended for each in desk.look(turn_id)[1]} == {"stopped"}


def test_on_a_phone_one_answer_is_seen_at_a_time(desk, page_of):
    page = page_of(desk)
    with transaction() as session:
        ada, project = session.get_one(User, desk.ada_id), session.get_one(Project, desk.project_id)
        writers = [session.get_one(Checkpoint, its) for its in (desk.first, desk.second)]
        played, conversation = make_turn(session, project, *writers, by=ada)
        first, second = (f"#answer-{each.id}" for each in played.answers)
        address = f"{page.url}/{conversation.id}"
    page.goto(address)
    assert page.locator(first).is_visible()
    assert page.locator(second).is_visible()
    assert page.get_by_role("radio", name="See the answer of Eggs DPO").count() == 0
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.locator(first).is_visible()
    assert page.locator(second).is_hidden()
    page.get_by_role("radio", name="See the answer of Eggs SFT").press("ArrowRight")
    assert page.locator(first).is_hidden()
    assert page.locator(second).is_visible()
