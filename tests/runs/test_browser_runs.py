"""Curves, comparison and the launch form in a browser."""

import re

import pytest
from sqlalchemy import select

from app.accounts import service as accounts
from app.accounts.models import Role
from app.datasets.models import Snapshot
from app.db import JobState, database_now, transaction
from app.runs import service
from app.runs.models import RunCheck, RunKind
from app.web.protection import SESSION_COOKIE
from tests.factories import make_member, make_project, make_user
from tests.runs.factories import make_run, make_snapshot

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

REPORT = {
    "ok": True,
    "steps": 54,
    "steps_per_epoch": 18,
    "tokens": 48_200,
    "beside": 0,
    "notes": ["Left out 2 of 146 rows."],
    "seconds": {
        "making": 31.0,
        "loading": 4.2,
        "preparing": 0.0,
        "update": 0.5,
        "evaluation": 2.0,
        "total": 65.0,
    },
    "memory": {"device": "cpu", "peak": 912_000_000, "total": 8_200_000_000},
    "data": {"train": {"rows": 144}, "test": {"rows": 16}},
}


class Place:
    """A project with two runs, and Ada's browser; what the pages complain of is kept."""

    def __init__(self, address, browser):
        self.address, self.complaints = address, []
        with transaction() as session:
            ada = make_user(session, "Ada", role=Role.ADMIN)
            project = make_project(session, "Kitchen", by=ada)
            make_member(session, project, ada, Role.ADMIN)
            snapshot = make_snapshot(session, project)
            self.snapshot = snapshot.id
            self.runs = [self.train(session, snapshot, seed) for seed in (1, 2)]
            cookie = accounts.open_session(session, user=ada, now=database_now(session))
            self.base = f"{address}/projects/{project.id}"
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
        self.context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, **kept}])
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def train(self, session, snapshot, seed):
        config = {"seed": seed, "lora_r": 0}
        run = make_run(session, snapshot, RunKind.SFT, name=f"SFT {seed}", config=config)
        lease = service.start(session, run_id=run.id)
        for step in range(1, 41):
            line = {"step": step, "time": 1e9 + 9 * step, "loss": seed + step % 3, "grad_norm": 1.0}
            service.record(session, lease=lease, metrics=[line])
        return run.id


@pytest.fixture
def place(live_server, browser):
    place = Place(live_server, browser)
    yield place
    place.context.close()
    assert place.complaints == []


def debiased(values, weight):
    """TensorBoard's smoothing, as its documentation has it: the average over 1 - weight^n."""
    last, smooth = 0.0, []
    for n, value in enumerate(values, 1):
        last = weight * last + (1 - weight) * value
        smooth.append(last / (1 - weight**n))
    return smooth


def drawn(page, metric="Is it learning?"):
    """The curves of a chart as Plotly holds them."""
    chart = page.locator("section", has=page.get_by_role("heading", name=metric)).locator(".chart")
    chart.locator(".main-svg").first.wait_for()
    return chart.evaluate("e => e.data.map(t => ({x: t.x, y: t.y, opacity: t.opacity ?? 1}))")


def test_curves_are_smoothed_as_tensorboard_does_and_the_address_remembers(place):
    page = place.page
    page.goto(f"{place.base}/runs/{place.runs[0]}")
    (raw,) = drawn(page)
    assert raw["x"] == list(range(1, 41))
    page.get_by_label("Smoothing").fill("0.6")
    page.locator("[name=axis]").select_option("duration")
    page.wait_for_url(re.compile(r"smooth=0\.6&axis=duration"))
    page.reload()
    page.wait_for_function("() => document.querySelector('[data-curve=\"0\"]')?.data?.length === 2")
    faint, smooth = drawn(page)
    assert faint["opacity"] < 0.5
    assert faint["y"] == raw["y"]
    assert smooth["y"] == pytest.approx(debiased(raw["y"], 0.6))
    assert smooth["x"][-1] == pytest.approx(9 * 39 / 60)  # minutes since the first step


def test_a_click_on_what_has_just_appeared_is_not_lost(place):
    page = place.page
    with transaction() as session:
        run = make_run(session, session.get_one(Snapshot, place.snapshot), name="Quick").id
    page.goto(f"{place.base}/runs/{run}")
    page.get_by_text("It waits for a worker").wait_for()
    with transaction() as session:
        lease = service.start(session, run_id=run)
        service.record(session, lease=lease, metrics=[{"step": 1, "time": 1e9, "loss": 1.0}])
        service.succeed(session, lease=lease, path="runs/a", files=[], result={"steps": 1})
    page.get_by_role("heading", name="It is done").wait_for()

    def answer_late(route):
        page.wait_for_timeout(1_500)  # time enough for the page to think better of it
        route.continue_()

    page.route("**/checkpoints/*", answer_late)
    page.get_by_role("link", name="its checkpoint").click(no_wait_after=True)
    page.wait_for_url("**/checkpoints/*")


def test_runs_ticked_in_the_list_are_laid_over_each_other(place):
    page = place.page
    page.goto(f"{place.base}/runs")
    for name in ("SFT 1", "SFT 2"):
        page.get_by_role("checkbox", name=f"Compare {name}").check()
    page.get_by_role("button", name="Compare the chosen runs").click()
    page.get_by_role("heading", name="Compare runs").wait_for()
    page.wait_for_function("() => document.querySelector('[data-curve=\"0\"]')?.data?.length === 2")
    settings = page.get_by_role("region", name="Settings")
    assert settings.get_by_role("row", name="seed").is_visible()
    assert not settings.get_by_role("row", name="lora_r").is_visible()
    page.get_by_label("Also what is the same").check()
    assert settings.get_by_role("row", name="lora_r").is_visible()
    page.get_by_label("Show the curves of SFT 2").uncheck()
    page.wait_for_function("() => document.querySelector('[data-curve=\"0\"]').data.length === 1")


def answer(**values):
    """What a worker finds, without one."""
    with transaction() as session:
        (check,) = session.scalars(select(RunCheck).where(RunCheck.state == JobState.QUEUED))
        check.finished_at = database_now(session)
        for name, value in values.items():
            setattr(check, name, value)


def test_nothing_is_asked_while_a_model_is_still_to_be_named(place):
    page, refused = place.page, []
    page.on("response", lambda reply: reply.status == 422 and refused.append(reply.url))
    page.goto(f"{place.base}/runs/new?kind=sft")
    page.get_by_text("40 rows, about 15 steps").wait_for()
    page.get_by_label("Another model").check()
    page.get_by_text("Once nothing is missing").wait_for()
    page.get_by_label("Folder or hub id").fill("some/model")
    page.get_by_text("40 rows, about 5 steps").wait_for()
    assert refused == []


def test_the_form_says_what_a_run_would_be(place):
    page = place.page
    page.goto(f"{place.base}/runs/new?kind=sft")
    page.get_by_text("40 rows, about 15 steps").wait_for()
    page.get_by_role("button", name="Check it first").click()
    page.get_by_role("progressbar", name="The check is under way").wait_for()
    answer(state=JobState.SUCCEEDED, report=REPORT)
    page.get_by_role("heading", name="It can run").wait_for()
    page.get_by_text("0.9 GB of 8.2 GB").wait_for()
    page.get_by_text("Left out 2 of 146 rows.").wait_for()
    page.get_by_label("learning_rate").fill("fast")
    page.get_by_text("check again to be sure").wait_for()
    page.get_by_text(re.compile("learning_rate: must be a number")).wait_for()
    page.get_by_label("learning_rate").fill("1e-3")
    page.get_by_role("button", name="Check it first").click()
    page.get_by_role("progressbar", name="The check is under way").wait_for()
    error = "max_length is 8, and every row is longer. Raise it."
    answer(state=JobState.FAILED, error=error, field="config.max_length")
    page.get_by_text(error).wait_for()
    page.get_by_role("button", name="Go to max_length").click()
    assert page.evaluate("document.activeElement.id") == "set-max_length"
