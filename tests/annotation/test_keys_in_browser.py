"""Keys on the ranking page: her own ones, other keyboards, none at all, and the answer at once."""

import pytest

from app.accounts.models import User
from app.db import transaction
from tests.annotation.reading_desk import Desk, opened_projects

pytestmark = pytest.mark.browser

PRESSED = """(press) => {
  const { altgraph, composing, ...init } = press;
  const event = new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init,
    modifierAltGraph: altgraph, isComposing: composing });
  document.activeElement.dispatchEvent(event);
  return event.defaultPrevented;
}"""


@pytest.fixture(scope="module")
def opened(server_url, template):
    with opened_projects(server_url, template) as made:
        yield made


@pytest.fixture
def desk(opened, browser):
    desk = Desk(browser, *opened)
    yield desk
    desk.close()
    with transaction() as session:
        session.get_one(User, desk.ana).preferences = {}
    assert desk.complaints == []


def chosen(page):
    return page.evaluate("document.querySelector('[name=choice]:checked')?.value ?? null")


def change(desk, action, *keys):
    """Give an action of the open dialog another key."""
    desk.page.locator(f'[data-change="{action}"]').click()
    desk.press(*keys)


def test_her_own_keys_hold_in_every_browser(desk):
    page = desk.open("pair")
    desk.press("?")
    said = page.locator("[data-remap-said]")
    change(desk, "skip", "u")
    assert said.inner_text().startswith("U is taken by “Your last answers, to change them”.")
    for key in ("F5", "/", "5", " ", "Shift+a"):
        desk.press(key)
        assert "Press another key." in said.inner_text()
    desk.press("Control+k")
    assert "stay with the browser" in said.inner_text()
    with page.expect_response("**/preferences"):
        desk.press("z")
    assert page.locator("[data-change=skip]").evaluate("one => one === document.activeElement")
    change(desk, "source", "Escape")
    assert page.locator("[data-change=source]").inner_text() == "X"
    assert page.locator("#help-dialog").is_visible()
    with page.expect_response("**/preferences"):
        change(desk, "flag", "Backspace")
    assert page.locator("[data-change=flag]").inner_text() == "no key"
    desk.press("Escape")

    other = desk.open("four", width=1500)
    assert "Z skip" in " ".join(other.locator("[data-legend]").inner_text().split())
    desk.press("s", "f")
    assert other.locator("details[open]").count() == 0
    desk.press("z")
    assert other.locator(".skip[open]").count() == 1
    desk.press("Escape", "?")
    with other.expect_response("**/preferences"):
        other.get_by_role("button", name="Back to the usual keys").click()
    desk.press("Escape", "s")
    assert other.locator(".skip[open]").count() == 1


def test_a_key_that_is_a_digit_by_its_place_cannot_be_had(desk):
    """On a French keyboard it would give a place instead; of a pair nothing stands in its way."""
    page = desk.open("four")
    desk.press("?")
    said = page.locator("[data-remap-said]")
    for key, code, shift, why in (
        ("é", "Digit2", False, "Digits give places and ratings."),
        ("Ф", "KeyA", True, "goes to response A."),
    ):
        change(desk, "skip")
        press = {"key": key, "code": code, "shiftKey": shift}
        page.evaluate(PRESSED, press)
        assert why in said.inner_text()
        desk.press("Escape")
    change(desk, "tie")
    with page.expect_response("**/preferences"):
        page.evaluate(PRESSED, {"key": "é", "code": "Digit2"})
    assert page.locator("[data-change=tie]").inner_text() == "É"


def test_no_key_means_what_it_should_not(desk):
    page = desk.open("pair")
    for press in (
        {"key": "1", "code": "Digit1", "ctrlKey": True},
        {"key": "1", "code": "Digit1", "metaKey": True},
        {"key": "1", "code": "Digit1", "altgraph": True},
        {"key": "1", "code": "Digit1", "composing": True},
        {"key": "Dead", "code": "Digit1"},
    ):
        assert page.evaluate(PRESSED, press) is False
        assert chosen(page) is None
    # A French top row, an Arabic digit, Cyrillic and Greek letters: by the place of the key.
    assert page.evaluate(PRESSED, {"key": "&", "code": "Digit1"})
    assert chosen(page) == "A1"
    assert page.evaluate(PRESSED, {"key": "٢", "code": "Digit2"})
    assert chosen(page) == "B1"
    assert page.evaluate(PRESSED, {"key": "е", "code": "KeyT"})
    assert chosen(page) == "T"
    assert page.evaluate(PRESSED, {"key": "ς", "code": "KeyW"})
    assert page.evaluate("document.activeElement.name") == "rewrite"


def test_shift_with_a_letter_goes_to_a_response_on_any_keyboard(desk):
    page = desk.open("four")
    for key, code, place in (("C", "KeyC", "C"), ("\u0418", "KeyB", "B"), ("\u0624", "KeyC", "C")):
        assert page.evaluate(PRESSED, {"key": key, "code": code, "shiftKey": True})
        assert page.evaluate("document.activeElement.id") == f"response-{place}"


def test_without_single_keys_the_page_says_none(desk):
    page = desk.open("rated")
    desk.press("?")
    with page.expect_response("**/preferences"):
        page.get_by_label("Single keys work as shortcuts").uncheck()
    desk.press("Escape", "1", "c", "e")
    assert chosen(page) is None
    assert page.locator("[data-legend]").is_hidden()
    assert page.locator("main [data-key]:visible").count() == 0
    page.reload()
    desk.ready()
    assert page.locator("[data-legend]").is_hidden()


def test_a_choice_is_the_answer_for_who_wants_it_so(desk):
    page = desk.open("pair")
    first = desk.shown()
    desk.press("?")
    with page.expect_response("**/preferences"):
        page.get_by_label("Submit at once when I choose").check()
    desk.press("Escape", "ArrowRight", "ArrowRight")
    page.wait_for_timeout(300)
    assert desk.shown() == first  # a walk along the scale says nothing final
    with page.expect_response("**/annotation?**"):
        desk.press("0")
    page.wait_for_function(
        "id => document.querySelector('form.task')?.dataset.assignment !== id", arg=first
    )
    assert desk.kept(first)[1] == [1, 1]
    desk.ready()
    second = desk.shown()
    with page.expect_response("**/annotation?**"):
        page.locator('[name=choice][value="B3"]').click()
    row, ranks, _ = desk.kept(second)
    assert (row.strength, ranks) == (3, [2, 1])


def test_a_double_click_is_no_answer_to_the_next_task(desk):
    page = desk.open("pair")
    page.wait_for_load_state("networkidle")  # one is ahead
    first = desk.shown()
    desk.press("?")
    with page.expect_response("**/preferences"):
        page.get_by_label("Submit at once when I choose").check()
    desk.press("Escape")
    with page.expect_response("**/annotation?**"):
        page.locator('[name=choice][value="B3"]').dblclick(delay=60)
    page.wait_for_function(
        "id => document.querySelector('form.task')?.dataset.assignment !== id", arg=first
    )
    desk.ready()
    assert chosen(page) is None
    page.locator('[name=choice][value="B3"]').click(trial=True)  # a moment later it can be had


def test_arrows_scroll_a_box_that_scrolls_and_walk_elsewhere(desk):
    page = desk.open("mixed", width=700, height=500)
    page.locator(".response-text table").focus()
    desk.press("ArrowRight", "ArrowDown")
    assert page.evaluate("document.activeElement.tagName") == "TABLE"
    desk.press("Escape")
    assert page.evaluate("document.activeElement.className").startswith("response")
    before = page.evaluate("document.activeElement.id")
    desk.press("ArrowUp" if before != "response-A" else "ArrowDown")
    after = page.evaluate("document.activeElement.id")
    assert after.startswith("response-")
    assert after != before
