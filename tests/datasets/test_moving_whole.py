"""What reviewers settled, how long judgements took, settings and guidelines leave and come back."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.annotation.models import Annotation
from app.corpus.models import Import, Prompt
from app.corpus.rules import prompt_hash
from app.corpus.service import request_undo
from app.db import database_now
from app.projects import queries, service
from app.projects.schemas import ProjectBody, ProjectPatch
from app.quality.models import Adjudication
from app.quality.service.review import adjudicate
from app.tasks.models import Task
from app.worker.imports.undoing import undo_import
from tests.corpus.files import brought_in, json_lines, problems
from tests.datasets.test_moving import lines_of
from tests.factories import make_annotation, make_project, make_task

TIMES = {"wall_ms": 4_000, "visible_ms": 3_000, "active_ms": 2_000}


@pytest.fixture
def here(session, project, ana, rui, ada):
    """A project under its third guidelines, one of whose tasks a reviewer has settled twice."""
    first = make_task(session, project, responses=["a", "b", "c"], wanted=2)
    make_annotation(session, first, ana, ranks=[1, 2, 3], **TIMES)
    now = database_now(session)
    for text, kind in (("Two", "must_read"), ("Two, clearer", "clarification")):
        example = {"prompt": "x", "responses": ["a", "b"], "ranks": [1, 2]}
        example["task_id"] = str(first.id)
        body = {"guidelines": text, "guidelines_kind": kind, "guidelines_note": f"why {text}"}
        patch = ProjectPatch.model_validate(body | {"guidelines_examples": [example]})
        service.update_settings(session, project=project, patch=patch, by=ada, now=now)
    later = make_annotation(session, first, rui, ranks=[2, 1, 3], wall_ms=None, active_ms=0)
    later.guidelines_version = 2
    adjudicate(session, task=first, ranks=[3, 2, 1], reason="Wrong at first.", by=rui)
    adjudicate(session, task=first, ranks=[1, 1, 3], reason="Both =1+1\u2028hold.", by=rui)
    gone = make_task(session, project, prompt="Nobody's")
    adjudicate(session, task=gone, ranks=[1, 2], reason="x", by=rui).withdrawn_at = now
    for prompt in session.scalars(select(Prompt).where(Prompt.project_id == project.id)):
        prompt.content_hash = prompt_hash(system=None, messages=prompt.messages)  # orders lines
    session.flush()
    return project


def copied(session, project, *, ada, name="There"):
    """An empty project with the settings of this one."""
    said = service.settings_of(session, project=project).model_dump_json()
    body = ProjectBody.model_validate(json.loads(said) | {"name": name})
    return service.create(session, by=ada, body=body)


def test_all_of_it_comes_back_to_the_byte(session, here, ada, export):
    first = export(here)
    there = copied(session, here, ada=ada)
    row = brought_in(session, there, first)
    assert (row.state, problems(row)) == ("succeeded", {})
    assert row.report["brings"]["adjudications"] == 1
    assert export(there).read_bytes() == first.read_bytes()
    again = copied(session, there, ada=ada, name="Again")
    said = [service.settings_of(session, project=each).model_dump() for each in (there, again)]
    assert said[0] | {"name": "Again"} == said[1]
    (line,) = [line for line in lines_of(first) if "annotations" in line]
    assert line["adjudication"]["reason"] == "Both =1+1\u2028hold."
    assert line["adjudication"]["ranks"] == [1, 1, 3]
    said = {each["annotator"]: each for each in line["annotations"]}
    assert said["Ana"]["times"] == TIMES
    assert [said[name]["guidelines_version"] for name in ("Ana", "Rui")] == [1, 2]
    assert said["Rui"]["times"] == {"active_ms": 0}


def test_the_guidelines_are_those_that_were_read(session, here, ada):
    there = copied(session, here, ada=ada)
    versions = queries.guidelines_versions(session, project=there)
    assert [(each.version, each.text, each.needed) for each in versions] == [
        (3, "Two, clearer", 2),
        (2, "Two", 2),
        (1, queries.guidelines_versions(session, project=here)[-1].text, 1),
    ]
    assert versions[0].note == "why Two, clearer"
    assert versions[0].examples[0]["task_id"] is None  # it has another id there
    assert there.guidelines_version == 3


def test_without_the_versions_judgements_stand_under_the_newest(session, here, ada, export):
    first = export(here)
    there = make_project(session, "There", by=ada)
    brought_in(session, there, first)
    found = session.scalars(
        select(Annotation.guidelines_version).where(Annotation.project_id == there.id)
    )
    assert set(found) == {1}


def test_undoing_the_import_takes_what_was_settled_along(session, here, ada, rui, export):
    first = export(here)
    there = copied(session, here, ada=ada)
    row = brought_in(session, there, first)
    kept, settled = session.scalars(
        select(Task).where(Task.project_id == there.id).order_by(Task.id)
    ).all()
    if session.scalar(select(Adjudication.id).where(Adjudication.task_id == kept.id)):
        kept, settled = settled, kept
    ids = kept.id, settled.id
    adjudicate(session, task=kept, ranks=[1, 2], reason="Settled here.", by=rui)
    request_undo(session, row=session.get_one(Import, row.id), by=ada)
    session.commit()
    undo_import(row.id)
    session.expire_all()
    assert session.get(Task, ids[0]) is not None
    assert session.get(Task, ids[1]) is None


def test_a_time_to_come_is_not_believed(session, project, tmp_path):
    later = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    settled = {"ranks": [1, 2], "reason": "x", "created_at": later}
    line = {"prompt": "x", "responses": ["a", "b"], "adjudication": settled}
    brought_in(session, project, json_lines(tmp_path / "in.jsonl", [line]))
    (found,) = session.scalars(select(Adjudication))
    assert found.created_at < datetime.now(UTC)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ({"adjudication": 3}, "an object {ranks, reason}"),
        ({"adjudication": {"ranks": [1, 2]}}, "needs a “reason”"),
        ({"adjudication": {"ranks": [1], "reason": "x"}}, "one number per response"),
        (
            {"adjudication": {"ranks": [1, 2], "reason": "x"}, "gold": {"prefers": [[0, 1]]}},
            "a gold question is its key",
        ),
        ({"annotations": [{"guidelines_version": 0}]}, "whole number from 1 on"),
        ({"annotations": [{"times": {"days": 1}}]}, "wall_ms, visible_ms, active_ms"),
        ({"annotations": [{"times": {"wall_ms": 2**31}}]}, "whole milliseconds"),
    ],
)
def test_what_makes_no_sense_is_refused_by_line(session, project, tmp_path, line, word):
    whole = {"prompt": "x", "responses": ["a", "b"], **line}
    for each in whole.get("annotations", []):
        each |= {"annotator": "A", "ranks": [1, 2]}
    row = brought_in(session, project, json_lines(tmp_path / "in.jsonl", [whole]))
    assert word in problems(row)[1]


def test_settings_are_for_admins_and_make_a_project(session, here, api, ada, rui):
    address = f"/api/v1/projects/{here.id}/settings"
    assert api(rui).get(address).status_code == 403
    said = api(ada).get(address).json()
    assert "task_id" not in {k for v in said["guidelines_versions"] for k, x in v.items() if x}
    made = api(ada).post("/api/v1/projects", json=said | {"name": "Anew"})
    assert (made.status_code, made.json()["guidelines_version"]) == (201, 3)
    assert made.json()["guidelines"] == "Two, clearer"
    both = api(ada).post("/api/v1/projects", json=said | {"name": "B", "guidelines": "x"})
    assert both.status_code == 422
