"""Every page of a project at work: it fits, nothing complains, and axe finds no fault.

On a phone and on a desk, light and dark, over the demo project with runs beside it.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy import select

from app.accounts import service as accounts
from app.accounts.models import Role
from app.corpus.models import Import, Prompt
from app.datasets.models import Snapshot
from app.db import JobState, database_now, transaction
from app.demo import seed
from app.projects import service as projects
from app.projects.models import Membership, Project
from app.projects.schemas import Example, ProjectPatch
from app.quality.service import re_asks
from app.runs.models import Generation, Metric, RunEvent, RunKind, Sample
from app.tasks.models import Task
from app.web.protection import SESSION_COOKIE
from tests.factories import make_user
from tests.runs.factories import make_checkpoint, make_run

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
CONFIGS = ("preference", "hh-rlhf", "ranking", "sft")
DESK, PHONE = 1280, 320
WAYS = {"desk, light": (DESK, "light"), "phone, dark": (PHONE, "dark")}

TAB_IN_SIGHT = """() => {
  const tab = document.querySelector(".tabs [aria-current]")?.getBoundingClientRect();
  return !tab || (tab.left >= 0 && tab.right <= innerWidth);
}"""


def change_guidelines(session, project, ada):
    """New guidelines with an example, and a sample that is re-asked; a draft of what comes next."""
    example = Example(prompt="Why? " + "y" * 90, responses=["So.", "z" * 200], ranks=[1, 2])
    patch = ProjectPatch(
        guidelines="## New\n\nWords.\n\n## Old\n\n" + "w" * 120,
        guidelines_examples=[example],
        guidelines_note="Because.",
    )
    now = database_now(session)
    projects.update_settings(session, project=project, patch=patch, by=ada, now=now)
    written = {"text": "## Newer", "note": "", "is_clarification": False, "examples": []}
    projects.save_draft(session, project=project, by=ada, base_version=1, now=now, **written)
    return re_asks.start(session, project=project, by=ada, now=now, size=20)


@pytest.fixture
def pages(live_server):
    """The addresses of all pages, and the cookie of an admin who may see them."""
    seed.fill()
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        cookie = accounts.open_session(session, user=ada, now=database_now(session))
        project = session.scalars(select(Project)).one()
        snapshot = session.scalars(select(Snapshot)).one()
        ended = {"attempt": 1, "step": 40, "finished_at": database_now(session), "path": "none"}
        run = make_run(session, snapshot, RunKind.REWARD, state=JobState.SUCCEEDED, **ended)
        error = "Not a number: " + "x" * 90
        failed = make_run(
            session, snapshot, RunKind.DPO, state=JobState.FAILED, error=error, **ended
        )
        for step in range(1, 41):
            values = {"loss": 1 / step, "accuracy": 0.5, "learning_rate": 1e-4, "grad_norm": 1.0}
            session.add(Metric(run_id=run.id, attempt=1, step=step, values=values))
        text = {"prompt": "How long is a word? " + "w" * 200, "response": "x" * 300, "score": 0.25}
        session.add(Sample(run_id=run.id, attempt=1, step=40, values=text))
        session.add(RunEvent(run_id=run.id, attempt=1, kind="succeeded"))
        checkpoint = make_checkpoint(session, project, RunKind.REWARD, run=run)
        writer = make_checkpoint(session, project, RunKind.SFT)
        generation = Generation(
            project_id=project.id, checkpoint_id=writer.id, config={"n": 2, "temperature": 1.0}
        )
        session.add(generation)
        re_ask = change_guidelines(session, project, ada)
        import_id = session.scalars(select(Import.id)).one()
        prompt_id = session.scalars(select(Prompt.id).limit(1)).one()
        member_id = session.scalars(select(Membership.user_id).limit(1)).one()
        task_id = session.scalars(select(Task.id).where(Task.counted > 1).limit(1)).one()
        base = f"/projects/{project.id}"
        below = (
            "", "/rank", "/rank/history", "/rank/progress", "/rank/qualification", "/guidelines",
            "/guidelines/edit", "/guidelines/differences", "/guidelines/versions", "/re-asks",
            f"/re-asks/{re_ask.id}", "/data", "/annotators", "/review", "/work", "/snapshots",
            "/snapshots/new", "/runs", "/runs/new", "/settings", "/members",
            f"/members/{member_id}", "/pause", "/generations/new",
            f"/imports/{import_id}",
            f"/prompts/{prompt_id}",
            *(f"/snapshots/{snapshot.id}?config={name}" for name in CONFIGS),
            f"/runs/{run.id}",
            f"/runs/{failed.id}",
            f"/checkpoints/{checkpoint.id}",
            f"/generations/{generation.id}",
        )  # fmt: skip
        paths = [f"{base}{path}" for path in below]
        paths += [f"/tasks/{task_id}/review", "/projects", "/projects/new", "/account", "/users"]
    return [f"{live_server}{path}" for path in paths], cookie


def visit(page, addresses):
    """What is wrong with the pages, one after the other."""
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda said: said.type in {"error", "warning"} and troubles.append(said.text),
    )
    for address in addresses:
        before = len(troubles)
        if page.goto(address, wait_until="load").status != 200:
            troubles.append("it is not there")
        elif page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            troubles.append("it is wider than the window")
        if not page.evaluate(TAB_IN_SIGHT):
            troubles.append("the tab of the page is out of sight")
        if page.viewport_size["width"] == PHONE:  # axe takes its time: once per page
            found = Axe().run(page, options=WCAG).response["violations"]
            troubles += [(each["id"], [n["html"][:200] for n in each["nodes"]]) for each in found]
        troubles[before:] = [(page.url, trouble) for trouble in troubles[before:]]
    return troubles


def test_it_fits_and_nothing_complains(browser, pages):
    addresses, cookie = pages
    kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
    troubles = {}
    for way, (width, scheme) in WAYS.items():
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
        )
        context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, **kept}])
        troubles[way] = visit(context.new_page(), addresses)
        context.close()
    assert troubles == {way: [] for way in WAYS}
