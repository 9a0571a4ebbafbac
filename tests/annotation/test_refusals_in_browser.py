"""Several answers that the server refuses: each is told, and each can be given again."""

import json

import pytest

pytestmark = pytest.mark.browser

ANSWER = "**/api/v1/assignments/*/annotation*"
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
