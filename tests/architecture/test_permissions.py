"""Every route × every person: who has no right is refused, who has it is not."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from app import main
from app.accounts.models import ApiToken
from app.annotation.models import Requeue
from app.corpus.models import Import
from app.datasets.models import Snapshot
from app.db import JobState, database_now
from app.evaluation.models import Evaluation, Promotion
from app.generation.models import Endpoint, Generation
from app.projects.models import MemberMessage
from app.quality.models import Adjudication, SendBack
from app.rounds.models import Round
from app.rounds.rules import Step
from app.runs.models import Checkpoint, Run, RunCheck, RunKind
from app.tasks.models import Appeal, Assignment, ReAsk
from tests.architecture.permissions import PERMISSIONS, Who
from tests.conftest import furnished
from tests.factories import make_task
from tests.people import make_noise, make_people
from tests.playground.factories import make_turn
from tests.runs.factories import make_checkpoint, make_worker

TEMPLATES = Path(main.__file__).parent.parent / "templates"
ROLES = {
    Who.MEMBER: {"ana", "rui", "ada", "vic"},
    Who.ANNOTATOR: {"ana", "rui", "ada"},
    Who.VIEWER: {"rui", "ada", "vic"},
    Who.REVIEWER: {"rui", "ada"},
    Who.ADMIN: {"ada"},
    Who.INSTALLATION: {"ada"},
    Who.OWNER: {"ana"},
    Who.SIGNED_IN: {"ana", "rui", "ada", "vic", "sam"},
}
BODIES = {
    "PUT /api/v1/projects/{project_id}/appeals/{appeal_id}": lambda _: {"outcome": "stands"},
    "POST /api/v1/users/{user_id}/erasure": lambda _: {"texts": True},
    "PUT /api/v1/runs/{run_id}/priority": lambda _: {"priority": 1},
    "POST /api/v1/runs": lambda ids: {
        "kind": "reward",
        "snapshot_id": ids["snapshot_id"],
        "base": {"new": "tiny"},
    },
}


def routes():
    routers = [(router, "") for router in main.PAGES]
    routers += [(router, "/api/v1") for router in main.API]
    routers += [(main.upkeep, "")]
    return {
        f"{method} {prefix}{route.path}"
        for router, prefix in routers
        for route in router.routes
        for method in route.methods - {"HEAD"}
    }


def test_the_table_names_every_route_and_no_other():
    assert routes() == set(PERMISSIONS)


def test_a_link_of_a_page_leads_to_a_page():
    """Where a call of the API has the same name, the link leads there."""
    linked = {
        name
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(r"url\(['\"](\w+)", path.read_text())
    }
    pages = {route.name for router in main.PAGES for route in router.routes}
    calls = {route.name for router in main.API for route in router.routes}
    assert linked & pages & calls == set()


def make_one_of_everything(session, people):
    """In the project of Ada, Rui, Ana and Vic; the assignment is Ana's. Answers the ids."""
    now = database_now(session)
    task = make_task(session, people.project, wanted=3)
    task.leased = 1
    rows = {
        "import_id": Import(project_id=people.project.id, filename="a", format="auto", path="a"),
        "snapshot_id": Snapshot(project_id=people.project.id, name="s", recipe={}),
        "token_id": ApiToken(user_id=people.ana.id, name="t", prefix="tst_", token_hash=b"0"),
        "assignment_id": Assignment(
            project_id=people.project.id,
            task_id=task.id,
            user_id=people.ana.id,
            display_order=[1, 0],
            leased_until=now + timedelta(minutes=9),
        ),
    }
    rows |= {
        "adjudication_id": Adjudication(task_id=task.id, ranks=[1, 2], reason="Clear."),
        "send_back_id": SendBack(
            task_id=task.id, more=1, wanted_before=2, at_least_before=0, priority_before=0
        ),
    }
    session.add_all(rows.values())
    session.flush()
    run = Run(
        project_id=people.project.id,
        snapshot_id=rows["snapshot_id"].id,
        kind=RunKind.REWARD,
        name="r",
        base={"new": "tiny"},
        config={},
        state=JobState.QUEUED,
    )
    session.add(run)
    session.flush()
    checkpoint = Checkpoint(
        project_id=people.project.id,
        run_id=run.id,
        kind=RunKind.SFT,
        name="c",
        step=1,
        path="checkpoints/none",
        bytes=0,
        sha256="0",
        files=[],
    )
    session.add(checkpoint)
    session.flush()
    generation = Generation(
        project_id=people.project.id, checkpoint_id=checkpoint.id, config={"n": 2}
    )
    evaluation = Evaluation(
        project_id=people.project.id,
        name="e",
        a_checkpoint_id=checkpoint.id,
        config={"judgements": 1, "margin": 0, "stop": True, "prompts": 9, "priority": 1}
        | dict.fromkeys(("tag", "source", "snapshot_id"))
        | {"temperature": 1, "top_p": 1, "max_new_tokens": 9, "seed": 1},
    )
    promotion = Promotion(
        project_id=people.project.id, checkpoint_id=checkpoint.id, reason="First."
    )
    session.add_all([generation, evaluation, promotion])
    check = RunCheck(
        project_id=people.project.id,
        snapshot_id=rows["snapshot_id"].id,
        kind=RunKind.REWARD,
        base={"new": "tiny"},
        config={},
    )
    session.add(check)
    session.flush()
    round_ = Round(project_id=people.project.id, number=1, step=Step.RANK, policy={})
    session.add(round_)
    endpoint = Endpoint(
        project_id=people.project.id, name="E", base_url="http://127.0.0.1:9/v1", model="m"
    )
    session.add(endpoint)
    hers = {"project_id": people.project.id, "user_id": people.vic.id}
    message = MemberMessage(body="Hello", **hers)
    requeue = Requeue(which="all", judgements=0, **hers)
    appeal = Appeal(body="No", task_id=task.id, **hers)
    session.add_all([message, requeue, appeal])
    session.flush()
    re_ask = ReAsk(project_id=people.project.id, from_version=1, to_version=2, needed=2, size=1)
    session.add(re_ask)
    session.flush()
    played, _ = make_turn(session, people.project, make_checkpoint(session, people.project))
    session.flush()
    return {name: str(row.id) for name, row in rows.items()} | {
        "conversation_id": str(played.turn.conversation_id),
        "turn_id": str(played.turn.id),
        "answer_id": str(played.answers[0].id),
        "re_ask_id": str(re_ask.id),
        "project_id": str(people.project.id),
        "task_id": str(task.id),
        "run_id": str(run.id),
        "checkpoint_id": str(checkpoint.id),
        "generation_id": str(generation.id),
        "evaluation_id": str(evaluation.id),
        "promotion_id": str(promotion.id),
        "check_id": str(check.id),
        "endpoint_id": str(endpoint.id),
        "prompt_id": str(task.prompt_id),
        "other_id": str(rows["snapshot_id"].id),
        "user_id": str(people.vic.id),
        "email": people.vic.email,
        "path": "README.md",
        "message_id": str(message.id),
        "requeue_id": str(requeue.id),
        "appeal_id": str(appeal.id),
        "round_id": str(round_.id),
        "deed": "pause",
        "worker_id": str(make_worker(session).id),
        "key": "x" * 43,
        "day": "2026-11-24",
        "version": "1",
        "table": "people",
        "kind": "toml",
    }


@pytest.fixture(scope="module")
def world(server_url, template):
    """A database with one of everything, made once: each test takes back what it did there."""
    ids = {}

    def furnish(session):
        make_noise(session)
        ids.update(make_one_of_everything(session, make_people(session)))

    with furnished(server_url, template, furnish) as engine:
        yield engine, ids


@pytest.fixture
def peopled_engine(world):
    return world[0]


@pytest.fixture
def ids(world):
    return world[1]


@pytest.mark.parametrize("route", sorted(PERMISSIONS))
def test_who_may_and_who_may_not(route, ids, people, client, sign_in):
    method, path = route.split(" ")
    path = re.sub(r"\{(\w+)(:path)?\}", lambda match: ids[match[1]], path)
    who = PERMISSIONS[route]
    if who is Who.ANYONE:
        assert client.request(method, path).status_code not in {401, 403}
        return
    body = BODIES.get(route, lambda _: None)(ids)
    allowed = ROLES[who]

    # A browser's visit is led to the sign-in page; everything else is refused.
    anonymous = client.request(method, path, json=body)
    assert anonymous.status_code == 401 or anonymous.headers["location"].startswith("/sign-in")
    # The refused come first: what an allowed person does may change what there is to refuse.
    for name in sorted({"ana", "rui", "ada", "vic", "sam"}, key=lambda name: name in allowed):
        status = sign_in(getattr(people, name)).request(method, path, json=body).status_code
        if name in allowed:
            assert status not in {401, 403}, f"{name} may, but got {status}"
        elif who is Who.INSTALLATION:
            assert status == 403, f"{name} got {status}"
        elif who is Who.OWNER or name == "sam":
            assert status == 404, f"{name} is a stranger here, but got {status}"
        else:
            assert status == 403, f"{name} lacks the right, but got {status}"
