"""Long answers, differences, a better response, ratings, dragging: with keys, mouse and touch."""

import json

import pytest

from app.db import SessionLocal
from app.tasks.models import Assignment
from tests.annotation.reading_desk import Desk, opened_projects
from tests.axe import faults

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def opened(server_url, template):
    with opened_projects(server_url, template) as made:
        yield made


@pytest.fixture
def desk(opened, browser):
    desk = Desk(browser, *opened)
    yield desk
    desk.close()
    assert desk.complaints == []


def drag(page, label, to, *, across, hold=False):
    """Take a letter of the strip by the mouse to a place across another one (0 … 1)."""
    box = page.locator(f'[data-chip="{label}"]').bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    goal = page.locator(f'[data-chip="{to}"]').bounding_box()
    x, y = goal["x"] + goal["width"] * across, goal["y"] + goal["height"] / 2
    page.mouse.move(x, y, steps=4)
    if not hold:
        page.mouse.up()


def order(page):
    return page.locator("[data-summary]").text_content()


def test_a_better_response_is_written_kept_and_shown_again(desk):
    page = desk.open("pair")
    desk.press("e")
    page.keyboard.type("Steam it.")
    box = page.locator("textarea[name=rewrite]")
    source = page.locator("#response-B .response-text").inner_text()
    page.get_by_role("button", name="Start from B").click()
    page.wait_for_function(
        "() => document.querySelector('[name=rewrite]').value.includes('an egg')"
    )
    assert ("`code`" in box.input_value()) == ("code" in source)  # as it was written
    page.get_by_role("button", name="Bring back").click()
    assert box.input_value() == "Steam it."
    with page.expect_response("**/draft"):
        page.keyboard.type("Well: ")
    page.reload()
    desk.ready()
    assert box.input_value() == "Well: Steam it."
    first = desk.shown()
    desk.press("1")
    row, _, _ = desk.submit()
    assert row.rewrite == "Well: Steam it."
    page.goto(page.url + "/history")
    desk.see("with a better one")
    page.goto(f"{desk.address}/assignments/{first}")
    assert box.input_value() == "Well: Steam it."


def test_what_is_cut_off_where_she_pastes_is_told(desk):
    page = desk.open("pair")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('line\\r\\n'.repeat(2001))")  # as Windows copies
    desk.press("r", "Control+v")
    page.get_by_text("The last 5 of what you put in are left out.").wait_for()
    assert page.locator("textarea[name=rationale]").input_value() == "line\n" * 2000


def test_her_texts_are_the_same_without_javascript(desk):
    page = desk.open("pair", java_script_enabled=False)
    page.locator("[name=choice][value=T]").check()
    for name in ("rationale", "rewrite"):
        page.locator(f".{name} > summary").click()
        page.locator(f"[name={name}]").fill("\n\n  one\ntwo")
    shown = desk.shown()
    page.locator("[data-submit]").click()
    desk.until(lambda: desk.shown() != shown)
    row, _, _ = desk.kept(shown)
    assert row.rationale == row.rewrite == "\n\n  one\ntwo"
    page.goto(f"{desk.address}/assignments/{shown}")
    assert page.locator("[name=rewrite]").input_value() == "\n\n  one\ntwo"


def test_enter_without_javascript_does_what_it_is_pressed_for(desk):
    page = desk.open("pair", java_script_enabled=False)
    for answer, state in (("[name=choice][value=T]", "submitted"), ("[name=note]", "skipped")):
        shown = desk.shown()
        if state == "skipped":
            page.locator(".skip > summary").click()
            page.get_by_label("The prompt is unclear").check()
        page.locator(answer).click()
        desk.press("Enter")
        desk.until(lambda before=shown: desk.shown() != before)
        with SessionLocal() as session:
            assert session.get_one(Assignment, shown).state == state


def test_her_own_words_come_back_after_any_number_of_copies(desk):
    page = desk.open("pair")
    desk.press("e")
    page.keyboard.type("Steam it.")
    box = page.locator("textarea[name=rewrite]")
    for letter in "AB":
        before = box.input_value()
        page.get_by_role("button", name=f"Start from {letter}").click()
        desk.until(lambda before=before: box.input_value() != before)
    back = page.get_by_role("button", name="Bring back")
    back.click()
    assert box.input_value() == "Steam it."
    assert back.is_hidden()
    page.get_by_role("button", name="Start from A").click()
    back.wait_for()
    page.keyboard.type("Well: ")  # this is hers as well
    mixed = box.input_value()
    page.get_by_role("button", name="Start from B").click()
    desk.until(lambda: box.input_value() != mixed)
    back.click()
    assert box.input_value() == mixed


def test_ratings_are_given_by_digits_and_are_optional(desk):
    page = desk.open("rated")
    rated = page.locator("[data-rated]")
    assert "0 of 6 rated" in rated.inner_text()
    desk.press("1", "c", "4", "5")
    assert "2 of 6 rated" in rated.inner_text()
    assert page.locator("input[name=choice]:checked").get_attribute("value") == "A1"
    desk.press("0", "3", "3", "Escape", "c", "2")
    assert rated.inner_text().startswith("All rated")
    desk.press("Backspace")
    assert "5 of 6 rated" in rated.inner_text()
    _, ranks, ratings = desk.submit()
    assert ranks == [1, 2]
    assert ratings == {"help": [4, 3], "truth": [5, 3], "style": [0, None]}


def test_ratings_of_several_leave_the_places_alone(desk):
    page = desk.open("rated five")
    desk.press("2", "1", "3", "4", "5")
    assert order(page) == "B  >  A  >  C  >  D  >  E"
    desk.press("Shift+C", "Backspace")
    assert page.evaluate("document.activeElement.id") == "response-C"
    assert page.locator("[data-summary]").text_content().endswith("still without a place: C")
    desk.press("3", "Shift+C")
    page.locator("[data-rated]").click()
    for _ in range(5):
        desk.press("5", "1", "3")
    assert page.locator("[data-rated]").inner_text().startswith("All rated")
    assert order(page) == "B  >  A  >  C  >  D  >  E"
    _, ranks, ratings = desk.submit()
    assert ranks == [2, 1, 3, 4, 5]
    assert ratings == {"help": [5] * 5, "truth": [1] * 5, "style": [3] * 5}


def test_wide_scales_are_numbers(desk):
    page = desk.open("wide")
    desk.press("c")
    page.keyboard.type("87")
    desk.press("Enter", "ArrowRight")  # on to the next rating, not to the next task
    desk.press("c")
    page.keyboard.type("12")
    desk.press("Escape", "2")
    _, ranks, ratings = desk.submit()
    assert ranks == [2, 1]
    assert ratings["quality"] == [87, 12]
    assert ratings["tone"][0] in {-1, -2}


def test_a_number_that_is_none_is_not_left_out_unseen(desk):
    page = desk.open("wide")
    desk.press("1")
    box = page.locator(".rating-number").first
    for wrong in ("4e", "150"):
        box.fill("")
        box.focus()
        page.keyboard.type(wrong)
        desk.press("Escape", "Enter")
        assert box.evaluate("box => box === document.activeElement")
    box.fill("15")
    desk.press("Escape")
    assert desk.submit()[2]["quality"][0] == 15


def test_the_wheel_scrolls_and_changes_no_rating(desk):
    page = desk.open("wide", height=400)
    box = page.locator(".rating-number").first
    box.fill("87")
    over = box.bounding_box()
    page.mouse.move(over["x"] + 10, over["y"] + 10)
    page.mouse.wheel(0, 60)
    desk.until(lambda: box.bounding_box()["y"] < over["y"] - 30)
    assert box.input_value() == "87"


def test_half_a_number_keeps_no_draft_from_being_saved(desk):
    page = desk.open("wide")
    page.locator(".rating-number").first.fill("3.5")
    desk.press("Escape", "r")
    with page.expect_response("**/draft") as saved:
        page.keyboard.type("Because it is soft")
    assert saved.value.ok
    page.reload()
    desk.ready()
    assert page.locator("textarea[name=rationale]").input_value() == "Because it is soft"


def test_letters_are_dragged_into_order(desk):
    page = desk.open("four")
    desk.press("1", "2", "3")
    drag(page, "C", "A", across=0.05)
    assert order(page).startswith("C  >  A  >  B")
    drag(page, "D", "A", across=0.5)
    assert order(page) == "C  >  A = D  >  B"
    drag(page, "B", "C", across=0.05, hold=True)
    assert page.locator("[data-drop=before]").count() == 1
    desk.press("Escape")
    page.mouse.up()
    assert order(page) == "C  >  A = D  >  B"
    page.locator('[data-chip="B"]').click()
    assert page.evaluate("document.activeElement.id") == "response-B"
    desk.press("1")
    assert page.locator(".strip-group").first.inner_text().split() == ["B", "=", "C"]
    _, ranks, _ = desk.submit()
    assert ranks == [3, 1, 1, 3]


def test_a_letter_let_go_far_away_is_not_dragged_on(desk):
    page = desk.open("four")
    desk.press("1", "2", "3")
    before = order(page)
    box = page.locator('[data-chip="A"]').bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, 5)  # at once, as a fast hand does
    page.mouse.up()
    box = page.locator('[data-chip="C"]').bounding_box()
    for step in (1, 20):
        page.mouse.move(box["x"] + step, box["y"] + 5)
    assert page.locator(".is-dragged").count() == 0
    page.mouse.down()
    page.mouse.up()
    assert order(page) == before
    assert page.evaluate("document.activeElement.id") == "response-C"


def test_a_second_finger_does_not_let_go_of_a_letter(desk):
    page = desk.open("four")
    desk.press("1", "2", "3")
    drag(page, "C", "A", across=0.05, hold=True)
    for kind in ("pointerdown", "pointerup"):
        page.locator('[data-chip="B"]').dispatch_event(
            kind, {"pointerId": 77, "pointerType": "touch", "isPrimary": False}
        )
    assert page.locator(".is-dragged").inner_text() == "C"
    assert order(page).startswith("A  >  B  >  C")
    page.mouse.up()
    assert order(page).startswith("C  >  A  >  B")


def test_letters_are_dragged_by_touch(desk):
    page = desk.open("ten", width=390, height=844, has_touch=True, is_mobile=True)
    touch = page.context.new_cdp_session(page)

    def at(label, across):
        box = page.locator(f'[data-chip="{label}"]').bounding_box()
        return {"x": box["x"] + box["width"] * across, "y": box["y"] + box["height"] / 2}

    def move(start, end):
        send = "Input.dispatchTouchEvent"
        touch.send(send, {"type": "touchStart", "touchPoints": [start]})
        for step in (0.3, 0.7, 1):
            point = {axis: start[axis] + (end[axis] - start[axis]) * step for axis in "xy"}
            touch.send(send, {"type": "touchMove", "touchPoints": [point]})
        touch.send(send, {"type": "touchEnd", "touchPoints": []})

    page.locator(".reading > summary").tap()
    page.locator(".reading [value=source]").tap()
    page.locator(".as-written").first.wait_for()
    page.locator("#response-A .place").first.tap()
    assert order(page).startswith("A  ·")
    move(at("J", 0.5), at("A", 0.02))
    assert order(page).startswith("J  >  A  ·")


def test_long_responses_get_one_height_and_scroll_together(desk):
    page = desk.open("long")
    heights = "[...document.querySelectorAll('.response-text')].map(each => each.clientHeight)"
    tops = "[...document.querySelectorAll('.response-text')].map(each => each.scrollTop)"
    cut = page.evaluate(heights)
    assert cut[0] == cut[1] < 500
    for label in "AB":
        page.get_by_role("group", name=f"Text of response {label}").wait_for()
    desk.press("y")
    part = "document.querySelectorAll('.response-text')[0].querySelectorAll('h2')[2]"
    page.evaluate(f"{part}.scrollIntoView()")
    page.wait_for_function(f"() => ({tops})[1] > 0")
    page.evaluate("document.querySelectorAll('.response-text')[1].scrollTo(0, 99999)")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.response-text')].every("
        "each => each.scrollTop + each.clientHeight > each.scrollHeight - 3)"
    )
    desk.press("v")
    assert min(page.evaluate(heights)) > 500
    desk.press("l", "m")
    boxes = [page.locator(f"#response-{label}").bounding_box() for label in "AB"]
    assert boxes[0]["x"] == boxes[1]["x"]
    page.reload()
    desk.ready()
    assert page.locator("[data-work]").get_attribute("class").split() == ["is-stacked", "is-mono"]
    kept = desk.storage()
    assert set(json.loads(kept.pop("touchstone.reading"))) == {"stacked", "all", "together", "mono"}
    assert kept == {}


def test_differences_and_sources_are_shown_on_demand_and_leave_no_trace(desk):
    page = desk.open("pair")
    texts = "[...document.querySelectorAll('.response-text')].map(each => each.innerHTML)"
    before = page.evaluate(texts)
    desk.press("d")
    page.locator(".response-text ins").first.wait_for()
    desk.see("Underlined words stand in that response only.")
    marked = page.locator(".response-text ins").all_inner_texts()
    assert "boil" in marked
    desk.press("x")
    page.locator(".as-written:not(.as-compared)", has_text="`code`").wait_for()
    assert page.locator(".response-text ins").count() == 0
    desk.press("x")
    page.wait_for_function(f"before => ({texts}).join() === before.join()", arg=before)
    desk.press("d")
    page.locator(".response-text ins").first.wait_for()
    desk.press("1")
    desk.submit()
    assert page.locator(".response-text ins").count() == 0  # it does not go on to the next task


def test_of_several_the_one_with_the_focus_is_compared(desk):
    page = desk.open("four")
    desk.press("Shift+C", "d")
    desk.see("Compared with C")
    assert page.locator("#response-C ins, #response-C del").count() == 0
    assert page.locator("#response-A ins").count() > 0


def test_words_in_a_table_stay_whole(desk):
    page = desk.open("mixed", width=900)
    lines = page.locator(".response-text td").evaluate_all(
        """cells => cells.map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return range.getClientRects().length;
        })"""
    )
    assert lines == [1] * 14


def test_texts_run_their_own_way(desk):
    page = desk.open("mixed")
    hebrew = page.locator(".response-text", has_text="שלום")
    directions = hebrew.evaluate(
        "each => ['p', 'li', 'p:last-of-type'].map(name => {"
        " const part = each.querySelector(name), range = document.createRange();"
        " range.selectNodeContents(part); const text = range.getBoundingClientRect();"
        " const box = part.getBoundingClientRect();"
        " return box.right - text.right < text.left - box.left; })"
    )
    assert directions == [True, True, False]
    assert hebrew.locator(".invisible-mark").inner_text() == "RLO"
    talk = page.locator(".response-text", has_text="That is all.")
    assert talk.locator(".turn-role").all_inner_texts() == ["Assistant", "User", "Assistant"]
    desk.see("(an empty response)")
    assert page.locator(".response-text[lang=he]").count() == 4


COVERED = """() => {
  const one = document.activeElement;
  if (one === document.body || one.closest(".topbar, .tabs, .skip-link")) return "";
  const seen = (one.matches("input") && one.closest("label")) || one;
  for (const box of seen.getClientRects()) {
    const left = Math.max(box.left, 0), right = Math.min(box.right, innerWidth);
    const top = Math.max(box.top, 0), bottom = Math.min(box.bottom, innerHeight);
    for (const [x, y] of [[0.5, 0.5], [0.5, 0.1], [0.5, 0.9], [0.1, 0.5]]) {
      const on = document.elementFromPoint(left + (right - left) * x, top + (bottom - top) * y);
      if (on && (seen.contains(on) || on.contains(seen))) return "";
    }
  }
  return seen.outerHTML.slice(0, 120);
}"""


@pytest.mark.parametrize(
    ("width", "height", "name"),
    [(1280, 700, "rated five"), (390, 800, "rated five"), (640, 350, "long"), (1280, 700, "long")],
)
def test_what_has_the_focus_is_never_covered(desk, width, height, name):
    page = desk.open(name, width=width, height=height)
    page.evaluate("document.querySelector('[data-work]').focus()")
    seen, covered = 0, []
    for key in ("Tab", "Shift+Tab"):
        for _ in range(70):
            desk.press(key)
            if page.evaluate("document.activeElement.matches('body, .brand, [data-submit]')"):
                break
            seen += 1
            covered += [page.evaluate(COVERED)]
    assert seen > 12
    assert [each for each in covered if each] == []


SMALL = """() => [...document.querySelectorAll(
  "main button, main summary, main a, main input, dialog button")].filter((each) => {
  const box = (each.closest("label") ?? each).getBoundingClientRect();
  const isInText = each.matches(".prose a");
  return box.width && !isInText && (box.width < 24 || box.height < 24);
}).map((each) => each.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("name", ["mixed", "rated five", "ten", "wide"])
def test_at_320_pixels_nothing_is_cut_off_or_too_small(desk, name):
    page = desk.open(name, width=320, height=640, has_touch=True, is_mobile=True)
    assert page.evaluate("Math.max(document.documentElement.scrollWidth, innerWidth)") == 320
    for panel in (".skip", ".words details:nth-child(2)", ".reading"):
        page.locator(f"{panel} > summary").tap()
        assert page.evaluate("Math.max(document.documentElement.scrollWidth, innerWidth)") == 320
        if panel == ".skip":
            box = page.locator(".skip-panel").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 320
            desk.press("Escape")
    assert page.evaluate(SMALL) == []
    panel = page.locator(".reading-panel").bounding_box()
    assert panel["x"] >= 0
    assert panel["x"] + panel["width"] <= 320


def test_at_400_percent_the_text_is_read_over_the_whole_window(desk):
    page = desk.open("ten", width=320, height=256)
    page.locator("#response-E").focus()
    desk.until(lambda: page.locator("#response-E .response-text").bounding_box()["y"] > 0)
    assert not page.locator(".decision").evaluate(
        "bar => bar.getBoundingClientRect().top < innerHeight"
    )


def test_nothing_stands_in_the_way_of_assistive_technology(desk):
    page = desk.open("rated again", color_scheme="dark")
    desk.press("2", "1", "3", "d")
    page.locator(".response-text ins").first.wait_for()
    page.locator("#response-A .flags, .words details").evaluate_all(
        "all => all.forEach(each => (each.open = true))"
    )
    assert faults(page) == []
    desk.press("Escape", "Escape", "?")
    assert faults(page) == []
