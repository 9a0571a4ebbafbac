"""The whole loop as people do it: in a browser, with the keyboard, and a worker behind it."""

import json
import re

import pytest

from app.accounts import service as accounts
from app.accounts.models import Role
from app.db import database_now, transaction
from app.projects.models import Project
from tests.factories import PASSWORD, make_member, make_user
from tests.waiting import PAGE_PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

LONG = 120_000  # ms, for a training on a busy machine
PROMPTS = 8


@pytest.fixture
def eggs(tmp_path):
    """A file of prompts with a polite and a rude reply each."""
    rows = [
        {
            "prompt": f"How many eggs are in box {number}?",
            "responses": [f"There are {number} eggs, thank you.", f"Eggs {number}, who knows"],
        }
        for number in range(PROMPTS)
    ]
    file = tmp_path / "eggs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


class Browsers:
    """A browser for each person; what any of them complains of is a failure."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        self.complaints = []

    def open(self):
        context = self.browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PAGE_PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                said.type == "error" and self.complaints.append((said.text, said.location))
            ),
        )
        return page

    def listen(self, message):
        if message.type == "error":
            self.complaints.append((message.text, message.location))

    def of(self, name):
        page = self.open()
        page.goto(f"{self.address}/sign-in")
        page.get_by_label("E-mail").fill(f"{name}@example.org")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Projects").wait_for()
        return page


def rank_all(page, rank):
    """Prefer the polite reply of every pair, with keys alone."""
    page.goto(rank)
    page.get_by_role("button", name="Start ranking").click()
    for _ in range(PROMPTS):
        page.locator("form.task[data-ready]").wait_for()  # painted: its keys are alive
        page.wait_for_load_state("networkidle")
        shown = page.locator("form.task").get_attribute("data-assignment")
        first = page.locator(".response[data-label=A]").inner_text()
        page.keyboard.press("1" if "thank you" in first else "2")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "id => document.querySelector('form.task')?.dataset.assignment !== id", arg=shown
        )
    page.get_by_text(re.compile("Everything is judged|Nothing for you just now")).wait_for()


def train(page, base, kind, model):
    """Fill in the launch form, watch the run, and end on the page of its checkpoint."""
    page.goto(f"{base}/runs/new?kind={kind}")
    page.get_by_label("Another model").check()
    page.get_by_label("Folder or hub id").fill(model)
    page.get_by_label("learning_rate").fill("1e-3")
    page.get_by_text("All other settings").click()
    page.get_by_label("max_steps").fill("8")
    page.get_by_role("button", name="Start the run").click()
    page.get_by_role("heading", name="It is done").wait_for(timeout=LONG)
    page.locator(".chart .main-svg").first.wait_for()
    assert page.locator(".chart:has(.main-svg)").count() >= 3
    page.get_by_role("link", name="its checkpoint").click()
    page.get_by_role("heading", name="Where it comes from").wait_for()


def test_once_round_the_loop_in_a_browser(live_server, browser, start_worker, tiny_lm, eggs):
    start_worker()
    browsers = Browsers(browser, live_server)
    with transaction() as session:
        key = accounts.setup_link(session, now=database_now(session))

    ada = browsers.open()
    ada.goto(f"{live_server}/setup/{key}")
    ada.get_by_label("Your name").fill("Ada")
    ada.get_by_label("E-mail").fill("ada@example.org")
    ada.get_by_label("Password").fill(PASSWORD)
    ada.get_by_role("button", name="Create the admin account").click()
    ada.get_by_role("heading", name="Projects").wait_for()

    ada.goto(f"{live_server}/projects/new")
    ada.get_by_label("Name", exact=True).fill("Eggs")
    ada.get_by_label("Judgements per task").fill("2")
    ada.get_by_role("button", name="Create the project").click()
    ada.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}"))
    project_id = re.search(r"/projects/([0-9a-f-]{36})", ada.url)[1]
    base = f"{live_server}/projects/{project_id}"
    with transaction() as session:
        project = session.get(Project, project_id)
        for name in ("Ana", "Rui"):
            make_member(session, project, make_user(session, name), Role.ANNOTATOR)

    ada.goto(f"{base}/data")
    ada.get_by_label("File", exact=True).set_input_files(eggs)
    ada.get_by_role("button", name="Check the file").click()
    ada.get_by_role("button", name=f"Import {PROMPTS} rows").click()
    ada.get_by_text(f"{PROMPTS} rows imported.").wait_for(timeout=LONG)

    people = {name: browsers.of(name) for name in ("ana", "rui")}
    for page in people.values():
        rank_all(page, f"{base}/rank")

    ada.goto(f"{base}/snapshots/new")
    ada.get_by_role("button", name="Freeze the snapshot").click()
    ada.get_by_text("frozen", exact=True).wait_for(timeout=LONG)

    train(ada, base, "reward", tiny_lm)
    ada.get_by_text(f"{2 * PROMPTS} judgements by 2 people").first.wait_for()
    train(ada, base, "dpo", tiny_lm)

    ada.get_by_role("link", name="Write new responses").click()
    ada.get_by_label("Tasks wanted").fill("3")
    ada.get_by_text("How it writes").click()
    ada.get_by_label("Tokens, at most").fill("16")
    ada.get_by_role("button", name="Write them").click()
    ada.get_by_role("link", name="Judge them").wait_for(timeout=LONG)

    ana = people["ana"]
    ana.goto(f"{base}/rank")
    ana.get_by_role("button", name="Start ranking").click()
    ana.locator("form.task").wait_for()
    assert ana.locator(".response").count() == 3  # two new ones and one that was there
    assert "checkpoint" not in ana.locator("form.task").inner_html()
    assert browsers.complaints == []
