"""The demo project goes twice round the loop from a browser, simulated annotators judging.

It trains for minutes: `TOUCHSTONE_LONG=1 make test ARGS=tests/journeys/test_rounds.py`.
"""

import os
import re
from contextlib import suppress

import pytest
from playwright.sync_api import Error
from sqlalchemy import select

from app.accounts import service as accounts
from app.accounts.models import Role
from app.db import database_now, transaction
from app.demo import seed
from app.projects.models import Project
from app.rounds.models import Round, RoundState
from app.runs.models import Checkpoint, Run
from app.web.protection import SESSION_COOKIE
from tests.factories import make_user
from tests.waiting import PAGE_PATIENCE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.concurrency,
    pytest.mark.skipif(
        not os.environ.get("TOUCHSTONE_LONG"), reason="trains for minutes; set TOUCHSTONE_LONG=1"
    ),
]

LONG = 900_000  # ms, for the trainings of a round on a busy machine
QUICK = "sft.max_steps = 4\nreward.max_steps = 4\ndpo.max_steps = 4\nsft.num_samples = 1"


@pytest.fixture
def ada(live_server, browser):
    """An admin's browser on the rounds of the demo project, and what it complains of."""
    seed.fill()
    with transaction() as session:
        project_id = session.scalars(select(Project.id)).one()
        user = make_user(session, "Ada", role=Role.ADMIN)
        cookie = accounts.open_session(session, user=user, now=database_now(session))
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PAGE_PATIENCE)
    kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
    context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, **kept}])
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.goto(f"{live_server}/projects/{project_id}/rounds")
    yield page
    context.close()
    assert complaints == []


def judge(page, what):
    """Let the simulated annotators judge as soon as the round has come to that step."""
    page.get_by_role("heading", name=re.compile(what)).wait_for(timeout=LONG)
    page.get_by_role("button", name="Let the simulated annotators judge").click()


def test_twice_round_the_loop_from_the_browser(ada, start_worker):
    start_worker()
    ada.get_by_role("link", name="How rounds go").click()
    ada.get_by_label("Prompts", exact=True).fill("6")
    ada.get_by_label("Tokens, at most").fill("16")
    ada.get_by_label("PPO").uncheck()
    ada.get_by_label("Settings", exact=True).fill(QUICK)
    ada.get_by_label("Also prompts that the models").check()
    ada.get_by_label("Prompts to compare on").fill("12")
    ada.get_by_role("button", name="Save").click()

    ada.get_by_role("button", name="Begin the first round").click()
    judge(ada, "Round 1: Rank")
    ada.get_by_role("button", name="Begin round 2").wait_for(timeout=LONG)
    assert "nothing yet to compare it with" in ada.locator("#rounds-table").inner_text()
    ada.get_by_role("button", name="Begin round 2").click()
    judge(ada, "Round 2: Rank")
    ada.get_by_role("link", name="Watch the comparison").wait_for(timeout=LONG)
    with transaction() as session:
        first, second = session.scalars(select(Round).order_by(Round.number)).all()
        sft = session.get_one(Run, second.run_ids["sft"])
        assert sft.parent_checkpoint_id == first.writer_checkpoint_id
        assert session.get_one(Checkpoint, first.writer_checkpoint_id).kind == "dpo"
    simulate = ada.get_by_role("button", name="Let the simulated annotators judge")
    begin = ada.get_by_role("button", name="Begin round 3")
    while not begin.count():  # the models write first; then there is something to judge
        with suppress(Error):  # the page brings itself up to date: the button may be gone
            simulate.first.click(timeout=2_000)
        ada.get_by_text("The simulated annotators are judging").wait_for(state="detached")
        begin.or_(simulate).first.wait_for(timeout=LONG)
    told = ada.locator("#rounds-table").inner_text()
    assert "the simulated annotators preferred" in told
    with transaction() as session:
        second = session.scalars(select(Round).where(Round.number == 2)).one()
        assert second.state is RoundState.SUCCEEDED
        low = second.figures["win"]["low"]
        assert second.is_promoted is (low > 0.5)
