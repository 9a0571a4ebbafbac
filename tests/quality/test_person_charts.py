"""The page of a person in a real browser: every chart is drawn, and nothing complains."""

import pytest

from app.accounts import service as accounts
from app.db import database_now, transaction
from app.web.protection import SESSION_COOKIE
from tests.crowds import Kind, crowd, store
from tests.people import make_people

pytestmark = pytest.mark.browser

CHARTS = ("beside", "posterior", "weeks", "hours", "speed", "places")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_charts_of_a_person_are_drawn(live_server, browser, width, scheme):
    with transaction() as session:
        people = make_people(session)
        found = crowd([Kind.FAST, Kind.GOOD, Kind.GOOD], seed=1, tasks=60)
        hers = store(session, people.project, found)[0]
        address = f"{live_server}/projects/{people.project.id}/annotators/{hers.id}"
        token = accounts.open_session(session, user=people.ada, now=database_now(session))
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
    context.add_cookies([{"name": SESSION_COOKIE, "value": token, **kept}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda line: line.type in {"error", "warning"} and complaints.append(line.text)
    )
    page.goto(address)
    for chart in CHARTS:
        page.wait_for_selector(f'[data-chart="{chart}"] svg.main-svg >> nth=0')
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("text=Answers faster than the responses can be read in").count() == 1
    page.locator("#latest ~ * a").first.click()
    page.wait_for_url("**/review")
    assert complaints == []
    context.close()
