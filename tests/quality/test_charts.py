"""The dashboard in a real browser: its charts are drawn, and nothing complains."""

from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from app.accounts import service as accounts
from app.accounts.models import User
from app.db import database_now, transaction
from app.projects.models import Membership, Project
from app.web.protection import SESSION_COOKIE
from tests.factories import make_annotation, make_task, make_user
from tests.people import make_people

pytestmark = pytest.mark.browser


def fill(session: Session) -> tuple[str, User]:
    people = make_people(session)
    for place in range(24):
        task = make_task(session, people.project, prompt=f"Question {place}", wanted=2)
        make_annotation(session, task, people.ana, ranks=[1, 2])
        make_annotation(session, task, people.rui, ranks=[2, 1] if place % 3 else [1, 2])
    member = session.get_one(Membership, (people.project.id, people.ana.id))
    member.gold_seen, member.gold_passed = 8, 7
    return str(people.project.id), people.ada


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_charts_are_drawn_and_nothing_complains(live_server, browser, width, scheme):
    with transaction() as session:
        project_id, ada = fill(session)
        token = accounts.open_session(session, user=ada, now=database_now(session))
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.add_cookies(
        [
            {
                "name": SESSION_COOKIE,
                "value": token,
                "domain": "127.0.0.1",
                "path": "/",
                "secure": True,
            }
        ]
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda line: line.type in {"error", "warning"} and complaints.append(line.text)
    )
    page.goto(f"{live_server}/projects/{project_id}")
    for chart in ("agreement", "days", "gold"):
        page.wait_for_selector(f'[data-chart="{chart}"] svg.main-svg >> nth=0')
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("summary", has_text="The numbers").first.press("Enter")
    assert page.locator("details[open] table").first.is_visible()
    assert complaints == []
    context.close()


def test_the_charts_of_agreement_are_drawn_on_a_phone_in_the_dark(live_server, browser):
    with transaction() as session:
        project_id, ada = fill(session)
        task = make_task(session, session.get_one(Project, UUID(project_id)), wanted=2)
        for user in (ada, make_user(session, "Bea")):
            make_annotation(session, task, user, ranks=[1, 2], strength=1)
        token = accounts.open_session(session, user=ada, now=database_now(session))
    context = browser.new_context(
        viewport={"width": 390, "height": 900}, color_scheme="dark", reduced_motion="reduce"
    )
    kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
    context.add_cookies([{"name": SESSION_COOKIE, "value": token, **kept}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for way, charts in (("week", ["parts"]), ("annotator_pair", ["parts", "matrix"])):
        page.goto(f"{live_server}/projects/{project_id}/agreement?by={way}")
        for chart in charts:
            page.wait_for_selector(f'[data-chart="{chart}"] svg.main-svg >> nth=0')
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="By tag").click()
    page.wait_for_selector('[data-chart="parts"] svg.main-svg >> nth=0')
    page.get_by_label("Figure").select_option("krippendorff_alpha")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**figure=krippendorff_alpha**")
    assert page.get_by_role("link", name="By tag").get_attribute("aria-current") == "page"
    assert complaints == []
    context.close()
