"""Every page of a project at work: it fits, nothing complains, and axe finds no fault.

On a phone and on a desk, light and dark, over the demo project with runs beside it.
"""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.accounts import service as accounts
from app.accounts.models import Role, User, UserKind
from app.annotation.models import Annotation
from app.annotation.service.submitting import PAUSED_BECAUSE
from app.corpus.models import Import, Prompt
from app.datasets.models import Snapshot
from app.datasets.schemas import Recipe
from app.db import JobState, database_now, transaction
from app.demo import seed
from app.evaluation import service as evaluations
from app.evaluation.models import EvaluationPrompt
from app.generation.models import Endpoint, Generation
from app.projects import service as projects
from app.projects.models import MemberMessage, Membership, Project
from app.projects.queries import member
from app.projects.schemas import Example, ProjectPatch
from app.projects.service import exclude_member
from app.quality.service import re_asks
from app.runs.models import Metric, RunEvent, RunKind, RunLog, Sample
from app.runs.service.attempts import enqueue
from app.tasks.models import Appeal, GoldKey, Task, TaskKind
from app.web.protection import SESSION_COOKIE
from app.worker.imports import run_import
from app.worker.snapshots import freeze_now
from tests.axe import faults
from tests.corpus.files import json_lines, pair, request_check
from tests.evaluation.factories import judge, make_evaluation
from tests.factories import make_user
from tests.playground.factories import make_turn
from tests.rounds.factories import make_told_rounds
from tests.runs.factories import make_checkpoint, make_run, make_worker

pytestmark = [pytest.mark.browser, pytest.mark.concurrency]

CONFIGS = ("preference", "hh-rlhf", "ranking", "sft")
OTHER = Recipe(min_annotations=2, pairs="best_worst", seed=1, test_share=0.3)
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 800}

WIDE = """
    [...document.querySelectorAll("main *")]
        .filter((each) => each.getBoundingClientRect().right > innerWidth)
        .filter((each) => !each.closest(".table-wrap"))
        .slice(-3).map((each) => each.outerHTML.slice(0, 200))
"""
TAB_IN_SIGHT = """() => {
  const tab = document.querySelector(".tabs [aria-current]")?.getBoundingClientRect();
  return !tab || (tab.left >= 0 && tab.right <= innerWidth);
}"""


def change_guidelines(session, project, ada):
    """New guidelines with an example, and a sample that is re-asked; a draft of what comes next."""
    judge_id = session.scalars(select(Annotation.user_id).where(Annotation.counted)).first()
    judge = session.get_one(User, judge_id)
    judge.kind, judge.email = UserKind.PERSON, "judge@example.org"  # only who signs in is asked
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
def pages(live_server, tmp_path):
    """The addresses of all pages, and the cookie of an admin who may see them."""
    seed.fill()
    with transaction() as session:
        project_id = session.scalars(select(Project.id)).one()
    other = freeze_now(project_id=project_id, recipe=OTHER, name="A stricter one " + "n" * 90)
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        cookie = accounts.open_session(session, user=ada, now=database_now(session))
        project = session.scalars(select(Project)).one()
        snapshot = session.scalars(select(Snapshot).where(Snapshot.id != other.id)).one()
        snapshot.erased_at = database_now(session)  # so do the pages of what learned from it
        ended = {"attempt": 1, "step": 40, "finished_at": database_now(session), "path": "none"}
        run = make_run(session, snapshot, RunKind.REWARD, state=JobState.SUCCEEDED, **ended)
        error = "Not a number: " + "x" * 90
        failed = make_run(
            session, snapshot, RunKind.DPO, state=JobState.FAILED, error=error, **ended
        )
        alive = make_run(session, snapshot, RunKind.PPO, state=JobState.RUNNING, attempt=1, step=9)
        alive.seen_at = database_now(session)
        session.add(RunLog(run_id=alive.id, attempt=1, tail="step 9/9 " + "x" * 200))
        session.add(RunEvent(run_id=alive.id, attempt=1, kind="warning", message="w" * 200))
        for step in range(1, 41):
            values = {"loss": 1 / step, "accuracy": 0.5, "learning_rate": 1e-4, "grad_norm": 1.0}
            session.add(Metric(run_id=run.id, attempt=1, step=step, values=values))
        text = {"prompt": "How long is a word? " + "w" * 200, "response": "x" * 300, "score": 0.25}
        for step in (10, 20, 40):
            session.add(Sample(run_id=run.id, attempt=1, step=step, values=text))
        session.add(RunEvent(run_id=run.id, attempt=1, kind="succeeded"))
        checkpoint = make_checkpoint(session, project, RunKind.REWARD, run=run)
        writer = make_checkpoint(session, project, RunKind.SFT)
        generation = Generation(
            project_id=project.id, checkpoint_id=writer.id, config={"n": 2, "temperature": 1.0}
        )
        session.add(generation)
        make_worker(session, gpus=(80.0, 80.0), host="h" * 90)
        make_worker(session, draining_at=database_now(session))
        make_worker(session, seen_at=database_now(session) - timedelta(hours=1))
        needs = {"device": "cuda", "gpu_memory_gb": 288}
        queued = make_run(session, snapshot, RunKind.SFT, name="q" * 90, needs=needs)
        enqueue(session, run=queued)
        compared = compare(session, project, writer, checkpoint, by=ada)
        words = ("x" * 300, "# Eggs\n\n" + "three " * 90)
        turn, played = make_turn(
            session, project, writer, writer, texts=words, by=ada, judges=[checkpoint]
        )
        endpoint = Endpoint(
            project_id=project.id, name="E" * 60, base_url="http://gpu:1/v1", model="m" * 90
        )
        session.add(endpoint)
        session.flush()
        turn.answers[1].checkpoint_id, turn.answers[1].endpoint_id = None, endpoint.id
        turn.answers[1].name = endpoint.name
        re_ask = change_guidelines(session, project, ada)
        lines = [pair("w" * 200, tags=["t" * 90]), "x" * 300, pair("", extra=1)]
        file = json_lines(tmp_path / ("f" * 90), lines)
        check_id = request_check(session, project, file, by=ada)
        run_import(check_id)
        import_id = session.scalars(select(Import.id).where(~Import.dry_run)).one()
        prompt_id = session.scalars(select(Prompt.id).limit(1)).one()
        member_id = session.scalars(select(Membership.user_id).limit(1)).one()
        day = session.scalars(select(func.max(Annotation.submitted_at))).one().date()
        judge_id = session.scalars(select(Annotation.user_id).where(Annotation.counted)).first()
        person_id = session.scalars(
            select(Membership.user_id).where(Membership.gold_seen > 0).limit(1)
        ).one()
        task_id = session.scalars(  # its trace tells that she is kept out since
            select(Task.id)
            .join(Annotation, Annotation.task_id == Task.id)
            .where(Task.kind == TaskKind.ORDINARY, Task.counted > 1, Annotation.counted)
            .where(Annotation.user_id == person_id)
            .order_by(Task.id)
        ).first()
        hash_of_task = (
            session.scalars(
                select(Prompt.content_hash)
                .join(Task, Task.prompt_id == Prompt.id)
                .where(Task.id == task_id)
            )
            .one()
            .hex()
        )
        gold_id = session.scalars(select(GoldKey.task_id).limit(1)).one()
        care_for(session, project, person_id=person_id, gold_id=gold_id, by=ada)
        round_ = make_told_rounds(session, project, ada)
        base = f"/projects/{project.id}"
        below = (
            "", "/rank", "/rank/history", "/rank/progress", "/rank/qualification", "/guidelines",
            "/guidelines/edit", "/guidelines/differences", "/guidelines/versions", "/re-asks",
            f"/re-asks/{re_ask.id}", "/data", "/annotators", "/review",
            "/review?order=posterior&state=all", "/work", "/snapshots",
            "/agreement", "/agreement?by=tag", "/agreement?by=annotator_pair",
            "/consensus", "/leaderboard", "/gold", f"/annotators/{person_id}",
            f"/annotators/{person_id}/requeue?what=last&last=5",
            "/rounds", "/rounds/settings", f"/rounds/{round_.id}",
            "/playground", f"/playground/{played.id}",
            "/snapshots/new", "/runs", "/runs/new", "/settings", "/members", "/endpoints",
            f"/endpoints/{endpoint.id}",
            f"/annotators/{judge_id}", f"/annotators/{judge_id}/privacy",
            f"/members/{member_id}", "/pause", "/generations", "/generations/new",
            f"/days/{day}", "/days/2020-01-01",
            f"/imports/{import_id}", f"/imports/{import_id}/undo", f"/imports/{check_id}",
            f"/data?brought_by={import_id}",
            f"/prompts/{prompt_id}",
            *(f"/snapshots/{snapshot.id}?config={name}" for name in CONFIGS),
            *(f"/snapshots/{snapshot.id}/rows?config={name}&mark=true" for name in CONFIGS),
            f"/snapshots/{snapshot.id}/rows/{hash_of_task}", f"/snapshots/{other.id}/delete",
            "/snapshots/compare", f"/snapshots/compare?a={snapshot.id}&b={other.id}",
            f"/snapshots/compare?a={snapshot.id}&b={other.id}&config=preference&kind=went",
            f"/runs/{run.id}",
            f"/runs/{failed.id}",
            f"/runs/{alive.id}",
            "/runs/compare",
            f"/runs/compare?run={run.id}&run={failed.id}&smooth=0.6&scale=log",
            f"/runs/new?again={failed.id}&change=smaller",
            f"/runs/{queued.id}", "/workers",
            f"/checkpoints/{checkpoint.id}",
            f"/checkpoints/{checkpoint.id}/models", "/storage", "/guidelines/1/models",
            f"/annotators/{person_id}/models", f"/prompts/{prompt_id}/models",
            f"/snapshots/{snapshot.id}/models",
            f"/generations/{generation.id}",
            "/evaluations", "/evaluations/new", "/promotions",
            f"/evaluations/{compared.id}",
        )  # fmt: skip
        paths = [f"{base}{path}" for path in below]
        paths += [f"/tasks/{gold_id}/gold"]
        paths += [
            f"/tasks/{task_id}/review",
            "/projects",
            "/projects/new",
            "/account",
            "/users",
            "/workers",
        ]
        paths += [f"/users/{judge_id}/privacy"]
    return [f"{live_server}{path}" for path in paths], cookie


def compare(session, project, writer, reward, *, by):
    """A comparison that is judged and decided, and whose winner is promoted."""
    newcomer = make_checkpoint(session, project, RunKind.DPO)
    newcomer.name = "The newcomer " + "n" * 90
    tags = [["t" * 90], ["code"]]
    found = make_evaluation(
        session, project, newcomer, writer, prompts=24, equal=2, tags=tags,
        reward_checkpoint_id=reward.id, warnings=["Only 26 of 200 fit. " + "w" * 120],
    )  # fmt: skip
    judge(session, found, make_user(session, "Eva"), [1] * 22 + [0.5, 0])
    rows = session.scalars(select(EvaluationPrompt).where(EvaluationPrompt.task_id.is_not(None)))
    for row in rows:
        row.a_score, row.b_score = row.place % 5 - 1.0, 0.5
        row.a_samples = row.b_samples = [0.0, 1.0, float(row.place)]
    session.flush()
    evaluations.settle(session, evaluation=found)
    about = {"project": project, "checkpoint": newcomer, "by": by}
    evaluations.promote(session, evaluation=found, because="r" * 120, **about)
    return found


def care_for(session, project, *, person_id, gold_id, by):
    """Whatever a person's page and the gold page can show."""
    about = {"project_id": project.id, "user_id": person_id}
    membership = member(session, project=project, user_id=person_id)
    now = database_now(session)
    membership.paused_at, membership.pause_reason = now, PAUSED_BECAUSE
    exclude_member(session, membership=membership, reason="x" * 90, by=by, now=now)
    session.add(MemberMessage(body="Read this: " + "w" * 90, **about))
    session.add(Appeal(body="May I? " + "w" * 90, **about))
    session.add(Appeal(body="It is right.", task_id=gold_id, **about))
    session.add(MemberMessage(project_id=project.id, user_id=by.id, body="Read this, please."))


def visit(page, addresses):
    """What is wrong with the pages, one after the other: loaded on a phone, then made wide."""
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda said: said.type in {"error", "warning"} and troubles.append(said.text),
    )
    for address in addresses:
        before = len(troubles)
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        page.set_viewport_size(PHONE)
        if page.goto(address, wait_until="load").status != 200:
            troubles.append("it is not there")
        troubles.extend(misfits(page, "a phone"))
        # as tall as the page: what lies under a bar that sticks can be scrolled away from it
        tall = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({**PHONE, "height": max(tall, PHONE["height"])})
        troubles += faults(page)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.set_viewport_size(DESK)
        troubles.extend(misfits(page, "a desk"))
        troubles[before:] = [(page.url, trouble) for trouble in troubles[before:]]
    return troubles


def misfits(page, where):
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        yield f"it is wider than the window of {where}", page.evaluate(WIDE)
    if not page.evaluate(TAB_IN_SIGHT):
        yield f"the tab of the page is out of sight on {where}"


def test_it_fits_and_nothing_complains(browser, pages):
    addresses, cookie = pages
    context = browser.new_context()
    kept = {"domain": "127.0.0.1", "path": "/", "secure": True}
    context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, **kept}])
    assert visit(context.new_page(), addresses) == []
    context.close()
