"""What a page had not sent when it died, in a real browser: another one sends it."""

import pytest

from tests.annotation.desk import ANSWER, answer_once

pytestmark = pytest.mark.browser


def test_what_waited_when_the_power_went_is_sent_from_any_page_of_hers(desk):
    page = desk.start()
    desk.context.set_offline(True)
    desk.press("1", "Enter")
    desk.see("1 waiting to be sent")
    desk.see("Four greetings")
    page.locator("form.task[data-ready]").wait_for()
    desk.press("1", "2", "3", "4", "Enter")
    desk.see("2 waiting to be sent")
    desk.crash()
    desk.context.set_offline(False)
    desk.page = desk.context.new_page()
    desk.page.goto(f"{desk.rank}/progress")
    answers = sorted(desk.wait_for_judgements(2), key=lambda each: each.submitted_at)
    assert [len(each.ranks) for each in answers] == [2, 4]  # in order
    desk.page.wait_for_function("Object.keys(localStorage).every(key => !key.includes('queue'))")


def write_hand_in_and_crash(desk):
    """Her text is saved; what she chose is nowhere but in the browser. Answers her new page."""
    page = desk.start()
    with page.expect_response("**/draft"):
        desk.think("Because it is soft")
    page.route(ANSWER, lambda route: route.abort())
    desk.press("1", "Enter")
    desk.see("1 waiting to be sent")
    desk.crash()
    desk.page = desk.context.new_page()
    return desk.page


@pytest.mark.parametrize("where", ["", "/progress", "/history"])
def test_what_a_crash_left_and_the_server_refuses_is_a_draft_then(desk, where):
    page = write_hand_in_and_crash(desk)
    answer_once(page, status=422)
    page.goto(f"{desk.rank}{where}")
    desk.see("Your answer to an earlier task was not taken. No, this time.")
    page.get_by_role("link", name="Go back to it").click()
    page.wait_for_url("**/assignments/*")
    desk.see("Which egg?")
    page.locator("form.task[data-ready]").wait_for()
    assert page.locator("[name=choice]:checked").get_attribute("value") == "A1"
    assert page.locator("textarea[name=rationale]").input_value() == "Because it is soft"


def test_what_a_crash_left_is_told_where_nothing_else_keeps_it(desk):
    page = write_hand_in_and_crash(desk)
    answer_once(page, status=404)
    page.route("**/draft", lambda route: route.fulfill(status=404, body="{}"))
    page.goto(f"{desk.rank}/progress")
    desk.see("The task was taken away, or you are no longer in this project")
    desk.see("You had said: A > B.")


def test_a_tab_that_lives_sends_what_a_dead_one_left(desk):
    page = desk.start()
    page.route(ANSWER, lambda route: route.abort())
    desk.press("1", "Enter")
    desk.see("1 waiting to be sent")
    other = desk.context.new_page()
    other.goto(f"{desk.rank}/progress")
    other.wait_for_load_state("networkidle")
    assert desk.judgements() == []  # not while the other one may still send it with its text
    page.close(run_before_unload=False)
    desk.page = other
    assert len(desk.wait_for_judgements(1)) == 1
