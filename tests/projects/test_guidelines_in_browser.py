"""The editor in Chromium: what is typed is shown and kept; what cannot be sent is not lost."""

import pytest
from playwright.sync_api import expect

from app.accounts import service as accounts
from app.db import database_now, transaction
from app.projects.models import GuidelinesDraft
from app.web.protection import SESSION_COOKIE
from tests.people import make_people
from tests.waiting import PAGE_PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]


@pytest.fixture
def editor(browser, live_server):
    with transaction() as session:
        people = make_people(session)
        key = accounts.open_session(session, user=people.ada, now=database_now(session))
        project_id, ada_id = people.project.id, people.ada.id
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PAGE_PATIENCE)
    cookie = {"name": SESSION_COOKIE, "value": key, "secure": True, "httpOnly": True}
    context.add_cookies([{**cookie, "domain": "127.0.0.1", "path": "/"}])
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{live_server}/projects/{project_id}/guidelines/edit")
    yield page, (project_id, ada_id)
    assert complaints == []
    context.close()


def test_what_is_typed_is_shown_kept_and_published(editor):
    page, key = editor
    page.get_by_label("Text, in Markdown").fill("## Safe first\n\n<b>Harm</b> nobody.")
    expect(page.locator("[data-preview] h2").first).to_have_text("Safe first")
    expect(page.locator("[data-preview]")).to_contain_text("<b>Harm</b>")
    expect(page.get_by_text("Draft saved.")).to_be_visible()
    with transaction() as session:
        assert session.get(GuidelinesDraft, key).text.startswith("## Safe first")
    page.reload()
    expect(page.get_by_label("Text, in Markdown")).to_have_value(
        "## Safe first\n\n<b>Harm</b> nobody."
    )
    page.get_by_role("button", name="Add an example").click()
    page.get_by_label("Prompt").fill("How?")
    page.get_by_label("Response A").fill("So.")
    page.get_by_label("Response B").fill("Thus.")
    page.get_by_label("Order, best first").fill("B > A")
    expect(page.locator("[data-preview] .example")).to_contain_text("B > A")
    page.get_by_label("What changed, and why").fill("Safety.")
    page.get_by_role("button", name="See what changes").click()
    expect(page.get_by_text("new example")).to_be_visible()
    page.get_by_role("button", name="Publish the guidelines").click()
    expect(page.get_by_text("version 2, current")).to_be_visible()
    expect(page.get_by_role("article").first).to_contain_text("How?")


def test_text_that_could_not_be_saved_stays_in_the_browser(editor):
    page, _ = editor
    page.route("**/guidelines/draft", lambda route: route.abort())
    page.get_by_label("Text, in Markdown").fill("Written in a tunnel.")
    expect(page.get_by_text("this browser keeps your text", exact=False)).to_be_visible()
    page.unroute("**/guidelines/draft")
    page.reload()
    page.get_by_role("button", name="Put it back").click()
    expect(page.get_by_label("Text, in Markdown")).to_have_value("Written in a tunnel.")
    expect(page.get_by_text("Draft saved.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Text, in Markdown")).to_have_value("Written in a tunnel.")
    expect(page.get_by_role("button", name="Put it back")).to_be_hidden()
