"""Honest time: what the clocks count, the pause that stops them, and a word about breaks."""

import pytest
from sqlalchemy import func, select, update

from app.db import SessionLocal, transaction
from app.tasks.models import Assignment, AssignmentState

pytestmark = pytest.mark.browser

STOPWATCH = """async () => {
  const { Stopwatch } = await import("/static/js/annotate-clock.js");
  window.watch = new Stopwatch(WORDS);
  window.shows = (hidden) => {
    Object.defineProperty(document, "hidden", { value: !hidden === false, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  };
}"""


@pytest.fixture
def watch(desk):
    """A stopwatch on a blank page of ours, under a clock that only the test moves."""
    page = desk.page
    page.clock.install(time=0)
    page.goto(f"{desk.address}/sign-in?next=/account")
    page.clock.pause_at(60_000)

    def start(words=10):
        page.evaluate(STOPWATCH.replace("WORDS", str(words)))

    def after(seconds, *, sign=False, hidden=None):
        page.clock.run_for(1000 * seconds)
        if sign:
            page.evaluate("dispatchEvent(new Event('pointermove'))")
        if hidden is not None:
            page.evaluate("hidden => window.shows(hidden)", hidden)

    def times():
        told = page.evaluate("window.watch.times()")
        return tuple(round(told[name] / 1000) for name in ("wall_ms", "visible_ms", "active_ms"))

    watch = type("Watch", (), {"page": page})
    watch.start, watch.after, watch.times = map(staticmethod, (start, after, times))
    return watch


def test_reading_without_a_touch_counts_as_long_as_reading_takes(watch):
    watch.start(words=10)  # patience: a minute
    watch.after(50, sign=True)
    watch.after(40, sign=True)
    assert watch.times() == (90, 90, 90)
    watch.after(300)
    assert watch.times() == (390, 390, 150)

    watch.start(words=500)  # patience: five minutes
    watch.after(290)
    assert watch.times() == (290, 290, 290)


def test_a_hidden_page_is_no_work(watch):
    watch.start()
    watch.after(20, hidden=True)
    watch.after(100, hidden=False)
    watch.after(10)
    assert watch.times() == (130, 30, 30)


def test_a_pause_stops_both_clocks_and_signs_in_it_count_nothing(watch):
    watch.start()
    watch.after(20)
    watch.page.evaluate("window.watch.pause()")
    watch.after(10, sign=True)
    watch.after(10, hidden=True)
    watch.after(10, hidden=False)
    watch.page.evaluate("window.watch.resume()")
    watch.after(5)
    assert watch.times() == (55, 25, 25)


def test_a_task_fetched_ahead_has_no_time_before_it_is_painted(watch):
    watch.start()
    watch.after(30)
    watch.page.evaluate("window.watch.start()")
    watch.after(2)
    assert watch.times() == (2, 2, 2)


def leave_alone(page):
    """Nobody is there for a minute, after the browser's own last events of what was done."""
    overlay = page.get_by_role("dialog", name="Still working?")
    for _ in range(100):
        page.clock.fast_forward(61_000)
        page.wait_for_timeout(100)
        if overlay.is_visible():
            return overlay
    pytest.fail("nothing asked whether anybody is there")


def test_nobody_there_stops_the_clock_and_a_key_only_goes_on(desk):
    page = desk.page
    page.clock.install()
    desk.start()
    first = desk.shown()
    desk.press("1")
    with page.expect_response("**/release"):  # what was fetched ahead is for the others meanwhile
        overlay = leave_alone(page)
    desk.see("The clock of this task has stopped at ")
    said = overlay.inner_text()
    page.clock.fast_forward("02:00")
    assert overlay.inner_text() == said
    desk.press("Enter")  # would hand in
    overlay.wait_for(state="hidden")
    assert desk.shown() == first
    assert desk.judgements() == []
    leave_alone(page)
    desk.press("2")  # would choose B
    overlay.wait_for(state="hidden")
    assert page.locator("input[name=choice]:checked").get_attribute("value")[0] == "A"
    leave_alone(page)
    box = page.get_by_role("button", name="Submit", include_hidden=True).bounding_box()
    page.mouse.dblclick(box["x"] + 5, box["y"] + 5)  # the button lies under the overlay
    overlay.wait_for(state="hidden")
    page.wait_for_timeout(100)
    assert desk.judgements() == []
    page.clock.fast_forward(1_000)
    page.get_by_role("button", name="Submit").click()
    assert len(desk.wait_for_judgements(1)) == 1


LEASE = """async () => {
  const { Lease } = await import("/static/js/annotate-clock.js");
  window.asked = 0;
  const renew = async () => {
    window.asked += 1;
    throw { status: 0 };
  };
  const times = { secondsLeft: 590, leaseSeconds: 1800 };
  window.lease = new Lease({ ...times, isActive: () => true, show() {}, renew });
}"""


def test_who_cannot_prolong_a_lease_asks_ever_more_seldom(desk):
    page = desk.page
    page.clock.install(time=0)
    page.goto(f"{desk.address}/sign-in?next=/account")
    page.clock.pause_at(60_000)
    page.evaluate(LEASE)
    page.clock.run_for(120_000)
    asked = page.evaluate("window.asked")
    assert 1 < asked < 10
    page.evaluate("window.lease.askAnew()")  # she is back
    page.clock.run_for(2_000)
    assert page.evaluate("window.asked") > asked


def test_what_was_ahead_for_too_long_is_claimed_anew(desk):
    page = desk.page
    page.clock.install()
    desk.start()
    first = desk.shown()
    for _ in range(38):  # at it all the time
        page.clock.fast_forward(50_000)
        desk.press("Shift")
    desk.press("1", "Enter")
    desk.another_is_shown(first)
    assert int(page.locator("form.task").get_attribute("data-seconds-left")) > 0
    page.clock.fast_forward(2_000)
    assert not page.get_by_text("The time for this task has run out").is_visible()


def test_a_task_whose_time_is_over_says_so_and_breaks_nothing(desk):
    page = desk.start()
    with transaction() as session:
        session.execute(update(Assignment).values(leased_until=func.now()))
    page.goto(f"{desk.address}/assignments/{desk.shown()}")
    desk.ready()
    desk.see("The time for this task has run out")
    assert desk.complaints == []


def open_tasks(desk):
    with SessionLocal() as session:
        return session.scalar(
            select(func.count()).where(
                Assignment.user_id == desk.ana, Assignment.state == AssignmentState.OPEN
            )
        )


def test_a_machine_that_slept_says_that_the_time_is_over(desk):
    page = desk.start()
    # The clock of the page stands still meanwhile, as it does on most systems.
    page.evaluate("(now => (Date.now = () => now() + 3_600_000))(Date.now)")
    desk.see("The time for this task has run out")
    desk.press("p")
    page.get_by_role("dialog").get_by_text("The time for this task has run out").wait_for()


def test_a_break_stops_the_clock_and_gives_back_what_was_fetched_ahead(desk):
    page = desk.page
    page.clock.install()
    desk.start()
    shown = desk.shown()
    assert open_tasks(desk) == 2
    with page.expect_response("**/release"):
        desk.press("p")
    overlay = page.get_by_role("dialog", name="You are on a break")
    assert "The task stays yours until" in overlay.inner_text()
    assert open_tasks(desk) == 1
    page.clock.fast_forward("21:00")  # no lease is renewed for somebody who is away
    with SessionLocal() as session:
        assert session.get(Assignment, shown).renewals == 0
    page.clock.fast_forward("10:00")
    told = overlay.locator("[data-pause-lease]")
    told.get_by_text("The time for this task has run out").wait_for()
    desk.press("Alt", "Control+c", "Meta")  # on the way to another window
    assert overlay.is_visible()
    with page.expect_response("**/assignments?html=true"):
        desk.press("1")
    overlay.wait_for(state="hidden")
    assert page.locator("input[name=choice]:checked").count() == 0
    desk.press("1", "Enter")
    (judgement,) = desk.wait_for_judgements(1)
    assert judgement.active_ms < 60_000
    assert desk.complaints == []


def test_a_clock_that_is_put_back_takes_nothing_from_a_stretch(desk):
    page = desk.page
    page.clock.install(time=7_200_000)
    page.goto(f"{desk.address}/sign-in?next=/account")
    page.clock.pause_at(7_260_000)
    page.evaluate(
        """async () => {
          const { Breaks } = await import("/static/js/annotate-breaks.js");
          const show = (minutes) => (window.told = minutes);
          new Breaks({ after: 3, isAtIt: () => true, show, hide() {} });
        }"""
    )
    page.clock.run_for(120_000)
    page.clock.set_system_time(3_600_000)
    page.clock.run_for(90_000)
    assert page.evaluate("window.told") == 3


def test_a_long_stretch_brings_a_word_that_blocks_nothing(desk):
    page = desk.page
    page.clock.install()
    desk.start()
    page.evaluate(
        "sessionStorage.setItem('touchstone.stretch', STATE)".replace(
            "STATE", "JSON.stringify({ stretch: 50 * 60000 - 20000, seen: Date.now() })"
        )
    )
    page.reload()
    desk.ready()
    word = page.get_by_text("You have been at it for 50 minutes")
    page.clock.run_for(10_000)
    assert word.count() == 0
    page.clock.run_for(20_000)
    word.wait_for()
    assert page.locator("[role=status][data-break]").is_visible()
    desk.press("1")
    assert page.locator("input[name=choice]:checked").count() == 1
    page.get_by_role("button", name="Not now").click()
    word.wait_for(state="hidden")


def test_who_wants_no_word_gets_none(desk):
    page = desk.page
    page.goto(f"{desk.address}/account")
    page.get_by_label("A word about a break").select_option("0")
    page.locator("form[action='/account/breaks'] button").click()
    page.get_by_text("Saved.").wait_for()
    desk.start()
    assert page.locator("[data-work]").get_attribute("data-break-after") == "0"
