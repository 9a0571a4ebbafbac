"""Snapshots over the API: asked for, looked at, downloaded; by whom."""

import gzip
import hashlib
import io
import json
import zipfile

import pytest
from sqlalchemy import text

from app.datasets.models import Snapshot
from app.db import JobState
from app.worker.snapshots import build
from tests.datasets.frozen import freeze
from tests.factories import make_annotation, make_task


def finish(session, snapshot_id):
    """What the worker does with the job."""
    from app.datasets import service

    lease = service.start(session, snapshot_id=snapshot_id)
    session.commit()
    build(lease)
    session.expire_all()


def test_a_snapshot_is_asked_for_frozen_and_downloaded(session, project, ada, ana, api):
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    program = api(ada)
    reply = program.post(
        f"/api/v1/projects/{project.id}/snapshots",
        json={"name": "First", "recipe": {"min_annotations": 1, "test_share": 0}},
    )
    assert reply.status_code == 202
    asked = reply.json()
    assert (asked["state"], asked["files"], asked["recipe"]["ties"]) == ("queued", [], "drop")
    jobs = session.execute(text("SELECT task_name, args FROM procrastinate_jobs")).all()
    assert [(job.task_name, job.args) for job in jobs] == [
        ("snapshot", {"snapshot_id": asked["id"]})
    ]
    early = program.get(f"/api/v1/snapshots/{asked['id']}/archive")
    assert early.status_code == 409
    finish(session, asked["id"])
    made = program.get(f"/api/v1/snapshots/{asked['id']}").json()
    assert (made["state"], made["counts"]["comparisons"]["included"]) == ("succeeded", 1)
    for file in made["files"]:
        got = program.get(f"/api/v1/snapshots/{asked['id']}/files/{file['path']}")
        assert got.status_code == 200
        assert hashlib.sha256(got.content).hexdigest() == file["sha256"]
        assert int(got.headers["content-length"]) == file["bytes"] == len(got.content)
        assert "attachment" in got.headers["content-disposition"]
    archive = program.get(f"/api/v1/snapshots/{asked['id']}/archive")
    assert archive.content == program.get(f"/api/v1/snapshots/{asked['id']}/archive").content
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        assert opened.namelist() == [file["path"] for file in made["files"]]
        row = json.loads(gzip.decompress(opened.read("preference/train.jsonl.gz")))
        assert row["chosen"][0]["content"] == "Eight minutes in boiling water."


def test_the_name_and_the_recipe_may_be_left_out(session, project, ada, api):
    program = api(ada)
    first = program.post(f"/api/v1/projects/{project.id}/snapshots", json={})
    second = program.post(f"/api/v1/projects/{project.id}/snapshots")  # and the body with them
    assert [first.json()["name"], second.json()["name"]] == ["Snapshot 1", "Snapshot 2"]


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        ({"min_annotation": 2}, "min_annotation"),
        ({"min_agreement": 1.5}, "min_agreement"),
        ({"consensus": "oracle"}, "consensus"),
        ({"test_share": 1}, "test_share"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "since"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "before the year 1"),
        ({"exclude_annotators": ["nobody@example.org"]}, "nobody@example.org"),
        ({"guidelines_version": 9}, "version 9"),
    ],
)
def test_a_wrong_recipe_is_refused_with_a_sentence_and_leaves_nothing(
    session, project, ada, api, recipe, word
):
    reply = api(ada).post(f"/api/v1/projects/{project.id}/snapshots", json={"recipe": recipe})
    assert reply.status_code == 422
    assert word in json.dumps(reply.json())
    assert session.query(Snapshot).count() == 0


def test_snapshots_are_listed_newest_first_page_by_page(session, project, ada, api):
    program = api(ada)
    names = ["a", "b", "c"]
    for number, name in enumerate(names):
        made = program.post(f"/api/v1/projects/{project.id}/snapshots", json={"name": name})
        row = session.get_one(Snapshot, made.json()["id"])
        row.created_at = row.created_at.replace(year=2020 + number)
    session.commit()
    address = f"/api/v1/projects/{project.id}/snapshots"
    first = program.get(address, params={"limit": 2}).json()
    assert [item["name"] for item in first["items"]] == ["c", "b"]
    second = program.get(address, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert ([item["name"] for item in second["items"]], second["next_cursor"]) == (["a"], None)


def test_a_preview_counts_what_would_be_frozen(session, project, ada, ana, api):
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    session.commit()
    body = {"recipe": {"test_share": 0}}
    seen = api(ada).post(f"/api/v1/projects/{project.id}/snapshots/preview", json=body).json()
    snapshot = freeze(session, project, test_share=0)
    assert (seen["counts"], seen["quality"]) == (snapshot.counts, snapshot.quality)
    assert (seen["looked_at"], seen["prompts"]) == (1, 1)


@pytest.fixture
def frozen(session, project, ana):
    make_annotation(session, make_task(session, project), ana, ranks=[1, 2])
    return freeze(session, project, test_share=0)


@pytest.mark.parametrize(
    "address", ["", "/archive", "/files/README.md", "/files/preference/train.jsonl.gz"]
)
def test_who_may_see_a_snapshot(frozen, api, ada, rui, vic, ana, sam, address):
    status = {
        user.name: api(user).get(f"/api/v1/snapshots/{frozen.id}{address}").status_code
        for user in (ada, rui, vic, ana, sam)
    }
    assert status == {"Ada": 200, "Rui": 200, "Vic": 200, "Ana": 403, "Sam": 404}


def test_who_may_freeze_one(project, api, ada, rui, vic, ana, sam):
    status = {
        user.name: api(user).post(f"/api/v1/projects/{project.id}/snapshots", json={}).status_code
        for user in (ada, rui, vic, ana, sam)
    }
    assert status == {"Ada": 202, "Rui": 403, "Vic": 403, "Ana": 403, "Sam": 404}


@pytest.mark.parametrize("path", ["missing.txt", "../attempt-1/README.md", "%2e%2e/%2e%2e/secrets"])
def test_only_registered_files_can_be_downloaded(frozen, api, ada, path):
    assert api(ada).get(f"/api/v1/snapshots/{frozen.id}/files/{path}").status_code == 404


def test_a_failed_snapshot_says_why_and_has_no_files(session, project, api, ada):
    failed = freeze(session, project)
    made = api(ada).get(f"/api/v1/snapshots/{failed.id}").json()
    assert made["state"] == JobState.FAILED
    assert "no prompts" in made["error"]
    reply = api(ada).get(f"/api/v1/snapshots/{failed.id}/archive")
    assert (reply.status_code, "no prompts" in reply.json()["detail"]) == (409, True)
