"""Answers that the server refuses, in a real browser: each is told, and can be given again."""

import json

import pytest

from tests.annotation.desk import ANSWER, answer_once

pytestmark = pytest.mark.browser

NOT_TAKEN = "Your answer to an earlier task was not taken."


def refuse(route):
    body = json.dumps({"title": "No", "status": 422, "detail": "No, this time."})
    route.fulfill(status=422, body=body, content_type="application/problem+json")


def refuse_all(page):
    page.route(ANSWER, refuse)


def judge_two_without_a_network(desk):
    """Answers the ids of both."""
    page = desk.start()
    first = desk.shown()
    desk.context.set_offline(True)
    desk.press("1", "Enter")
    desk.see("Four greetings")
    page.locator("form.task[data-ready]").wait_for()
    second = desk.shown()
    desk.press("1", "2", "3", "4", "Enter")
    desk.see("2 waiting to be sent")
    return first, second


def backs(page):
    return page.locator(".notice", has_text=NOT_TAKEN)


def test_each_of_two_that_a_crash_left_is_told_on_the_ranking_page(desk):
    first, second = judge_two_without_a_network(desk)
    desk.crash()
    desk.context.set_offline(False)
    page = desk.page = desk.context.new_page()
    refuse_all(page)
    page.goto(desk.rank)
    desk.until(lambda: backs(page).count() == 2)
    links = backs(page).get_by_role("link", name="Go back to it")
    ways = {link.get_attribute("href") for link in links.all()}
    assert ways == {f"/assignments/{first}", f"/assignments/{second}"}
    backs(page).first.get_by_role("button", name="Close").click()
    assert backs(page).count() == 1


def test_what_is_said_next_does_not_hide_the_way_back_to_a_refused_one(desk):
    page = desk.page
    first, second = judge_two_without_a_network(desk)
    refuse_all(page)
    desk.context.set_offline(False)
    desk.until(lambda: backs(page).count() == 1)
    page.locator("[data-banner-text]", has_text="No, this time.").wait_for()
    assert desk.shown() == second  # nothing else was there to be shown
    page.unroute(ANSWER)
    desk.press("Enter")
    desk.another_is_shown(second)
    backs(page).get_by_role("button", name="Go back to it").click()
    page.locator(f'form.task[data-ready][data-assignment="{first}"]').wait_for()
    assert backs(page).count() == 0
    desk.press("Enter")
    judged = desk.wait_for_judgements(2)
    assert {str(each.assignment_id) for each in judged} == {first, second}
    assert desk.complaints == []


def test_who_skips_while_an_answer_is_refused_goes_on_from_there(desk):
    page = desk.start()
    first = desk.shown()
    held = []
    page.route(ANSWER, lambda route: held.append(route))  # noqa: PLW0108  # it wants a function
    desk.press("1", "Enter")
    desk.see("Four greetings")
    page.locator("form.task[data-ready]").wait_for()
    second = desk.shown()
    desk.press("s", "3", "Enter")  # nothing is ahead
    desk.see("The next page opens as soon as your answers are sent")
    refuse(desk.until(lambda: held)[0])
    desk.until(lambda: backs(page).count() == 1)
    page.unroute(ANSWER)
    assert page.get_by_text("The next page opens").count() == 0
    page.get_by_role("button", name="To the next task").press("Enter")
    desk.until(lambda: desk.shown() not in {second, None} and page.url == desk.rank)
    desk.ready()
    assert desk.shown() == first  # as she had answered it
    desk.press("Enter")
    assert [str(each.assignment_id) for each in desk.wait_for_judgements(1)] == [first]
    assert desk.complaints == []


def test_the_way_back_to_a_refused_one_that_is_there_again_brings_no_second(desk):
    page = desk.start()
    first = desk.shown()
    refuse_all(page)
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    back = page.get_by_role("button", name="Go back to it")
    back.wait_for()
    page.unroute(ANSWER)
    second = desk.shown()
    desk.press("1", "2", "3", "4", "Enter")
    desk.another_is_shown(second)
    assert desk.shown() == first  # nothing else was ahead
    back.click()
    desk.press("Enter")
    desk.another_is_shown(first)
    desk.wait_for_judgements(2)
    assert backs(page).count() == 0


@pytest.mark.parametrize("status", [403, 413])
def test_a_refused_answer_comes_back_with_all_that_was_written(desk, status):
    page = desk.start()
    desk.think("Because it is soft")
    desk.press("1")
    first = desk.shown()
    answer_once(page, status=status, times=2 if status == 403 else 1)
    desk.press("Enter")
    desk.see("Your answer to an earlier task was not taken. No, this time.")
    desk.see("Four greetings")
    desk.ready()
    desk.press("4", "3")
    before = desk.shown()
    page.get_by_role("button", name="Go back to it").click()
    desk.another_is_shown(before)
    assert desk.shown() == first
    assert page.locator("textarea[name=rationale]").input_value() == "Because it is soft"
    page.unroute(ANSWER)
    desk.press("Enter")
    assert desk.wait_for_judgements(1)[0].rationale == "Because it is soft"
    desk.see("Four greetings")  # as she left it
    assert page.locator("input[name=rank_A]:checked").get_attribute("value") == "4"


def test_a_refused_answer_is_a_draft_when_she_leaves_the_page(desk):
    page = desk.start()
    first = desk.shown()
    answer_once(page, status=403, times=2)
    desk.think("Because it is soft")
    desk.press("1", "Enter")
    page.get_by_role("button", name="Go back to it").wait_for()
    page.goto(f"{desk.address}/assignments/{first}")
    desk.ready()
    assert page.locator("textarea[name=rationale]").input_value() == "Because it is soft"
    assert page.locator("[name=choice]:checked").get_attribute("value") == "A1"


def test_what_is_on_its_way_does_not_come_back_after_a_refused_one(desk):
    page = desk.start()
    first = desk.shown()
    answer_once(page, status=422)
    desk.press("1", "Enter")
    back = page.get_by_role("button", name="Go back to it")
    back.wait_for()
    desk.ready()
    second = desk.shown()
    page.unroute(ANSWER)
    held = []
    page.route(ANSWER, lambda route: held.append(route))  # noqa: PLW0108  # it wants a function
    desk.press("1", "2", "3", "4", "Enter")
    desk.until(lambda: held)
    assert desk.shown() == second  # nothing was ahead
    back.click()
    desk.another_is_shown(second)
    held[0].continue_()
    page.unroute(ANSWER)
    desk.wait_for_judgements(1)
    desk.ready()
    desk.press("Enter")
    desk.another_is_shown(first)
    assert desk.shown() != second
    assert len(desk.wait_for_judgements(2)) == 2


def test_who_is_about_to_leave_stays_where_an_answer_is_refused(desk):
    page = desk.start()
    desk.press("1")
    first = desk.shown()
    held = []
    page.route(ANSWER, lambda route: held.append(route))  # noqa: PLW0108  # it wants a function
    desk.press("Enter")
    desk.see("Four greetings")
    page.locator("form.task[data-ready]").wait_for()
    desk.press("u")
    desk.see("The next page opens as soon as your answers are sent")
    refusal = json.dumps({"title": "No", "status": 422, "detail": "No, this time."})
    desk.until(lambda: held)[0].fulfill(
        status=422, body=refusal, content_type="application/problem+json"
    )
    page.get_by_role("button", name="Go back to it").click()
    desk.see("Which egg?")
    assert desk.shown() == first
    assert page.locator("[name=choice]:checked").get_attribute("value") == "A1"
    page.unroute(ANSWER)
    page.locator("form.task[data-ready]").wait_for()
    desk.press("Enter")
    assert len(desk.wait_for_judgements(1)) == 1


def test_a_refused_answer_comes_back_as_the_text_is_meant_to_look(desk):
    page = desk.start()
    desk.press("d")
    page.locator(".as-compared").first.wait_for()
    desk.press("1")
    first = desk.shown()
    answer_once(page, status=404)
    desk.press("Enter")
    desk.see("you are no longer in this project")
    page.get_by_role("button", name="Go back to it").click()
    page.locator(f'form.task[data-ready][data-assignment="{first}"]').wait_for()
    assert page.locator(".as-compared").count() == 0
