"""Comparing two snapshots in a real browser, from the choice to a judgement and back."""

import threading

import pytest
from sqlalchemy import select

from app.accounts.models import Role
from app.annotation.models import Annotation
from app.datasets.models import SnapshotComparison
from app.datasets.schemas import Recipe
from app.datasets.service import comparisons
from app.db import transaction
from app.worker.comparisons import run_comparison
from app.worker.snapshots import freeze_now
from tests.datasets.true import revise, true_task
from tests.factories import PASSWORD, make_annotation, make_member, make_project, make_user

pytestmark = pytest.mark.browser


@pytest.fixture
def address(live_server):
    """A project with two snapshots; between them Ana changed her mind twice."""
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        ana = make_user(session, "Ana")
        project = make_project(session, "Kitchen help", by=ada)
        for user, role in ((ada, Role.ADMIN), (ana, Role.ANNOTATOR)):
            make_member(session, project, user, role)
        for number in range(6):
            task, _ = true_task(
                session, project, f"Egg {number}?", [f"Eight minutes. {number}", f"No. {number}"]
            )
            make_annotation(session, task, ana, ranks=[1, 2], rationale="It answers.")
        project_id = project.id
    freeze_now(project_id=project_id, recipe=Recipe(test_share=0), name="Monday")
    with transaction() as session:
        for annotation in session.scalars(select(Annotation).limit(2)).all():
            revise(session, annotation, ranks=[2, 1])
    freeze_now(project_id=project_id, recipe=Recipe(test_share=0), name="Tuesday")
    return f"{live_server}/projects/{project_id}"


def test_from_the_choice_to_the_judgement_behind_a_row(browser, address, monkeypatch):
    monkeypatch.setattr(comparisons, "AT_ONCE", 5)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems = []
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{address}/snapshots")
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Compare two").click()
    for label, name in (("From", "Monday"), ("To", "Tuesday")):
        choice = page.get_by_label(label, exact=True)
        option = choice.locator("option", has_text=name)
        choice.select_option(option.get_attribute("value"))
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="Waiting for a worker").wait_for()
    with transaction() as session:
        (comparison_id,) = session.scalars(select(SnapshotComparison.id)).all()
    run_comparison(comparison_id, stopping=threading.Event())
    # The page shows it by itself.
    page.get_by_role("heading", name="4 comparisons are the same, 2 changed").wait_for()
    page.get_by_role("link", name="preference reversed").click()
    page.get_by_text("chosen now, rejected before").first.wait_for()
    page.get_by_role("link", name="Why before?").first.click()
    page.get_by_text("Of 1 judgement that went in, 1 was revised since.").wait_for()
    page.get_by_text("Now: ").wait_for()
    page.get_by_role("link", name="All rows").click()
    page.get_by_role("searchbox").fill("EGG 3?")
    page.get_by_label("Mark the words that differ").check()
    page.get_by_role("button", name="Show").click()
    page.get_by_text("1 found").first.wait_for()
    assert page.locator("ins").count() > 0
    assert problems == []
    context.close()
