"""Drafts and tabs, in a real browser: what she typed last stands, wherever she typed it."""

import pytest
from sqlalchemy import update

from app.accounts.models import User
from app.annotation.schemas import JudgementBody
from app.annotation.service import submit
from app.db import SessionLocal, database_now, transaction
from app.projects.models import Project
from app.tasks.models import Assignment
from tests.waiting import until

pytestmark = pytest.mark.browser


def test_the_back_button_meets_no_dead_form(desk):
    page = desk.start()
    first = desk.shown()
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    shown = desk.shown()
    page.goto(f"{desk.rank}/history")
    page.go_back()
    desk.ready()
    assert desk.shown() == shown
    desk.press("1", "2", "3", "4", "Enter")
    assert len(desk.wait_for_judgements(2)) == 2


def test_two_tabs_know_of_each_other(desk):
    desk.start()
    first = desk.shown()
    other = desk.context.new_page()
    other.goto(desk.rank)
    other.get_by_text("You have this task open in another tab too").wait_for()
    other.locator("form.task[data-ready]").wait_for()
    desk.think("Here first")
    other.get_by_text("This task was changed in another tab just now").wait_for()
    other.get_by_role("button", name="Load that version").click()
    other.locator("form.task[data-ready]").wait_for()
    other.wait_for_load_state("networkidle")
    assert other.locator("textarea[name=rationale]").input_value() == "Here first"
    desk.press("1")
    desk.press("Enter")
    desk.another_is_shown(first)
    other.get_by_text("You have answered this task in another tab").wait_for()
    other.keyboard.press("0")
    other.keyboard.press("Enter")
    dialog = other.get_by_role("dialog", name="You have answered this task already")
    assert "A > B" in dialog.get_by_label("The stored one").inner_text()
    assert "A = B" in dialog.get_by_label("The one you just gave").inner_text()
    assert len(desk.judgements()) == 1
    dialog.get_by_role("button", name="Take the one I just gave").click()
    assert [each.ranks for each in desk.wait_for_judgements(2) if each.is_current] == [[1, 1]]


def test_a_draft_from_another_device_is_not_overwritten_unseen(desk):
    page = desk.start()
    with transaction() as session:
        session.execute(
            update(Assignment)
            .where(Assignment.id == desk.shown())
            .values(draft={"rationale": "From the phone"}, draft_revision=7)
        )
    desk.think("From the desk")
    desk.see("This task was changed in another tab or on another device")
    with SessionLocal() as session:
        assert session.get(Assignment, desk.shown()).draft == {"rationale": "From the phone"}
    with page.expect_response("**/draft"):
        page.get_by_role("button", name="Keep what is here").click()
    with SessionLocal() as session:
        kept = session.get(Assignment, desk.shown())
        assert (kept.draft, kept.draft_revision) == ({"rationale": "From the desk"}, 8)


LOOK_AWAY = """() => {
  Object.defineProperty(document, "hidden", { value: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def write_at_length(desk):
    """More than a browser sends for a page that is gone."""
    desk.press("e")
    desk.page.locator("textarea[name=rewrite]").fill("word " * 15_000)


def is_kept(assignment_id):
    with SessionLocal() as session:
        draft = session.get(Assignment, assignment_id).draft
    return draft is not None and len(draft["rewrite"]) == 75_000


def test_a_browser_that_goes_back_shows_the_newest_draft(desk):
    page = desk.start()
    with page.expect_response("**/draft"):
        desk.think("old words")
    page.get_by_role("link", name="My progress").click()
    page.wait_for_url("**/progress")
    other = desk.context.new_page()
    other.goto(desk.rank)
    other.locator("form.task[data-ready]").wait_for()
    other.keyboard.press("r")
    with other.expect_response("**/draft"):
        other.locator("[name=rationale]").fill("new words")
    other.close()
    page.go_back()
    desk.ready()
    assert page.locator("[name=rationale]").input_value() == "new words"


def test_a_long_draft_is_saved_when_she_looks_away(desk):
    page = desk.start()
    write_at_length(desk)
    with page.expect_response("**/draft"):
        page.evaluate(LOOK_AWAY)
    assert is_kept(desk.shown())


def test_a_long_draft_is_saved_while_the_browser_asks_whether_to_leave(desk):
    page = desk.start()
    first = desk.shown()
    write_at_length(desk)
    asked = []

    def answer(dialog):
        asked.append(dialog.type)
        until(lambda: is_kept(first))
        dialog.accept()

    page.on("dialog", answer)
    page.get_by_role("link", name="My progress").click()
    page.wait_for_url("**/progress")
    assert asked == ["beforeunload"]


def test_words_that_could_not_be_saved_do_not_go_unasked(desk):
    page = desk.start()
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.type) or dialog.dismiss())
    page.route("**/draft", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        desk.think("Half a thought")
    desk.press("u")
    assert desk.until(lambda: asked) == ["beforeunload"]
    page.unroute("**/draft")
    with page.expect_response("**/draft"):
        desk.think(", now whole")
    desk.press("u")
    page.wait_for_url("**/rank/history")
    assert asked == ["beforeunload"]


def test_her_own_newer_draft_is_no_other_version(desk):
    page = desk.start()
    held = []

    def hold_the_first(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/draft", hold_the_first)
    desk.think("Half")
    desk.until(lambda: held)
    with page.expect_response("**/draft"):
        desk.think(" a thought")
    with page.expect_response("**/draft") as late:
        held[0].continue_()
    assert late.value.json()["saved"] is False
    with page.expect_response("**/draft"):
        desk.think(", now whole")
    assert page.get_by_text("was changed in another tab").count() == 0


def judge_what_another_tab_has_judged(desk):
    """The next task is on the screen, and the question about the two answers to the first."""
    page = desk.start()
    first = desk.shown()
    desk.press("2")
    desk.think("A long and thoughtful reason")
    with transaction() as session:
        taken = session.get(Assignment, first)
        project, ana = session.get(Project, taken.project_id), session.get(User, desk.ana)
        judgement = JudgementBody(ranking=[["A"], ["B"]], strength=1)
        submit(
            session,
            assignment=taken,
            project=project,
            user=ana,
            judgement=judgement,
            key=None,
            now=database_now(session),
        )
    desk.press("Enter")
    dialog = page.get_by_role("dialog", name="You have answered this task already")
    dialog.wait_for()
    assert desk.shown() != first
    return dialog


def test_a_key_meant_for_the_next_task_does_not_decide_between_two_answers(desk):
    dialog = judge_what_another_tab_has_judged(desk)
    desk.press("Enter", "Escape", "Escape", "Escape", "Enter")
    dialog.get_by_text("A long and thoughtful reason").wait_for()
    desk.press("Tab", "Tab", "Enter")
    dialog.wait_for(state="hidden")
    (stands,) = [each for each in desk.wait_for_judgements(2) if each.is_current]
    assert stands.rationale == "A long and thoughtful reason"
    assert desk.complaints == []


def test_the_answer_that_she_takes_is_sent_until_it_is_there(desk):
    dialog = judge_what_another_tab_has_judged(desk)
    desk.context.set_offline(True)
    dialog.get_by_role("button", name="Take the one I just gave").click()
    desk.see("1 waiting to be sent")
    desk.context.set_offline(False)
    texts = {each.revision: each.rationale for each in desk.wait_for_judgements(2)}
    assert texts == {1: None, 2: "A long and thoughtful reason"}
    desk.until(lambda: desk.kept() == 0)


def test_a_copy_that_arrives_after_the_answer_is_no_part_of_it(desk):
    page = desk.page
    page.goto(desk.rank)
    page.route("**/assignments?html=true", lambda route: route.abort())  # nothing is ahead
    page.get_by_role("button", name="Start ranking").click()
    page.locator("form.task[data-ready]").wait_for()
    held = []
    page.route("**/api/v1/assignments/*", lambda route: held.append(route))  # noqa: PLW0108
    page.route("**/annotation*", lambda route: held.append(route))  # noqa: PLW0108
    desk.press("e")
    page.get_by_role("button", name="Start from A").click()
    desk.until(lambda: held)
    desk.press("Escape", "1", "Enter")
    desk.until(lambda: len(held) == 2)
    with page.expect_response("**/api/v1/assignments/*") as copy:
        held[0].continue_()
    copy.value.finished()
    page.evaluate("new Promise((resolve) => setTimeout(resolve))")
    assert page.locator("textarea[name=rewrite]").input_value() == ""
