"""The whole loop over HTTP with a real worker: import, judge, freeze, train, write, judge again."""

import json
import time
from collections.abc import Callable
from math import log
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.testclient import TestClient

from app.accounts import service as accounts
from app.accounts.models import Role, User
from app.db import database_now, transaction
from tests.factories import make_user
from tests.worker.processes import Start

pytestmark = pytest.mark.concurrency

PROMPTS = 24


def lines() -> bytes:
    """Prompts with a short polite reply and a long rude one."""
    rows = [
        {
            "id": f"egg-{number}",
            "prompt": f"How many eggs are in box {number}?",
            "responses": [
                {"text": f"There are {number} eggs, thank you.", "source": "polite"},
                {"text": f"Eggs {'eggs ' * (number % 5 + 3)}who knows", "source": "rude"},
            ],
        }
        for number in range(PROMPTS)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


class Programs:
    """People with their API tokens."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def of(self, name: str, role: Role = Role.ANNOTATOR) -> TestClient:
        with transaction() as session:
            user: User = make_user(session, name, role=role)
            key = accounts.create_token(
                session, user=user, name="journey", now=database_now(session)
            )
        headers = {"Authorization": f"Bearer {key}"}
        return TestClient(self.app, base_url="https://testserver/api/v1", headers=headers)


def wait_for(look: Callable[[], Any], *, seconds: float = 120) -> dict[str, Any]:
    """Ask until the thing has succeeded; what it says then."""
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = look().json()
        if found["state"] == "succeeded":
            return found
        assert found["state"] in {"queued", "running"}, found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def judge_all(person: TestClient, project: str) -> int:
    """Rank every task there is for her: the polite reply wins."""
    done = 0
    while True:
        claimed = person.post(f"/projects/{project}/assignments", json={})
        if claimed.status_code == 204:
            return done
        task = claimed.json()
        shown = {reply["text"]: reply["label"] for reply in task["responses"]}
        order = sorted(shown, key=lambda text: (not text.endswith("thank you."), text))
        answer = person.put(
            f"/assignments/{task['id']}/annotation",
            json={"ranking": [[shown[text]] for text in order]},
            headers={"Idempotency-Key": task["id"]},
        )
        assert answer.status_code == 201, answer.text
        done += 1


def test_once_round_the_loop(
    concurrency_engine: Engine,
    app: FastAPI,
    start_ready_worker: Start,
    tiny_lm: str,
) -> None:
    programs = Programs(app)
    ada, ana, rui = programs.of("Ada", Role.ADMIN), programs.of("Ana"), programs.of("Rui")
    start_ready_worker()

    project = ada.post(
        "/projects", json={"name": "Eggs", "overlap": {"min": 2}, "gold_rate": 0}
    ).json()["id"]
    for name in ("ana", "rui"):
        joined = ada.put(
            f"/projects/{project}/members/{name}@example.org", json={"role": "annotator"}
        )
        assert joined.status_code == 200

    asked = ada.post(
        f"/projects/{project}/imports?filename=eggs.jsonl",
        content=lines(),
        headers={"Content-Type": "application/x-ndjson"},
    ).json()
    brought = wait_for(lambda: ada.get(f"/imports/{asked['id']}"))
    assert (brought["rows_imported"], brought["rows_rejected"]) == (PROMPTS, 0)

    assert judge_all(ana, project) == PROMPTS
    assert judge_all(rui, project) == PROMPTS

    frozen = ada.post(
        f"/projects/{project}/snapshots", json={"recipe": {"min_annotations": 2}}
    ).json()
    snapshot = wait_for(lambda: ada.get(f"/snapshots/{frozen['id']}"))
    assert {"preference/train.jsonl.gz", "manifest.json"} <= {f["path"] for f in snapshot["files"]}

    config = {"max_steps": 12, "learning_rate": 1e-3, "num_samples": 1, "eval_steps": 12}
    runs = {
        kind: ada.post(
            "/runs",
            json={
                "kind": kind,
                "snapshot_id": snapshot["id"],
                "base": {"model": tiny_lm},
                "config": config,
            },
        ).json()["id"]
        for kind in ("reward", "dpo")
    }
    trained = {kind: wait_for(lambda r=run: ada.get(f"/runs/{r}")) for kind, run in runs.items()}
    curves = {kind: ada.get(f"/runs/{run}/metrics").json()["items"] for kind, run in runs.items()}
    assert [row["step"] for row in curves["reward"]] == list(range(1, 13))
    assert curves["reward"][-1]["accuracy"] > 0.9  # a rule that is easy to learn
    assert curves["dpo"][-1]["rewards/margins"] > 0
    assert ada.get(f"/runs/{runs['dpo']}/samples").json()["items"]

    writer = trained["dpo"]["checkpoint_id"]
    lineage = ada.get(f"/checkpoints/{writer}/lineage").json()
    assert lineage["snapshots"][0]["id"] == snapshot["id"]
    assert lineage["annotations"]["count"] == 2 * PROMPTS
    assert len(lineage["annotators"]) == 2
    assert lineage["guidelines_versions"] == [1]

    written = ada.post(
        f"/projects/{project}/generations",
        json={"checkpoint_id": writer, "n": 2, "include_existing": 1, "max_prompts": 5}
        | {"temperature": 1.0, "max_new_tokens": 16},
    ).json()
    generation = wait_for(lambda: ada.get(f"/generations/{written['id']}"))
    assert generation["done"] == 5
    assert generation["tasks_opened"] == 5

    new = ana.post(f"/projects/{project}/assignments", json={}).json()
    assert len(new["responses"]) == 3
    for secret in (writer, writer.replace("-", "")[:8], "checkpoint", "polite", "rude"):
        assert secret not in json.dumps(new).lower().replace("thank you", "")
    assert judge_all(ana, project) == 5

    asked_for = {
        "a": {"checkpoint": writer},
        "b": {"data": "best"},
        "prompts": 4,
        "allow_seen": True,
        "max_new_tokens": 8,
        "reward_checkpoint_id": trained["reward"]["checkpoint_id"],
        "best_of": 3,
    }
    compared = ada.post(f"/projects/{project}/evaluations", json=asked_for).json()
    wait_for(lambda: ada.get(f"/evaluations/{compared['id']}"), seconds=300)
    assert judge_all(ana, project) == 4
    assert judge_all(rui, project) == 4 + 5  # and the new responses of before
    found = ada.get(f"/evaluations/{compared['id']}").json()
    assert (found["verdict"]["judged"], found["verdict"]["judgements"]) == (4, 8)
    assert found["models"]["scores"]["prompts"] == 4
    assert list(found["models"]["best_of"]) == ["a"]  # the data has no further responses
    curve = found["models"]["best_of"]["a"]
    assert [point["n"] for point in curve] == [1, 2, 3]
    assert [point["kl"] for point in curve] == pytest.approx([0, log(2) - 1 / 2, log(3) - 2 / 3])
    means = [point["score"]["value"] for point in curve]
    assert means == sorted(means)
    assert len(set(means)) == 3  # the trained reward model tells the sampled responses apart
