"""Bringing data in through a real browser: choose or drop a file, follow it, read the report."""

import threading

import pytest
from sqlalchemy import select

from app.accounts.models import User
from app.corpus import service
from app.corpus.models import Import, Prompt
from app.db import JobState, transaction
from app.projects.models import Project
from app.worker.imports import import_file, run_import, undo_import
from tests.axe import NONE, faults_by_scheme
from tests.corpus import test_real_data as real
from tests.corpus.files import json_lines, pair, request_check
from tests.factories import PASSWORD
from tests.people import make_people
from tests.shared_data import shared_data, shared_rows
from tests.waiting import PAGE_PATIENCE

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
    context.set_default_timeout(PAGE_PATIENCE)
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


def choose(page, files):
    page.get_by_label("File").set_input_files(files)
    page.get_by_role("button", name="Check the file").click()


def test_ada_looks_into_a_file_and_imports_it(page, tmp_path):
    file = json_lines(tmp_path / "pairs.jsonl", [pair(f"{n} + {n}?") for n in range(5)])
    choose(page, file)
    page.get_by_text("Waiting for a worker.").wait_for()
    worker = threading.Thread(target=work_off)
    worker.start()
    page.get_by_text("Nothing has been imported yet. All 5 rows are good.").wait_for()
    worker.join()
    assert page.get_by_text("told by “prompt” and “responses”").is_visible()
    page.get_by_text("4 + 4?").wait_for()
    page.get_by_role("button", name="Import 5 rows").click()
    page.get_by_text("Waiting for a worker.").wait_for()
    work_off()
    page.get_by_text("5 rows imported.").wait_for()
    page.get_by_role("link", name="Show the prompts that it brought").click()
    page.get_by_text("brought by pairs.jsonl").wait_for()
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
    page.get_by_label("Then").select_option("import it, unless a line is wrong")
    page.get_by_role("button", name="Import", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="dropped.jsonl").wait_for()
    work_off()
    page.get_by_text("2 lines were refused, so nothing was imported").wait_for()
    page.get_by_text("this line has 1.").wait_for()
    page.get_by_text("cut off before its end").wait_for()


def test_several_files_are_checked_each_and_wait_for_ada(page, tmp_path):
    good = json_lines(tmp_path / "good.jsonl", [pair("good?")])
    bad = json_lines(tmp_path / "bad.jsonl", [pair("bad?"), "oops", '{"prompt": ""}'])
    choose(page, [good, bad])
    chips = page.locator("[data-state]")
    chips.filter(has_text="check queued").nth(1).wait_for()
    work_off()
    page.get_by_text("checked, waits for you").nth(1).wait_for()
    page.reload()
    page.get_by_role("link", name="bad.jsonl").first.click()
    page.get_by_text("2 rows of 3 would be refused; the others are good.").wait_for()
    with page.expect_download() as table:
        page.get_by_role("link", name="All as CSV").click()
    assert table.value.suggested_filename == "bad-refused.csv"
    with page.expect_download() as mend:
        page.get_by_role("link", name="As a file to mend").click()
    assert mend.value.path().read_text() == 'oops\n{"prompt": ""}\n'
    page.get_by_role("button", name="Import 1 good row, skip 2").click()
    page.get_by_text("Waiting for a worker.").wait_for()
    work_off()
    page.get_by_text("1 row imported. 2 refused, see below.").wait_for()
    page.get_by_role("link", name="All data").click()
    page.get_by_role("link", name="Look and decide").click()
    page.get_by_role("button", name="Throw the file away").click()
    page.get_by_role("heading", name="Data", exact=True).wait_for()
    assert not page.get_by_text("good.jsonl").is_visible()


def test_ada_takes_an_import_back(page, live_server, project_id, tmp_path):
    file = json_lines(tmp_path / "wrong.jsonl", [pair(f"{n}?") for n in range(3)])
    row = import_file(project_id=project_id, file=file)
    page.goto(f"{live_server}/projects/{project_id}/imports/{row.id}")
    page.get_by_role("link", name="Undo this import").click()
    page.get_by_role("button", name="Remove 3 tasks").click()
    page.get_by_text("Taking it back").wait_for()
    undo_import(row.id)
    page.get_by_text("3 tasks, 3 prompts and 6 responses were removed.").wait_for()
    page.get_by_role("link", name="All data").click()
    page.get_by_text("0 prompts").wait_for()


def llmbar_lines():
    for row in shared_rows("llmbar-gold/pairs.jsonl.gz"):
        key = {"prefers": [[0, 1] if row["better"] == 1 else [1, 0]]}
        yield pair(row["instruction"], responses=[row["output_1"], row["output_2"]], gold=key)


def test_real_files_are_checked_in_the_browser(page, tmp_path):
    files = {
        "hh.jsonl.gz": shared_data("hh-harmless/pairs.jsonl.gz").read_bytes(),
        "tulu.jsonl.gz": real.tulu_lines(),
        "pandalm.jsonl.gz": real.pandalm_lines(),
        "llmbar.jsonl.gz": llmbar_lines(),
        "oasst.jsonl.gz": real.oasst_lines(),
    }
    for name, lines in files.items():
        if isinstance(lines, bytes):
            (tmp_path / name).write_bytes(lines)
        else:
            json_lines(tmp_path / name, lines, packed=True)
    choose(page, [tmp_path / name for name in files])
    page.locator("[data-state]").filter(has_text="check queued").nth(4).wait_for()
    work_off()
    page.reload()
    waiting = page.get_by_label("Checked files")
    told = [" ".join(text.split()) for text in waiting.locator("li > span").all_inner_texts()]
    assert {text.split()[0]: text.rpartition(", ")[0].rpartition(", ")[0] for text in told} == {
        "hh.jsonl.gz": "hh.jsonl.gz 1,622 read, 1,622 would come in",
        "tulu.jsonl.gz": "tulu.jsonl.gz 753 read, 753 would come in",
        "pandalm.jsonl.gz": "pandalm.jsonl.gz 796 read, 790 would come in, 6 refused",
        "llmbar.jsonl.gz": "llmbar.jsonl.gz 290 read, 290 would come in",
        "oasst.jsonl.gz": "oasst.jsonl.gz 149 read, 149 would come in",
    }
    waiting.get_by_role("link", name="pandalm.jsonl.gz").click()
    rows = page.get_by_label("Rows", exact=True).locator("strong")
    assert rows.all_inner_texts() == ["796", "790", "0", "6"]
    lines = page.get_by_label("Refused lines").locator("tbody td:first-child")
    wanted = [f"{n}" for n, line in enumerate(real.pandalm_lines(), 1) if real.is_bad(line)]
    assert lines.all_inner_texts() == wanted


def test_the_pages_fit_and_have_no_accessibility_errors(page, live_server, project_id, tmp_path):
    lines = [pair(LONG, tags=["sums", "long"], id="i" * 60), pair("short?", source="s" * 80)]
    lines[0]["annotations"] = [{"annotator": "Kim", "ranks": [1, 2], "rationale": LONG}]
    file = json_lines(tmp_path / ("f" * 100 + ".jsonl"), [*lines, "not JSON"])
    row = import_file(project_id=project_id, file=file, skip_bad_lines=True)
    failed = import_file(project_id=project_id, file=file)
    with transaction() as session:
        ada = session.scalars(select(User).where(User.email == "ada@example.org")).one()
        project = session.get_one(Project, project_id)
        check = request_check(session, project, file, by=ada)
    run_import(check)
    with transaction() as session:
        prompt = session.scalars(select(Prompt.id).where(Prompt.external_id == "i" * 60)).one()
    for where in (
        "data",
        "data?search=nothing+like+it",
        f"imports/{row.id}",
        f"imports/{failed.id}",
        f"imports/{check}",
        f"imports/{row.id}/undo",
        f"prompts/{prompt}",
    ):
        page.goto(f"{live_server}/projects/{project_id}/{where}")
        if page.locator("details").count():
            page.locator("details > summary").first.click()
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert not overflows(page), (where, width)
        assert faults_by_scheme(page) == NONE
