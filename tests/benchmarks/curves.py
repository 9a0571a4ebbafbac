"""What live curves cost: `python -m tests.benchmarks.curves [--steps N] [--runs N]`.

Fills a database of its own with runs of N logged steps (a hundred thousand) and fifteen metrics
each, then asks as the pages do: the curves of a run at first, each poll after, the page itself,
all runs over each other and a hand on the slider there, and what the worker pays to log a step.
Prints; asserts nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from uuid import UUID

from fastapi.testclient import TestClient
from playwright.sync_api import sync_playwright
from sqlalchemy import text

from app.accounts import service as accounts
from app.accounts.models import Role
from app.db import JobState, connect, database_now, transaction
from app.main import create_app
from app.runs import service
from app.runs.formats import MORE, charts_of
from app.runs.models import MetricBlock, Run, RunKind
from app.runs.service.blocks import sum_up
from app.schema import migrate
from app.web.protection import SESSION_COOKIE
from tests.benchmarks.quality import server
from tests.conftest import chromium_path, fresh_database, psycopg_url, serving
from tests.factories import make_member, make_project, make_user
from tests.runs.factories import make_run, make_snapshot

KIND = RunKind.DPO
NAMES = ["time", *(name for chart in [*charts_of(KIND, {}), *MORE] for name in chart.curves)]
STEPS = """
INSERT INTO metric (run_id, attempt, step, values)
SELECT :run, 1, step, jsonb_build_object({}) || CASE WHEN step % 1000 = 0
  THEN jsonb_build_object('eval_loss', 0.6, 'eval_rewards/accuracies', 0.7) ELSE '{{}}' END
FROM generate_series(1, :steps) step
"""


def figures() -> str:
    """Noisy curves that fall, the time among them, in SQL."""
    noisy = (
        f"'{name}', 1 / ln(step + 2) + 0.2 * random() + {place} / 10.0"
        for place, name in enumerate(NAMES)
        if name != "time" and not name.startswith("eval_")
    )
    return ", ".join(["'time', 1.7e9 + step", *noisy])


def long_run(project: object, *, steps: int, name: str) -> UUID:
    """A run that has logged so many steps and goes on."""
    with transaction() as session:
        run = make_run(session, make_snapshot(session, project), KIND, name=name, total_steps=steps)
        lease = service.start(session, run_id=run.id)
        assert lease is not None
        session.execute(text(STEPS.format(figures())), {"run": run.id, "steps": steps})
        for upto in range(MetricBlock.SIZE, steps, 64 * MetricBlock.SIZE):  # in parts, as it comes
            sum_up(session, lease=lease, step=upto)
        sum_up(session, lease=lease, step=steps)
        run.step = steps
        return run.id


def timed(name: str, what: Callable[[int], object], *, times: int = 20) -> None:
    what(0)  # the first one compiles statements and templates
    seconds = []
    for number in range(1, times + 1):
        begun = time.perf_counter()
        what(number)
        seconds.append(time.perf_counter() - begun)
    middle, worst = statistics.median(seconds), max(seconds)
    print(f"  {name:52} {1000 * middle:7.1f} ms   worst {1000 * worst:7.1f} ms", flush=True)


@contextmanager
def browser_of(user: object):
    with TestClient(create_app(), base_url="https://testserver") as client:
        with transaction() as session:
            cookie = accounts.open_session(session, user=user, now=database_now(session))
        client.cookies.set(SESSION_COOKIE, cookie)
        yield client


def measure(steps: int, runs: int) -> None:
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        project = make_project(session, "Long", by=ada)
        make_member(session, project, ada, Role.ADMIN)
        session.flush()
        session.expunge_all()
    ids = [long_run(project, steps=steps, name=f"DPO {n}") for n in range(1, runs + 1)]
    with transaction() as session:
        session.execute(text("ANALYZE"))
    print(f"{runs} runs of {steps:,} steps, {len(NAMES)} curves on the page of each")
    query = "&".join(f"metric={name}" for name in NAMES)
    address = f"/api/v1/runs/{ids[0]}/curves?{query}"

    with browser_of(ada) as client:

        def get(path: str) -> object:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            return answer

        size = len(get(f"{address}&points=600").content)
        timed("first load of all curves", lambda _: get(f"{address}&points=600"))
        print(f"    {size / 1024:,.0f} KiB")
        timed("poll, one new step", lambda _: get(f"{address}&after_step={steps - 2}"))
        timed(
            "poll after a minute away, 600 steps",
            lambda _: get(f"{address}&after_step={steps - 600}"),
        )
        timed(
            "the page (renewed while it runs)",
            lambda _: get(f"/projects/{project.id}/runs/{ids[0]}"),
        )
        some = f"{query}&points=600"
        timed(
            f"first load of {runs} runs over each other",
            lambda _: [get(f"/api/v1/runs/{each}/curves?{some}") for each in ids],
            times=5,
        )
        chosen = "&".join(f"run={each}" for each in ids)
        timed(
            "the page that compares them",
            lambda _: get(f"/projects/{project.id}/runs/compare?{chosen}"),
        )
        timed(
            "every step of one run, 5,000 at a time (before)",
            lambda _: [
                get(f"/api/v1/runs/{ids[0]}/metrics?after_step={after}")
                for after in range(0, steps, 5000)
            ],
            times=1,
        )
    drag(ada, f"/projects/{project.id}/runs/compare?{chosen}")
    timed(
        "logging a step (worker)",
        lambda number: log(ids[0], steps + number),
        times=2 * MetricBlock.SIZE,
    )


DRAG = """async (moves) => {
  const slider = document.querySelector("[name=smooth]");
  const frame = () => new Promise(requestAnimationFrame);
  const took = [];
  for (let number = 1; number <= moves; number += 1) {
    slider.value = 0.9 * number / moves;
    const begun = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await frame();
    await frame(); // the first chart in sight has followed
    took.push(performance.now() - begun);
  }
  return took;
}"""


def drag(user: object, path: str) -> None:
    """Move the slider of the smoothing in Chromium, as a hand does, over the curves in sight."""
    chromium = chromium_path()
    if chromium is None:
        print("  no Chromium here: the slider is not moved")
        return
    with transaction() as session:
        cookie = accounts.open_session(session, user=user, now=database_now(session))
    with serving() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
        context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, **kept}])
        page = context.new_page()
        page.goto(f"{address}{path}")
        page.locator(".js-plotly-plot .scatterlayer").first.wait_for(timeout=60_000)
        page.wait_for_load_state("networkidle")
        page.evaluate(DRAG, 5)  # the first moves compile
        took = sorted(page.evaluate(DRAG, 40))
        name = "a move of the slider over them, until a chart follows"
        middle, worst = statistics.median(took), took[-1]
        print(f"  {name:52} {middle:7.1f} ms   worst {worst:7.1f} ms", flush=True)
        browser.close()


def log(run_id: UUID, step: int) -> None:
    with transaction() as session:
        run = session.get_one(Run, run_id)
        assert run.state is JobState.RUNNING
        lease = service.Lease(run.id, run.attempt)
        values = dict.fromkeys(NAMES, 0.5)
        service.record(session, lease=lease, metrics=[{"step": step, **values}])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--server", help="URL of a PostgreSQL server to use")
    arguments = parser.parse_args()
    with server(arguments.server) as url, fresh_database(url) as name:
        engine = connect(psycopg_url(url, name), pool_size=4)
        migrate(engine)
        measure(arguments.steps, arguments.runs)
        engine.dispose()


if __name__ == "__main__":
    main()
