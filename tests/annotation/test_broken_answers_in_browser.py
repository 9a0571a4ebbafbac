"""What stands between her and the server answers in its place: it is not taken at its word."""

import pytest

from app.db import SessionLocal
from app.tasks.models import Assignment
from tests.annotation.desk import ANSWER

pytestmark = pytest.mark.browser

SIGN_IN_TO_WIFI = "<!doctype html><title>Welcome to the hotel</title>"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, SIGN_IN_TO_WIFI),
        (200, '{"id": "1234", "revis'),
        (200, ""),
        (502, SIGN_IN_TO_WIFI),
        (511, SIGN_IN_TO_WIFI),  # the honest way to ask for a sign-in
        (404, "404 page not found"),  # a proxy, while the server starts anew
        (520, ""),  # what some proxies say of a server that they do not reach
    ],
)
def test_an_answer_counts_as_sent_only_when_the_server_says_so(desk, status, body):
    page = desk.start()
    first = desk.shown()
    page.route(
        ANSWER, lambda route: route.fulfill(status=status, body=body, content_type="text/html")
    )
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    desk.see("1 waiting to be sent")
    assert desk.kept() == 1
    page.unroute(ANSWER)
    assert [str(each.assignment_id) for each in desk.wait_for_judgements(1)] == [first]
    desk.until(lambda: desk.kept() == 0)
    assert desk.complaints == []


def test_a_task_is_skipped_only_when_the_server_says_so(desk):
    page = desk.start()
    first = desk.shown()
    page.route("**/skip", lambda route: route.fulfill(status=200, body=SIGN_IN_TO_WIFI))
    desk.press("s", "3", "Enter")
    desk.see("The server did not answer.")
    assert desk.shown() == first
    page.unroute("**/skip")
    desk.press("Enter")
    desk.another_is_shown(first)
    assert desk.complaints == []


def test_a_note_about_a_skip_that_is_on_its_way_does_not_change_any_more(desk):
    page = desk.start()
    first = desk.shown()
    held = []
    page.route("**/skip", lambda route: held.append(route))  # noqa: PLW0108  # it wants a function
    desk.press("s", "3")
    note = page.locator("[name=note]")
    note.fill("Raw")
    note.press("Control+Enter")
    desk.until(lambda: held)
    page.keyboard.type(" meat")
    said = note.input_value()
    held[0].continue_()
    desk.another_is_shown(first)
    with SessionLocal() as session:
        assert session.get(Assignment, first).skip_note == said


def test_a_skip_on_a_connection_that_hangs_gives_her_the_keys_back(desk):
    page = desk.page
    page.add_init_script(
        "const limit = AbortSignal.timeout.bind(AbortSignal);"
        "AbortSignal.timeout = (ms) => limit(ms / 20);"
    )
    desk.start()
    held = []
    page.route("**/skip", lambda route: held.append(route))  # noqa: PLW0108  # it wants a function
    desk.press("s", "3", "Enter")
    desk.see("The server did not answer")
    page.unroute("**/skip")
    before = desk.shown()
    desk.press("Escape", "1")
    page.get_by_role("button", name="Submit").click()
    desk.another_is_shown(before)
    assert len(desk.wait_for_judgements(1)) == 1
    assert held
