"""A sign-in that ends while she works, in a real browser: she signs in again on the page."""

import pytest
from sqlalchemy import delete, select

from app.accounts.models import LoginSession
from app.annotation.models import Annotation
from app.db import SessionLocal, transaction
from app.tasks.models import Assignment
from tests.factories import PASSWORD

pytestmark = pytest.mark.browser


def end_sign_in():
    with transaction() as session:
        session.execute(delete(LoginSession))


def sign_in_here(page, email, password=PASSWORD):
    dialog = page.get_by_role("dialog", name="Sign in again")
    dialog.get_by_label("E-mail").fill(email)
    dialog.get_by_label("Password").fill(password)
    dialog.get_by_role("button", name="Sign in").click()
    return dialog


def test_she_signs_in_again_without_leaving_the_page(desk):
    page = desk.start()
    desk.think("Because it is soft")
    desk.press("1")
    first = desk.shown()
    end_sign_in()
    desk.press("Enter")
    dialog = sign_in_here(page, "ana@example.org", "not her password")
    dialog.get_by_text("do not belong together").wait_for()
    assert desk.judgements() == []
    sign_in_here(page, "ana@example.org")
    (judgement,) = desk.wait_for_judgements(1)
    assert (str(judgement.assignment_id), judgement.rationale) == (first, "Because it is soft")
    assert desk.shown() != first
    desk.ready()
    desk.press("1", "2", "3", "4", "Enter")  # with the token of the new sign-in
    assert len(desk.wait_for_judgements(2)) == 2
    assert desk.complaints == []


def test_typing_is_not_interrupted_by_the_end_of_the_sign_in_and_is_saved_after_it(desk):
    page = desk.start()
    end_sign_in()
    desk.press("r")
    with page.expect_response("**/draft"):
        page.keyboard.type("Half a")
    desk.see("Your sign-in has ended. What you did is still here and can be handed in")
    page.keyboard.type(" thought")
    assert page.get_by_role("dialog").count() == 0
    page.get_by_role("button", name="Sign in").click()
    with page.expect_response(lambda reply: "/draft" in reply.url and reply.ok):
        sign_in_here(page, "ana@example.org")
    with SessionLocal() as session:
        assert session.get(Assignment, desk.shown()).draft["rationale"] == "Half a thought"


def test_nobody_sends_the_answers_of_somebody_else(desk):
    page = desk.start()
    desk.press("1")
    end_sign_in()
    desk.press("Enter")
    sign_in_here(page, "rui@example.org")
    desk.see("You are signed in as Rui")
    page.wait_for_timeout(300)
    with SessionLocal() as session:
        assert session.scalars(select(Annotation)).all() == []
    page.get_by_role("button", name="Go on as Rui").click()
    page.get_by_role("button", name="Start ranking").click()
    desk.ready()
    assert desk.kept() == 1  # Ana's, for her
    end_sign_in()
    page.goto(desk.rank)
    page.get_by_label("E-mail").fill("ana@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    assert len(desk.wait_for_judgements(1)) == 1
    page.wait_for_function("Object.keys(localStorage).every(key => !key.includes('queue'))")


def test_who_signs_in_later_is_asked_again_with_the_next_answer(desk):
    page = desk.start()
    end_sign_in()
    desk.press("1", "Enter")
    desk.see("What you did is still here and will be sent")
    page.get_by_role("dialog").get_by_role("button", name="Not now").click()
    desk.see("Four greetings")
    page.locator("form.task[data-ready]").wait_for()
    desk.press("1", "2", "3", "4", "Enter")
    sign_in_here(page, "ana@example.org")
    assert len(desk.wait_for_judgements(2)) == 2
    desk.see("Pair")
    desk.ready()


def test_who_waits_can_press_what_is_said_by_key(desk):
    page = desk.start()
    end_sign_in()
    desk.press("1", "Enter")
    sign_in_here(page, "rui@example.org")
    page.get_by_role("button", name="Sign in as before").press("Enter")
    sign_in_here(page, "ana@example.org")
    assert len(desk.wait_for_judgements(1)) == 1
