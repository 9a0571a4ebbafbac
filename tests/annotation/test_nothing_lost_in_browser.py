"""What can go wrong between an answer and the server, in a real browser: nothing is ever lost."""

import json

import pytest
from sqlalchemy import select

from app.db import SessionLocal, transaction
from app.projects.models import Guidelines, Project
from app.tasks.models import Assignment
from tests.annotation.desk import ANSWER, answer_once
from tests.factories import make_task

pytestmark = pytest.mark.browser


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_who_goes_on_working_stays_on_the_page(desk):
    page = desk.start()
    first = desk.shown()
    desk.context.set_offline(True)
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    desk.press("u")
    desk.see("The next page opens as soon as your answers are sent")
    desk.press("1", "2", "3", "4", "Enter")
    desk.see("2 waiting to be sent, then the next task comes")
    desk.context.set_offline(False)
    desk.wait_for_judgements(2)
    desk.see("Pair")
    desk.ready()
    assert page.url == desk.rank


def test_a_browser_without_storage_is_worked_in_as_well(desk):
    desk.page.add_init_script(
        """const get = () => { throw new DOMException("", "SecurityError"); };
        for (const name of ["localStorage", "sessionStorage"]) {
          Object.defineProperty(window, name, { get });
        }
        LockManager.prototype.request = async () => get();"""
    )
    desk.start()
    first = desk.shown()
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    desk.wait_for_judgements(1)
    assert desk.complaints == []


def test_a_busy_server_is_asked_again_when_it_says_so(desk):
    page = desk.page
    page.clock.install()
    desk.start()
    unwell = answer_once(page, status=503)
    desk.press("1", "Enter")
    desk.see("1 waiting to be sent")
    busy = answer_once(page, status=429, headers={"Retry-After": "60"})
    with page.expect_response(lambda reply: reply.status == 429):
        desk.until(lambda: page.clock.fast_forward(2_000) or busy)
    assert (len(unwell), busy) == (1, unwell)  # asked again under the same key
    page.wait_for_timeout(300)
    page.clock.fast_forward(40_000)
    page.wait_for_timeout(300)
    assert desk.judgements() == []
    assert len(desk.until(lambda: page.clock.fast_forward(21_000) or desk.judgements())) == 1
    page.get_by_text("waiting to be sent").wait_for(state="hidden")


def lose_one_reply(page):
    """The next answer reaches the server, and what the server says to it never arrives."""
    cut_off = []

    def lose(route):
        if route.request.method != "PUT" or cut_off:
            route.continue_()
            return
        cut_off.append(route.fetch())
        route.abort()

    page.route(ANSWER, lose)


def open_a_change(desk):
    """She judges the first task, and opens that answer again."""
    page = desk.start()
    desk.press("1", "Enter")
    desk.wait_for_judgements(1)
    page.goto(f"{desk.rank}/history")
    page.get_by_role("link", name="Change").click()
    page.locator("form.task[data-ready]").wait_for()
    return page


def test_a_change_whose_reply_was_lost_can_be_changed_again(desk):
    page = open_a_change(desk)
    lose_one_reply(page)
    desk.press("0", "Enter")
    desk.see("The server did not answer")
    desk.press("2", "Enter")
    dialog = page.get_by_role("dialog", name="You have answered this task already")
    dialog.get_by_role("button", name="Take the one I just gave").click()
    page.wait_for_url("**/rank/history")
    (stands,) = [each for each in desk.judgements() if each.is_current]
    assert stands.ranks != [1, 1]


def test_a_change_whose_reply_was_lost_is_not_another_one_when_it_is_sent_again(desk):
    page = open_a_change(desk)
    lose_one_reply(page)
    desk.press("0", "Enter")
    desk.see("The server did not answer")
    desk.press("Enter")
    page.wait_for_url("**/rank/history")  # she need not choose between two that say the same
    assert sorted(each.revision for each in desk.judgements()) == [1, 2]


def test_the_browser_asks_before_a_change_that_is_not_saved_goes(desk):
    page = open_a_change(desk)
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.type) or dialog.dismiss())
    desk.think("A long and thoughtful reason")
    page.get_by_role("link", name="My progress").click()
    assert desk.until(lambda: asked) == ["beforeunload"]
    page.get_by_role("button", name="Save the change").click()
    page.wait_for_url("**/rank/history")
    page.get_by_role("link", name="Change").click()
    page.locator("form.task[data-ready]").wait_for()
    assert page.locator("textarea[name=rationale]").input_value() == "A long and thoughtful reason"
    desk.press("2", "s")
    page.get_by_role("link", name="Back without changing").click()
    page.wait_for_url("**/rank/history")
    assert asked == ["beforeunload"]


def test_what_is_on_its_way_does_not_change_any_more(desk):
    page = desk.start()
    for key, shown in (("1", "Which egg?"), ("4", "Four greetings")):
        desk.see(shown)
        page.locator("form.task[data-ready]").wait_for()
        desk.context.set_offline(True)
        desk.press(key, *("123" if key == "4" else ""), "Enter")
    desk.see("2 waiting to be sent, then the next task comes")
    order = page.locator("[data-summary]")
    said = order.inner_text()
    page.mouse.click(*middle(page.locator("input[name=rank_D][value='4']")))
    assert order.inner_text() == said
    desk.context.set_offline(False)
    desk.see("Pair")
    desk.ready()
    desk.press("2", "Enter")  # the new one can be judged
    desk.wait_for_judgements(3)


def test_an_answer_the_server_stumbles_over_does_not_hold_up_the_others(desk):
    page = desk.page
    page.clock.install()
    desk.start()
    first = desk.shown()
    fault = json.dumps({"detail": "Something went wrong."})
    page.route(
        f"**/api/v1/assignments/{first}/annotation*",
        lambda route: route.fulfill(status=500, body=fault),
    )
    desk.press("1", "Enter")
    desk.see("1 waiting to be sent")
    desk.see("Four greetings")
    page.locator("form.task[data-ready]").wait_for()
    desk.press("1", "2", "3", "4", "Enter")
    judged = desk.until(lambda: page.clock.fast_forward(40_000) or desk.judgements())
    assert [len(each.ranks) for each in judged] == [4]
    desk.until(lambda: desk.kept() == 1)


def test_signing_out_sends_first_and_then_erases(desk):
    page = desk.start()
    desk.context.set_offline(True)
    desk.press("1", "Enter")
    desk.see("1 waiting to be sent")
    page.get_by_role("button", name="Sign out", exact=True).click()
    desk.see("Signing out erases what this browser keeps")
    desk.context.set_offline(False)
    assert len(desk.wait_for_judgements(1)) == 1
    desk.ready()
    desk.think("A secret thought")
    page.evaluate("localStorage.setItem('anything', 'else')")
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url("**/sign-in")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    with SessionLocal() as session:
        drafts = session.scalars(select(Assignment.draft).where(Assignment.user_id == desk.ana))
        assert {"rationale": "A secret thought"} in list(drafts)


def test_after_a_working_day_the_browser_keeps_nothing_of_what_was_read(desk):
    page = desk.start()
    desk.think("Because it is soft")
    first = desk.shown()
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    desk.context.set_offline(True)
    desk.press("r")
    page.keyboard.type("Kindly put")
    desk.press("Escape")
    page.locator("#response-A").focus()
    desk.press("1", "2", "3", "4", "Enter")
    desk.see("1 waiting to be sent")
    kept = page.evaluate(
        """async () => JSON.stringify([
          {...localStorage}, {...sessionStorage}, await indexedDB.databases(), await caches.keys(),
        ])"""
    )
    for text in ("egg", "greetings", "soft", "Kindly", "ana@example.org"):
        assert text not in kept
    stored, _, databases, caches = json.loads(kept)
    (waiting,) = [json.loads(stored[key]) for key in stored if "queue" in key]
    assert set(waiting) == {"key", "assignment", "at", "draft", "tab", "body"}
    assert set(waiting["body"]) == {"ranking", "times", "from_draft", "rewrite"}
    assert waiting["body"]["rewrite"] == ""
    assert (databases, caches) == ([], [])
    desk.context.set_offline(False)
    desk.wait_for_judgements(2)


BURST = """async (rounds) => {
  const pressed = [];
  for (let turn = 0; turn < rounds; turn += 1) {
    for (const key of ["1", "Enter"]) {
      const form = document.querySelector("form.task");
      pressed.push([key, form.dataset.assignment, Boolean(form.dataset.ready)]);
      const press = { key, bubbles: true, cancelable: true };
      document.body.dispatchEvent(new KeyboardEvent("keydown", press));
    }
    if (turn % 3 === 0) await new Promise((resolve) => setTimeout(resolve, turn % 40));
  }
  return pressed;
}"""


def test_a_burst_of_keys_judges_only_what_was_on_the_screen(desk):
    with transaction() as session:  # more than a burst can judge: at the end the page is left
        project = session.scalars(select(Project).where(Project.name == "Kitchen help")).one()
        for number in range(60):
            make_task(session, project, prompt=f"One more {number}", responses=["x", "y"])
    page = desk.start()
    first = desk.shown()
    desk.press("1", "Enter")
    desk.see("Four greetings")
    desk.ready()
    desk.press("1", "2", "3", "4", "Enter")  # then come pairs
    page.locator("form.task-pair[data-ready]").wait_for()
    pressed = []

    def several_are_judged():  # of a burst, a slow page takes little
        pressed.extend(page.evaluate(BURST, 60))
        return sum(len(each.ranks) == 2 for each in desk.judgements()) > 3

    desk.until(several_are_judged)
    alive = {}
    for key, assignment, is_painted in pressed:
        if is_painted:
            alive.setdefault(assignment, set()).add(key)
    meant = {assignment for assignment, keys in alive.items() if keys == {"1", "Enter"}}
    page.get_by_text("waiting to be sent").wait_for(state="hidden")
    page.wait_for_timeout(500)
    judged = {str(each.assignment_id) for each in desk.judgements()}
    assert len(judged) == len(desk.judgements())  # none twice
    pairs = {str(each.assignment_id) for each in desk.judgements() if len(each.ranks) == 2}
    assert pairs <= meant | {first}


def test_new_guidelines_are_read_before_the_next_task(desk):
    page = desk.start()
    first = desk.shown()
    with transaction() as session:
        project = session.scalars(select(Project).where(Project.name == "Kitchen help")).one()
        project.guidelines_version = 2
        text = "Prefer the better one.\n\nAn egg is never hard."
        session.add(Guidelines(project_id=project.id, version=2, text=text))
    desk.press("1")
    page.wait_for_timeout(2_100)  # she has been at it: the task is finished as it was begun
    desk.press("Enter")
    page.wait_for_url("**/guidelines")
    desk.see("An egg is never hard.")
    desk.see("since you read version 1")
    assert [each.guidelines_version for each in desk.wait_for_judgements(1)] == [1]
    page.get_by_role("button", name="I have read them").click()
    desk.ready()
    assert desk.shown() != first
    desk.press("1", "2", "3", "4", "Enter")
    versions = {each.guidelines_version for each in desk.wait_for_judgements(2)}
    assert versions == {1, 2}


def the_next_comes_without_a_network(desk):
    second = desk.shown()
    desk.context.set_offline(True)
    desk.press("1", "2", "3", "4", "Enter")
    desk.another_is_shown(second)


def test_one_task_is_always_ahead(desk):
    desk.start()
    first = desk.shown()
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    the_next_comes_without_a_network(desk)


def test_after_a_task_that_had_to_be_waited_for_one_is_ahead_again(desk):
    page = desk.page
    page.goto(desk.rank)
    page.route("**/assignments?html=true", lambda route: route.abort())
    page.get_by_role("button", name="Start ranking").click()
    page.locator("form.task[data-ready]").wait_for()
    page.unroute("**/assignments?html=true")
    first = desk.shown()
    with page.expect_response("**/assignments?html=true") as ahead:
        desk.press("1", "Enter")
    ahead.value.finished()
    desk.another_is_shown(first)
    the_next_comes_without_a_network(desk)
