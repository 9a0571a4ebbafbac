"""Each way to fail has a page of its own that says what to do."""

import errno
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app import artifacts
from app.accounts.models import User
from app.db import JobState, database_now
from app.projects.models import Project
from app.run_config import defaults, to_mapping
from app.runs import rules
from app.runs.formats import changed_for, trouble_of, typed_settings
from app.runs.models import Run, RunKind
from app.worker.troubles import in_words
from tests.runs.factories import make_run, make_snapshot

SignIn = Callable[[User], TestClient]
SAID = ["step 3/9", "Error: max_length is 5, and every row is longer."]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (rules.failure(2, SAID), "refused"),
        (rules.failure(3, ["Out of memory."]), "memory"),
        (rules.failure(4, ["The loss is NaN at step 3."]), "diverged"),
        (rules.failure(-9, []), "memory"),
        (rules.failure(137, []), "memory"),
        (rules.failure(-11, []), "crash"),
        (rules.failure(1, ["KeyError: 'x'"]), "unexpected"),
        ("The training was stopped from outside. Resume the run to go on.", "outside"),
        (rules.killed(9, peak=1, limit=10**10, oom=False), "outside"),
        (rules.killed(9, peak=10**10, limit=10**10, oom=False), "memory"),
        (rules.killed(11, peak=1, limit=10**10, oom=False), "crash"),
        (rules.given_up(rules.hung(1800), rules.HUNG), "hang"),
        (rules.given_up(rules.spun(14_400), rules.HUNG), "hang"),
        (rules.given_up("The worker was not heard of any more.", rules.WORKER_LOST), "lost"),
        (rules.DISK_FULL, "disk"),
        (in_words(OSError(errno.ENOSPC, "No space left on device", "/x")), "disk"),
        (in_words(OSError(errno.EACCES, "Permission denied", "/x")), "rights"),
        (in_words(RuntimeError("Oh")), "unexpected"),
        (artifacts.Damaged("runs/x/model").detail, "data"),
        ("It builds on “SFT 1”, which has not succeeded. Resume that run.", "base"),
    ],
)
def test_each_error_is_known_by_its_words(error: str, name: str) -> None:
    assert trouble_of(error).name == name


def test_another_try_with_less_memory_trains_on_as_many_rows() -> None:
    config = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 3}
    assert changed_for("smaller", config) == {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 6,
    }
    assert changed_for("smaller", {"per_device_train_batch_size": 1}) == {
        "gradient_checkpointing": True
    }
    assert changed_for("slower", {"learning_rate": 1e-4}) == {"learning_rate": 3.3e-5}
    assert changed_for("", config) == {}


@pytest.mark.parametrize("kind", list(RunKind))
def test_what_is_typed_again_is_what_was_asked_for(kind: RunKind) -> None:
    from app.run_config import parse_config

    given = {"learning_rate": 3e-4, "lora_target_modules": ["a", "b"], "bf16": True, "lora_r": 4}
    if kind in {RunKind.DPO, RunKind.PPO}:
        given["monitor_max_refusals"] = None
    config = to_mapping(parse_config(kind, given))
    typed = typed_settings(kind, config, defaults(kind))
    assert set(typed) == set(given)
    assert to_mapping(parse_config(kind, typed)) == config


@pytest.fixture
def fails(session: Session, project: Project) -> Callable[[str], Run]:
    def fail(error: str, **fields: Any) -> Run:
        run = make_run(
            session,
            make_snapshot(session, project),
            state=JobState.FAILED,
            error=error,
            finished_at=database_now(session),
            config=defaults("sft") | {"seed": 7, "lora_target_modules": []},
            **fields,
        )
        session.commit()
        return run

    return fail


def test_a_run_without_memory_leads_to_the_form_with_half_the_batch(
    sign_in: SignIn, people: Any, project: Project, fails: Callable[..., Run]
) -> None:
    needs = {"device": "cuda", "gpu_memory_gb": 24}
    run = fails(
        rules.failure(3, ["Out of memory."]),
        saved_step=4, saved_path="x", step=5, priority=1, needs=needs,
    )  # fmt: skip
    page = sign_in(people.ada).get(f"/projects/{project.id}/runs/{run.id}").text
    assert "It ran out of memory" in page
    assert "Resume from step 4" in page
    link = f"/projects/{project.id}/runs/new?again={run.id}&amp;change=smaller"
    assert link in page
    form = sign_in(people.ada).get(link.replace("&amp;", "&")).text
    assert 'name="set.per_device_train_batch_size" value="4"' in form
    assert 'name="set.gradient_accumulation_steps" value="2"' in form
    assert 'name="set.seed" value="7"' in form
    assert 'name="set.warmup_steps" value=""' in form  # a default stays one
    assert '<option value="1" selected>' in form  # sooner than others, as the run was
    assert '<option value="cuda" selected>' in form
    assert 'name="gpu_memory_gb" value="24"' in form
    seen = sign_in(people.vic).get(f"/projects/{project.id}/runs/{run.id}").text
    assert "An admin of the project can resume it" in seen
    assert link not in seen


def test_a_run_of_another_project_fills_no_form(
    session: Session, sign_in: SignIn, ada: User, project: Project
) -> None:
    from tests.factories import make_project

    other = make_run(session, make_snapshot(session, make_project(session, "Other", by=ada)))
    session.commit()
    assert sign_in(ada).get(f"/projects/{project.id}/runs/new?again={other.id}").status_code == 404
