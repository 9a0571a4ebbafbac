"""The way into a project in a real browser: keys, a screen reader's view, and no JavaScript."""

import pytest

from app.accounts import service as accounts
from app.accounts.models import User
from app.db import SessionLocal, database_now, transaction
from app.projects.models import Membership
from app.web.protection import SESSION_COOKIE
from tests.annotation.desk import Desk
from tests.axe import faults
from tests.factories import make_question, make_task
from tests.people import make_people
from tests.waiting import PAGE_PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]


@pytest.fixture
def exam(live_server, browser):
    """Ana's browser on a project that asks a pair and a ranking, both to be right, in any order."""
    with transaction() as session:
        people = make_people(session)
        project = people.project
        project.qualification_size, project.qualification_pass = 2, 1.0
        make_question(
            session, project, prompt="Which?", responses=["good", "bad"], explanation="It **is**."
        )
        make_question(
            session,
            project,
            prompt="In which order?",
            responses=["good", "middling", "poor"],
            prefers=[[0, 1], [1, 2]],
            explanation="They get worse.",
        )
        make_task(session, project, prompt="Real work", responses=["x", "y"])
        ana, project_id = people.ana.id, project.id
        key = accounts.open_session(session, user=people.ana, now=database_now(session))
    desk = Desk(browser, live_server, ana=ana, project_id=project_id, key=key)
    desk.project_id = project_id
    return desk


def texts(page):
    return [text.strip() for text in page.locator(".response-text").all_inner_texts()]


def answer_rightly(desk):
    """By keys: the known order of what is on the screen."""
    desk.ready()
    order = ["good", "bad", "middling", "poor"]
    shown = texts(desk.page)
    best_first = sorted(shown, key=order.index)
    if len(shown) == 2:
        desk.press(str(shown.index("good") + 1))
    else:
        desk.press(*[str(best_first.index(text) + 1) for text in shown])
    desk.press("Enter")
    desk.page.wait_for_url("**/assignments/*")
    desk.page.locator("[data-feedback]:focus").wait_for()
    desk.page.locator("[data-keys]").wait_for()  # shown once the keys are alive


def test_from_the_offer_to_real_work_with_keys_alone(exam):
    page = exam.page
    page.goto(exam.rank)
    page.get_by_role("heading", name="Before the real work").wait_for()
    page.locator("[autofocus]:focus").wait_for()
    page.emulate_media(reduced_motion="reduce")
    assert faults(page) == []
    exam.press("Enter")
    exam.see("Question 1 of 2")
    exam.ready()
    exam.press("s")  # no skipping: the panel says so
    exam.see("cannot be skipped")
    exam.press("Escape", "Escape")  # close it, and leave its button
    assert faults(page) == []

    answer_rightly(exam)
    assert page.title().startswith("Right · question 1 of 2")
    assert page.get_by_role("heading", level=1).inner_text().endswith("That is right")
    assert faults(page) == []
    exam.press("g")
    page.locator("#guidelines-dialog[open]").wait_for()
    exam.press("Escape", "Enter")
    page.wait_for_url("**/rank")
    exam.see("Question 2 of 2")
    page.reload()  # the same question
    exam.see("Question 2 of 2")

    answer_rightly(exam)
    exam.press("Enter")
    page.wait_for_url("**/rank/qualification")
    exam.see("You have passed")
    assert faults(page) == []
    page.locator("[autofocus]:focus").wait_for()
    exam.press("Enter")
    exam.see("Real work")
    assert page.locator(".question-head").count() == 0
    with SessionLocal() as session:
        assert session.get(Membership, (exam.project_id, exam.ana)).qualified_at is not None
    assert exam.complaints == []


def set_keys(exam, **ranking):
    with transaction() as session:
        session.get_one(User, exam.ana).preferences = {"ranking": ranking}
    exam.page.goto(f"{exam.rank}/qualification")
    exam.page.locator("[autofocus]:focus").wait_for()
    exam.page.wait_for_load_state("networkidle")


def test_her_own_keys_hold_on_any_keyboard_or_none_do(exam):
    page = exam.page
    dialog = page.locator("#guidelines-dialog")
    set_keys(exam, keys={"guidelines": ["k"]})
    exam.press("g")
    assert dialog.is_hidden()
    page.evaluate(
        """document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
          { key: "л", code: "KeyK", bubbles: true, cancelable: true }))"""
    )
    dialog.wait_for()
    set_keys(exam, keys={"guidelines": ["k"]}, single_keys=False)
    exam.press("k", "g")
    assert dialog.is_hidden()


def test_a_wrong_answer_on_a_phone_without_javascript(exam, browser):
    cookies = exam.context.cookies()
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme="dark", java_script_enabled=False
    )
    context.set_default_timeout(PAGE_PATIENCE)
    context.add_cookies([each for each in cookies if each["name"] == SESSION_COOKIE])
    page = context.new_page()
    page.goto(exam.rank)
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("Question 1 of 2").wait_for()
    if page.locator(".response").count() == 2:
        page.locator('input[value="T"]').check(force=True)
    else:
        for label in "ABC":
            page.locator(f'input[name="rank_{label}"][value="1"]').check(force=True)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("That is not right").wait_for()
    assert page.get_by_text("equally good").is_visible()
    page.get_by_role("button", name="Next question").click()
    page.get_by_text("Question 2 of 2").wait_for()
    context.close()


def test_the_feedback_survives_a_lost_connection(exam):
    page = exam.page
    page.goto(exam.rank)
    page.locator("[autofocus]:focus").wait_for()
    exam.press("Enter")
    exam.ready()
    exam.context.set_offline(True)
    keys = "12" if page.locator(".response").count() == 2 else "123"
    exam.press(*(keys[:1] if len(keys) == 2 else keys), "Enter")
    exam.see("1 waiting to be sent")
    exam.context.set_offline(False)
    page.wait_for_url("**/assignments/*")
    page.locator("[data-feedback]").wait_for()
    assert len(exam.judgements()) == 1
