"""“Agreement fell on Tuesday”: to the day, the person, the tasks and the guideline paragraph.

In Chromium, with a planted fault: four clicks or fewer, by mouse in the chart and by keyboard.
"""

import pytest

from app.accounts import service as accounts
from app.db import database_now, transaction
from app.web.protection import SESSION_COOKIE
from tests.quality.planted import plant

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

# Where Plotly has drawn the dot of a day, in the window.
PLACE_OF_DAY = """(day) => {
  const chart = document.querySelector('[data-chart="agreement"]');
  chart.scrollIntoView({ block: "center" });
  const { xaxis, yaxis } = chart._fullLayout;
  const trace = chart.data.find((each) => each.customdata?.includes(day) && each.error_y);
  const box = chart.getBoundingClientRect();
  const y = trace.y[trace.customdata.indexOf(day)];
  const x = xaxis._offset + xaxis.d2p(`${day}T12:00`);
  return [box.left + x, box.top + yaxis._offset + yaxis.d2p(y)];
}"""


@pytest.fixture
def planted(live_server):
    with transaction() as session:
        found = plant(session)
        cookie = accounts.open_session(session, user=found.ada, now=database_now(session))
        return f"{live_server}/projects/{found.project.id}", found.tuesday, cookie


@pytest.fixture
def page(browser, planted):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
    context.add_cookies([{"name": SESSION_COOKIE, "value": planted[2], **kept}])
    page = context.new_page()
    page.troubles = []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on(
        "console",
        lambda said: said.type in {"error", "warning"} and page.troubles.append(said.text),
    )
    yield page
    context.close()


def test_from_a_fall_to_who_what_and_why_in_four_clicks(page, planted):
    address, tuesday, _ = planted
    page.goto(address)
    page.wait_for_selector('[data-chart="agreement"] svg.main-svg >> nth=0')
    page.mouse.click(*page.evaluate(PLACE_OF_DAY, tuesday.isoformat()))  # 1: the day
    page.wait_for_url(f"{address}/days/{tuesday}")
    verdict = page.get_by_label("The day in short").inner_text()
    assert "clearly less than on the other days" in verdict
    assert "Most of it comes from Bea" in verdict
    assert "Version 2 of the guidelines was published the day before" in verdict
    page.wait_for_selector('[data-chart="people"] svg.main-svg >> nth=0')
    day = page.url

    page.get_by_role("link", name="Bea").click()  # 2: the person
    page.wait_for_url(f"{address}/annotators/*")
    assert page.get_by_role("heading", name="Bea", exact=True).is_visible()

    page.goto(day)
    page.locator('[aria-labelledby="tasks"] tbody a').first.click()  # 3: a task
    page.wait_for_url("**/tasks/*/review")

    page.goto(day)
    page.get_by_role("link", name="See the difference").click()  # 4: the paragraph
    page.wait_for_url(f"{address}/guidelines?version=2")
    page.get_by_text("A longer answer is not a better one").locator("visible=true").first.wait_for()
    assert page.troubles == []


def test_the_keyboard_finds_the_day_as_well(page, planted):
    address, tuesday, _ = planted
    page.goto(address)
    page.get_by_role("link", name=f"What happened on Tuesday, {tuesday.day}").press("Enter")
    page.wait_for_url(f"{address}/days/{tuesday}")
    page.locator('a[rel="prev"]').press("Enter")
    page.wait_for_url(lambda url: "/days/" in url and str(tuesday) not in url)
    verdict = page.get_by_label("The day in short").inner_text()
    assert "clearly less than on the other days" not in verdict
    assert page.troubles == []
