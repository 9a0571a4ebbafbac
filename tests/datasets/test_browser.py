"""The recipe editor in a real browser: counts follow the recipe, nothing overflows."""

import pytest

from app.accounts.models import Role
from app.corpus.models import Prompt
from app.datasets import service
from app.datasets.models import Snapshot
from app.datasets.schemas import Recipe
from app.db import transaction
from app.worker.snapshots import build, freeze_now
from tests.axe import NONE, faults_by_scheme
from tests.factories import (
    PASSWORD,
    make_annotation,
    make_member,
    make_project,
    make_task,
    make_user,
)
from tests.waiting import PAGE_PATIENCE

pytestmark = pytest.mark.browser


@pytest.fixture
def address(live_server):
    """A project of Ada's with judged rankings, behind a real port; and its id."""
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        ana, rui = make_user(session, "Ana"), make_user(session, "Rui")
        project = make_project(session, "Kitchen help", by=ada, strength_levels=3)
        for user, role in ((ada, Role.ADMIN), (ana, Role.ANNOTATOR), (rui, Role.ANNOTATOR)):
            make_member(session, project, user, role)
        for number in range(12):
            task = make_task(
                session,
                project,
                prompt=f"Question {number}: how long should I boil an egg?",
                responses=[f"About *eight* minutes. {number}", f"Eggs are eggs. {number}", "No."],
                wanted=2,
            )
            make_annotation(session, task, ana, ranks=[1, 2, 3], strength=2)
            ranks = [1, 2, 2] if number % 3 else [3, 2, 1]
            make_annotation(session, task, rui, ranks=ranks, strength=1)
        project_id = project.id
    return f"{live_server}/projects/{project_id}", project_id


@pytest.fixture
def page(browser, address):
    """Ada's browser; nothing may go wrong in it unseen."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{address[0]}/snapshots")
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Snapshots").wait_for()
    problems = []
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert problems == []
    context.close()


def overflows(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_counts_follow_the_recipe_while_ada_edits_it(page, address):
    page.goto(f"{address[0]}/snapshots/new")
    headline = page.locator("[data-headline]")
    before = headline.inner_text()
    page.get_by_label("Judgements per task, at least").fill("3")
    page.wait_for_function(
        "before => document.querySelector('[data-headline]').textContent !== before", arg=before
    )
    assert headline.inner_text().startswith("0 comparisons")
    assert "12 tasks with fewer judgements" in page.locator("[data-left-out]").inner_text()
    page.get_by_label("Agreement, at least").fill("7")
    page.locator("[data-errors]").wait_for(state="visible")
    assert "min_agreement" in page.locator("[data-errors]").inner_text()
    at_the_field = page.locator("#min_agreement-problem")
    assert at_the_field.inner_text() == "it must be at most 1"
    assert page.get_by_label("Agreement, at least").get_attribute("aria-invalid") == "true"
    page.get_by_label("Agreement, at least").fill("0.1")
    page.locator("[data-errors]").wait_for(state="hidden")
    at_the_field.wait_for(state="hidden")
    page.get_by_label("Judgements per task, at least").fill("1")
    page.get_by_text("The line in the file").first.wait_for()
    page.get_by_text("The line in the file").first.click()
    with page.expect_response(lambda reply: "/snapshots/counts?" in reply.url):
        page.get_by_label("Share for testing").fill("0")
    page.get_by_text("Raise the share for testing").wait_for()
    assert page.locator("#line-1").get_attribute("open") is not None
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert not overflows(page)
    assert page.locator("[data-bar]").inner_text() == headline.inner_text()


def test_ada_saves_a_recipe_and_begins_with_it_again(page, address, tmp_path):
    page.goto(f"{address[0]}/snapshots/new?preset=ranking")
    page.get_by_label("Seed").fill("7")
    with page.expect_download() as download:
        page.get_by_role("button", name="TOML").click()
    file = tmp_path / "recipe.toml"
    download.value.save_as(file)
    assert "seed = 7" in file.read_text()
    page.get_by_text("A recipe from a file").click()
    page.get_by_label("TOML or JSON").set_input_files(file)
    page.get_by_role("button", name="Use this recipe").click()
    page.wait_for_url("**/snapshots/recipe")
    assert page.get_by_label("Seed").input_value() == "7"
    assert page.get_by_label("Keep.").is_checked()
    page.get_by_role("button", name="Freeze the snapshot").click()  # saving has not used it up
    page.get_by_role("heading", name="Waiting for a worker").wait_for()


def test_ada_freezes_a_snapshot_and_its_page_shows_it_when_it_is_there(page, address):
    page.goto(f"{address[0]}/snapshots")
    page.get_by_role("link", name="Freeze a snapshot").click()
    page.get_by_label("Name").fill("Monday")
    page.get_by_role("button", name="Freeze the snapshot").click()
    page.get_by_role("heading", name="Waiting for a worker").wait_for()
    snapshot_id = page.url.rsplit("/", 1)[1]
    with transaction() as session:
        lease = service.start(session, snapshot_id=snapshot_id)
    build(lease)
    page.get_by_role("heading", name="What it holds").wait_for(timeout=PAGE_PATIENCE)
    page.get_by_role("link", name="ranking", exact=True).click()
    page.get_by_role("heading", name="The first rows of ranking").wait_for()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert not overflows(page)
    with transaction() as session:
        assert session.get_one(Snapshot, snapshot_id).name == "Monday"


def test_the_pages_have_no_accessibility_errors(page, address):
    made = freeze_now(project_id=address[1], recipe=Recipe(), name="Monday")
    for where in ("snapshots", "snapshots/new", f"snapshots/{made.id}"):
        page.goto(f"{address[0]}/{where}")
        assert faults_by_scheme(page) == NONE


def test_a_tag_beyond_the_boxes_is_found_and_counted(page, address):
    """Typed, chosen by Enter, counted with; and nothing is sent on the way."""
    with transaction() as session:
        for number, prompt in enumerate(session.query(Prompt).order_by(Prompt.id)):
            prompt.tags = [f"tag {number:02} {letter}" for letter in "abcd"]
    page.goto(f"{address[0]}/snapshots/new")
    page.locator("summary", has_text="Tags").click()
    find = page.get_by_label("Others")
    find.press_sequentially("TAG 11 d")
    page.get_by_text("1 found: choose one").wait_for()
    find.press("Enter")
    assert page.get_by_label("tag 11 d").is_checked()
    page.locator("[data-summary]", has_text="11 prompts").wait_for()
    assert find.input_value() == ""
    find.press_sequentially("nothing like it")
    page.get_by_text("None contains that.").wait_for()
    assert page.url.endswith("/snapshots/new")
