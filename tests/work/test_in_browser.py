"""The page of the work and the review of settings, in Chromium."""

from datetime import timedelta

import pytest

from app.accounts import service as accounts
from app.db import database_now, transaction
from app.projects.models import Project
from app.tasks.models import Assignment, Task
from app.web.protection import SESSION_COOKIE
from app.work.service import board
from tests.factories import make_annotation, make_task
from tests.people import make_people

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]


@pytest.fixture
def work(live_server):
    """A task that Ana has judged and one that she holds; the address and Ada's cookie."""
    with transaction() as session:
        people = make_people(session)
        project = people.project
        now = database_now(session)
        task = make_task(session, project, prompt="Done", wanted=2)
        make_annotation(session, task, people.ana, ranks=[1, 2], active_ms=30_000)
        held = make_task(session, project, prompt="Held", wanted=2, leased=1)
        session.add(
            Assignment(
                project_id=project.id,
                task_id=held.id,
                user_id=people.ana.id,
                display_order=[0, 1],
                leased_until=now + timedelta(minutes=9),
            )
        )
        cookie = accounts.open_session(session, user=people.ada, now=now)
        return f"{live_server}/projects/{project.id}", project.id, held.id, cookie


@pytest.fixture
def visitor(browser, work):
    contexts = []

    def open_page(**options):
        context = browser.new_context(**options)
        cookie = {"domain": "127.0.0.1", "path": "/", "secure": True}
        context.add_cookies([{"name": SESSION_COOKIE, "value": work[3], **cookie}])
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


def test_the_page_keeps_itself_fresh_and_the_focus_where_it_is(work, visitor):
    address, _, held_id, _ = work
    page = visitor()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.clock.install()
    page.goto(f"{address}/work")
    page.wait_for_selector("#work-hours .bars")
    link = page.locator("#work-people a")
    assert link.inner_text() == "Held"
    link.focus()
    with transaction() as session:
        session.get(Task, held_id).wanted = 40
    board.forget()
    page.clock.run_for(4100)
    page.locator("#work-tasks", has_text="42").wait_for()
    page.locator("#work-people a:focus", has_text="Held").wait_for()
    assert page.locator("#work-hours .bars").count() == 1
    assert troubles == []


def test_a_change_is_reviewed_without_scripts_and_again_when_it_is_outdated(work, visitor):
    address, project_id, _, _ = work
    page = visitor(java_script_enabled=False)
    page.goto(f"{address}/settings")
    page.fill("#overlap_min", "1")
    page.fill("#overlap_max", "1")
    page.click("text=Save")
    assert "1 task that has enough is complete at once." in page.locator("main").inner_text()

    page.click("text=Change something")
    assert page.input_value("#overlap_min") == "1"
    page.fill("#lease_minutes", "45")
    page.click("text=Save")
    with transaction() as session:  # somebody else, meanwhile
        session.get(Project, project_id).gold_rate = 0.25
    page.click("text=Save these settings")
    said = page.locator("main").inner_text()
    assert "Somebody else has changed the settings meanwhile" in said
    assert "25 %" in said  # what saving hers would take back
    page.click("text=Save these settings")
    assert "Saved." in page.locator("main").inner_text()
    with transaction() as session:
        project = session.get(Project, project_id)
        assert (project.overlap_max, project.lease_minutes, project.gold_rate) == (1, 45, 0)
