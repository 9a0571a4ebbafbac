"""Bringing data in through a real browser: choose or drop a file, follow it, read the report."""

import threading

import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy import select

from app.accounts.models import User
from app.corpus import service
from app.corpus.models import Import, Prompt
from app.db import JobState, transaction
from app.projects.models import Project
from app.worker.imports import import_file, run_import
from tests.corpus.files import json_lines, pair
from tests.factories import PASSWORD
from tests.people import make_people

pytestmark = pytest.mark.browser

LONG = "A very long question without an end " * 12 + "x" * 300


@pytest.fixture
def project_id(live_server):
    with transaction() as session:
        return make_people(session).project.id


@pytest.fixture
def page(browser, live_server, project_id):
    """Ada's browser on the data page; nothing may go wrong in it unseen."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{live_server}/projects/{project_id}/data")
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.locator("[data-drop-hint]").wait_for()  # the script of the page is at work
    problems = []
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert problems == []
    context.close()


def work_off():
    """What a worker would do."""
    with transaction() as session:
        waiting = session.scalars(select(Import.id)).all()
    for import_id in waiting:
        run_import(import_id)


def overflows(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_ada_imports_a_file_and_the_report_comes_by_itself(page, tmp_path):
    file = json_lines(tmp_path / "pairs.jsonl", [pair(f"{n} + {n}?") for n in range(5)])
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_text("Waiting for a worker.").wait_for()
    worker = threading.Thread(target=work_off)
    worker.start()
    page.get_by_text("5 rows imported.").wait_for(timeout=15_000)
    worker.join()
    page.get_by_role("link", name="All data").click()
    page.get_by_role("link", name="3 + 3?").click()
    page.get_by_role("heading", name="Response 1").wait_for()
    assert page.get_by_text("Nobody has judged these responses yet.").is_visible()


def test_a_running_import_shows_its_share_and_the_time_left(page, live_server, project_id):
    with transaction() as session:
        ada = session.scalars(select(User).where(User.name == "Ada")).one()
        row = service.new_import(
            session,
            project=session.get_one(Project, project_id),
            by=ada,
            filename="long.jsonl.gz",
            format="touchstone",
            skip_bad_lines=False,
            size=1000,
        )
        row.state, row.attempt = JobState.RUNNING, 1
        import_id = row.id

    def read(count):
        with transaction() as session:
            service.note_progress(
                session, import_id=import_id, attempt=1, bytes_read=count, rows_read=count
            )

    read(100)
    page.clock.install()
    page.goto(f"{live_server}/projects/{project_id}/imports/{import_id}")
    page.clock.run_for(600)
    page.get_by_text("10 % read", exact=True).wait_for()
    for count, says in ((150, "15 % read, about 1 minute left"), (200, "20 % read, ")):
        read(count)
        page.clock.run_for(5_000)
        page.get_by_text(says).wait_for()
    assert page.get_by_role("progressbar", name="Import").evaluate("bar => bar.value") == 0.2
    read(1000)
    page.clock.run_for(1_100)
    page.get_by_text("100 % read to its end, the last rows are being written").wait_for()
    assert not overflows(page)


def test_a_file_can_be_dropped_and_bad_lines_are_listed(page, tmp_path):
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          const lines = '{"prompt": "x", "responses": ["a"]}\\n{"prompt": "y"';
          transfer.items.add(new File([lines], "dropped.jsonl"));
          const zone = document.querySelector("[data-drop]");
          zone.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }"""
    )
    page.get_by_label("import nothing and report").press("Tab")
    page.get_by_role("button", name="Import", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="dropped.jsonl").wait_for()
    work_off()
    page.get_by_text("2 lines were refused, so nothing was imported").wait_for(timeout=15_000)
    page.get_by_text("this line has 1.").wait_for()
    page.get_by_text("cut off before its end").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_and_have_no_accessibility_errors(
    page, live_server, project_id, tmp_path, scheme
):
    lines = [pair(LONG, tags=["sums", "long"], id="i" * 60), pair("short?", source="s" * 80)]
    lines[0]["annotations"] = [{"annotator": "Kim", "ranks": [1, 2], "rationale": LONG}]
    file = json_lines(tmp_path / ("f" * 100 + ".jsonl"), [*lines, "not JSON"])
    row = import_file(project_id=project_id, file=file, skip_bad_lines=True)
    failed = import_file(project_id=project_id, file=file)
    with transaction() as session:
        prompt = session.scalars(select(Prompt.id).where(Prompt.external_id == "i" * 60)).one()
    page.emulate_media(color_scheme=scheme)
    for where in (
        "data",
        "data?search=nothing+like+it",
        f"imports/{row.id}",
        f"imports/{failed.id}",
        f"prompts/{prompt}",
    ):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(f"{live_server}/projects/{project_id}/{where}")
            if page.locator("details").count():
                page.locator("details > summary").first.click()
            assert not overflows(page), (where, width)
        found = Axe().run(
            page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
        )
        assert found.violations_count == 0, found.generate_report()
