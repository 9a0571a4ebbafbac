"""A day on the ranking page, in a real browser, with the hands on the keyboard."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Error
from sqlalchemy import func, select

from app.accounts.models import User
from app.db import SessionLocal, database_now, transaction
from app.projects import service as projects
from app.projects.models import Guidelines, Project
from app.projects.schemas import ProjectPatch
from app.tasks.models import Assignment, AssignmentState
from tests.axe import NONE, faults_by_scheme

pytestmark = pytest.mark.browser


def test_a_pair_and_a_ranking_with_keys_alone(desk):
    page = desk.start()
    desk.press("2", "2")
    desk.see("B is better")
    first = desk.shown()
    desk.press("Enter")
    desk.another_is_shown(first)
    (pair,) = desk.wait_for_judgements(1)
    assert (pair.strength, sorted(pair.ranks)) == (2, [1, 2])
    assert pair.active_ms <= pair.visible_ms <= pair.wall_ms

    desk.see("Four greetings")
    desk.press("2", "1", "2")  # places for A, B and C, one after the other
    assert page.evaluate("document.activeElement.id") == "response-D"
    desk.press("Enter")
    desk.see("Give D a place first.")
    desk.press("4", "Shift+ArrowUp")  # D fourth, then one place up: third
    desk.see("B > A = C > D")
    second = desk.shown()
    desk.press("Enter")
    desk.another_is_shown(second)
    ranking = next(each for each in desk.wait_for_judgements(2) if len(each.ranks) == 4)
    with SessionLocal() as session:
        order = session.get(Assignment, ranking.assignment_id).display_order
    assert [ranking.ranks[place] for place in order] == [2, 1, 2, 4]
    page.locator("[data-done]", has_text=re.compile("^2$")).wait_for()
    assert desk.complaints == []


def test_where_there_are_no_ties_none_is_spoken_of_or_handed_in(desk):
    with transaction() as session:
        project = session.scalars(select(Project).where(Project.name == "Kitchen help")).one()
        project.allow_ties = False
    page = desk.start()
    desk.press("1", "Enter")
    desk.see("Give each response a place; there are no ties.")
    desk.ready()
    assert "tie" not in page.locator("[data-legend]").inner_text()
    second = desk.shown()
    desk.press("1", "2", "2", "4", "Enter")
    desk.see("This project has no ties. Decide which of B, C is better.")
    assert desk.shown() == second
    page.locator("#response-C").focus()
    desk.press("3", "Enter")
    assert len(desk.wait_for_judgements(2)) == 2


def test_undo_opens_the_last_answers_and_keeps_both(desk):
    desk.start()
    desk.press("1")
    first = desk.shown()
    desk.press("Enter")
    desk.another_is_shown(first)
    desk.wait_for_judgements(1)
    desk.press("u")
    desk.page.wait_for_url("**/rank/history")
    desk.page.wait_for_selector("[autofocus]:focus")  # the newest has the focus
    desk.press("Enter")
    desk.page.wait_for_url(f"**/assignments/{first}")
    desk.ready()
    desk.see("You have answered this one already")
    desk.press("0", "Enter")
    desk.page.wait_for_url("**/rank/history")
    assert sorted((each.revision, each.ranks) for each in desk.judgements())[1] == (2, [1, 1])


def test_skipping_asks_why(desk):
    desk.start()
    first = desk.shown()
    desk.press("s", "Enter")
    desk.see("Choose a reason")
    desk.press("3", "Enter")
    desk.another_is_shown(first)
    with SessionLocal() as session:
        row = session.get(Assignment, first)
        assert (row.state, row.skip_reason) == (AssignmentState.SKIPPED, "language")


@pytest.mark.parametrize(("width", "height"), [(390, 600), (320, 256), (1280, 500)])
def test_what_is_said_is_seen_wherever_she_reads(desk, width, height):
    page = desk.start()
    first = desk.shown()
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.get_by_role("button", name="Submit").click()
    said = page.get_by_text("Give A, B, C, D a place first")
    said.wait_for()
    seen = said.bounding_box()
    prompt = page.get_by_text("Four greetings", exact=True).bounding_box()
    assert 0 <= seen["y"] < height / 2
    assert prompt["y"] < 0 or prompt["y"] >= seen["y"] + seen["height"]


def test_a_skip_can_be_taken_back(desk):
    page = desk.start()
    first = desk.shown()
    desk.think("half a thought")
    desk.press("s", "3", "Enter")
    desk.another_is_shown(first)
    page.get_by_role("link", name="Go back to it").click()
    page.wait_for_url(f"**/assignments/{first}")
    desk.ready()
    desk.see("You skipped this task")
    assert page.get_by_label("Why you decided so").input_value() == "half a thought"
    desk.press("1", "Enter")
    assert [str(each.assignment_id) for each in desk.wait_for_judgements(1)] == [str(first)]


def test_that_a_task_was_skipped_is_said_until_she_judges_the_next(desk):
    page = desk.start()
    first = desk.shown()
    desk.press("s", "3", "Enter")
    desk.another_is_shown(first)
    desk.see("You skipped a task")
    desk.press("1")
    assert not page.get_by_text("You skipped a task").is_visible()


def test_a_screen_reader_hears_of_the_next_task(desk):
    page = desk.start()
    said = page.locator("[role=status][data-arrived]")
    assert said.text_content() == ""
    desk.press("1", "Enter")
    desk.see("Four greetings")
    assert said.text_content() == "Next task: Four greetings"


def test_in_the_note_about_a_skip_no_key_judges(desk):
    page = desk.start()
    first = desk.shown()
    desk.press("1", "s", "3")
    page.get_by_label("A note about the reason").fill("Basque?")
    desk.press("Control+Enter")
    desk.another_is_shown(first)
    with SessionLocal() as session:
        assert session.get(Assignment, first).state is AssignmentState.SKIPPED
    assert desk.judgements() == []


def test_an_impatient_second_enter_judges_nothing(desk):
    desk.start()
    first = desk.shown()
    desk.press("1", "Enter", "Enter", "1", "Enter")
    desk.another_is_shown(first)
    desk.page.wait_for_timeout(500)
    assert len(desk.judgements()) == 1


def test_work_goes_on_without_a_connection_and_arrives_later(desk):
    page = desk.start()
    first = desk.shown()
    desk.context.set_offline(True)
    desk.press("1", "Enter")
    desk.page.wait_for_function(
        "id => document.querySelector('form.task').dataset.assignment !== id", arg=first
    )
    desk.see("1 waiting to be sent")
    desk.see("Four greetings")
    page.locator("form.task[data-ready]").wait_for()
    desk.press("1", "2", "3", "4", "Enter")
    desk.see("2 waiting to be sent")
    kept = page.evaluate("JSON.stringify(localStorage)")
    assert "greetings" not in kept
    assert "soft" not in kept
    assert desk.judgements() == []

    desk.context.set_offline(False)
    assert len(desk.wait_for_judgements(2)) == 2
    page.get_by_text("waiting to be sent").wait_for(state="hidden")
    assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('queue'))") == []
    desk.ready()
    assert desk.shown() != first


# What a page sends as it is left is seen by nobody else.
NOTE_RELEASES = """
    const send = fetch;
    window.fetch = (url, ...more) => {
        if (String(url).endsWith("/release")) sessionStorage.released = url;
        return send(url, ...more);
    };
"""


def test_a_crash_with_something_unsent_loses_nothing(desk):
    page = desk.start()
    desk.press("r")
    with page.expect_response("**/draft"):
        page.keyboard.type("Because it is soft")
    desk.context.set_offline(True)
    desk.press("Escape", "1", "Enter")
    desk.see("1 waiting to be sent")
    desk.crash()
    desk.context.set_offline(False)
    desk.page = page = desk.context.new_page()
    page.add_init_script(NOTE_RELEASES)
    page.goto(desk.rank)
    (judgement,) = desk.wait_for_judgements(1)
    assert judgement.rationale == "Because it is soft"
    begin = page.get_by_role("button", name="Start ranking")

    def goes_on():
        """The page that was closed may have given back what it had fetched ahead."""
        if begin.is_visible():
            with suppress(Error):  # the page may be on its way to itself
                begin.click(timeout=1_000)
        return page.get_by_text("Four greetings").first.is_visible()

    desk.until(goes_on)  # not the one that has just been sent
    assert page.evaluate("sessionStorage.released") is None  # it was fetched ahead: it stays hers


def draft_of(assignment_id):
    with SessionLocal() as session:
        return session.get(Assignment, assignment_id).draft


def test_a_draft_survives_a_reload(desk):
    page = desk.start()
    desk.press("2", "2", "2", "r")
    page.keyboard.type("half a thought")
    desk.press("Escape")
    desk.until(lambda: "half a thought" in str(draft_of(desk.shown())))
    page.reload()
    desk.ready()
    assert page.locator("textarea[name=rationale]").input_value() == "half a thought"
    assert page.locator("input[name=choice]:checked").get_attribute("value") == "B3"


def test_places_given_so_far_survive_a_reload_as_they_are(desk):
    page = desk.start()
    desk.press("1", "Enter")
    desk.see("Four greetings")
    desk.ready()
    with page.expect_response("**/draft"):
        desk.press("4", "2")  # the last one first
    page.reload()
    desk.ready()
    placed = page.locator("[name^=rank_]:checked")
    assert placed.evaluate_all("all => all.map((one) => one.name + one.value)") == [
        "rank_A4",
        "rank_B2",
    ]
    page.locator("#response-C").focus()
    desk.press("1", "3")
    desk.see("C > B > D > A")


def test_a_task_answered_in_another_tab_is_not_answered_twice(desk):
    page = desk.start()
    first = desk.shown()
    other = desk.context.new_page()
    other.goto(desk.rank)
    other.locator("form.task").wait_for()
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    other.locator('input[value="T"]').check(force=True)
    other.get_by_role("button", name="Submit").click()
    other.get_by_text("You have answered this task already").wait_for()
    assert len(desk.judgements()) == 1
    assert page.locator("form.task").count() == 1


def test_shortcuts_can_be_switched_off(desk):
    page = desk.start()
    desk.press("?")
    page.get_by_label("Single keys work as shortcuts").uncheck()
    desk.press("Escape", "1")
    assert page.locator("input[name=choice]:checked").count() == 0
    assert page.locator("[data-legend]").is_hidden()


def test_it_works_on_a_phone_by_touch(desk):
    page = desk.start()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = [page.locator(f"#response-{label}").bounding_box() for label in "AB"]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[1]["y"] > boxes[0]["y"]
    page.locator('input[value="A3"]').check(force=True)
    page.get_by_role("button", name="Submit").click()
    assert desk.wait_for_judgements(1)[0].strength == 3


def test_a_lease_about_to_end_warns_and_is_prolonged_when_she_is_back(desk):
    page = desk.page
    page.clock.install()
    desk.start()
    page.clock.fast_forward("28:00")  # nobody has been at it
    desk.see("Do you need more time?")
    assert re.fullmatch(r"[12]:\d\d left", page.locator("[data-lease]").inner_text())
    page.get_by_role("dialog", name="Still working?").wait_for()
    with page.expect_response("**/renew"):
        desk.press("Space")
    page.get_by_text("Do you need more time?").wait_for(state="hidden")
    with SessionLocal() as session:
        assert session.get(Assignment, desk.shown()).renewals == 1


def test_nothing_stands_in_the_way_of_assistive_technology(desk):
    page = desk.start()
    for number_of_responses in (2, 4):
        assert page.locator(".response").count() == number_of_responses
        assert faults_by_scheme(page) == NONE
        if number_of_responses == 2:
            first = desk.shown()
            desk.press("1", "Enter")
            desk.another_is_shown(first)


def test_leaving_gives_back_what_was_fetched_ahead(desk):
    page = desk.start()
    page.goto(f"{desk.address}/account")

    def held():
        with SessionLocal() as session:
            return session.scalar(
                select(func.count()).where(
                    Assignment.user_id == desk.ana, Assignment.state == AssignmentState.OPEN
                )
            )

    desk.until(lambda: held() == 1)


def test_an_answer_that_does_not_fit_a_new_scale_is_told_and_kept(desk):
    page = desk.start()
    with transaction() as session:
        project = session.scalars(select(Project).where(Project.name == "Kitchen help")).one()
        ada = session.scalars(select(User).where(User.name == "Ada")).one()
        before = session.get(Guidelines, (project.id, 1))
        before.scale = {"strength_levels": 3, "allow_ties": True, "criteria": []}
        patch = ProjectPatch(strength_levels=2)
        now = database_now(session)
        projects.update_settings(session, project=project, patch=patch, by=ada, now=now)
    page.locator(".rationale summary").click()
    page.locator("textarea[name=rationale]").fill("Runny is better.")
    page.locator('input[name="choice"][value="A3"]').check(force=True)
    refused = desk.shown()
    page.locator("[data-submit]").click()
    desk.see("What is asked here has changed since you got this task")
    page.get_by_role("link", name="Open it").click()
    page.wait_for_url(f"**/assignments/{refused}")
    desk.ready()
    assert page.locator("textarea[name=rationale]").input_value() == "Runny is better."
    assert page.locator('input[name="choice"][value="A3"]').count() == 0
    assert desk.judgements() == []


def test_a_digit_does_not_search_through_the_texts(desk):
    """With a book on the screen each such search takes longer than a key may."""
    page = desk.start()
    desk.press("1", "Enter")
    desk.see("Four greetings")
    desk.ready()
    page.evaluate(
        """() => {
          const form = document.querySelector("form.task");
          form.querySelector = form.querySelectorAll = (what) => console.error(`searched: ${what}`);
        }"""
    )
    desk.press("2", "1", "3", "4", "Backspace", "4", "Shift+ArrowUp")
    desk.see("B > A > D > C")
    assert desk.complaints == []
