"""Imports over the API."""

import gzip
import json
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from app import artifacts
from app.config import settings
from app.corpus.models import Import
from app.worker.imports import run_import
from tests.corpus.files import counts, pair

LINE = json.dumps(pair()).encode() + b"\n"


def post(client, project, content=LINE, **params):
    return client.post(
        f"/api/v1/projects/{project.id}/imports",
        content=content,
        params=params,
        headers={"content-type": "application/x-ndjson"},
    )


def test_a_raw_body_becomes_an_import_that_a_job_brings_in(api, ada, project, session):
    program = api(ada)
    reply = post(program, project, gzip.compress(LINE), filename="pairs.jsonl.gz")
    assert reply.status_code == 202
    made = reply.json()
    assert (made["state"], made["filename"], made["rows_read"]) == ("queued", "pairs.jsonl.gz", 0)
    jobs = session.execute(
        text("SELECT task_name, args FROM procrastinate_jobs WHERE status = 'todo'")
    ).all()
    assert jobs == [("import", {"import_id": made["id"]})]

    run_import(made["id"])

    done = program.get(f"/api/v1/imports/{made['id']}").json()
    assert (done["state"], done["format"]) == ("succeeded", "touchstone")
    assert (done["rows_read"], done["rows_imported"], done["rows_skipped"]) == (1, 1, 0)
    assert (done["rows_rejected"], done["errors"]) == (0, [])
    assert not artifacts.exists(f"imports/{made['id']}")  # the staged upload is gone


def test_a_multipart_form_works_as_well(api, ada, project):
    reply = api(ada).post(
        f"/api/v1/projects/{project.id}/imports", files={"file": ("data.csv", b"prompt\nHi\n")}
    )
    assert (reply.status_code, reply.json()["filename"]) == (202, "data.csv")


def test_the_part_of_a_form_may_have_any_name(api, ada, project):
    reply = api(ada).post(
        f"/api/v1/projects/{project.id}/imports", files={"upload": ("data.csv", b"prompt\nHi\n")}
    )
    assert (reply.status_code, reply.json().get("filename")) == (202, "data.csv")


def test_of_two_files_in_one_form_none_is_lost_in_silence(api, ada, project):
    files = [("file", (name, b"prompt\nHi\n")) for name in ("one.csv", "two.csv")]
    program = api(ada)
    reply = program.post(f"/api/v1/projects/{project.id}/imports", files=files)
    assert (reply.status_code, reply.json()["detail"][:21]) == (422, "This form has 2 files")
    assert program.get(f"/api/v1/projects/{project.id}/imports").json() == []


def test_all_or_nothing_unless_bad_lines_are_to_be_skipped(api, ada, project, session):
    program = api(ada)
    content = LINE + b'{"prompt": ""}\n' + b"not json\n"
    strict = post(program, project, content).json()["id"]
    run_import(strict)
    told = program.get(f"/api/v1/imports/{strict}").json()
    assert (told["state"], told["rows_imported"], told["rows_rejected"]) == ("failed", 0, 2)
    assert [error["line"] for error in told["errors"]] == [2, 3]
    assert counts(session, project)["tasks"] == 0
    lenient = post(program, project, content, skip_bad_lines=True).json()["id"]
    run_import(lenient)
    told = program.get(f"/api/v1/imports/{lenient}").json()
    assert (told["state"], told["rows_imported"], told["rows_rejected"]) == ("succeeded", 1, 2)
    assert counts(session, project)["tasks"] == 1


def test_running_an_import_that_is_over_changes_nothing(api, ada, project, session):
    made = post(api(ada), project).json()["id"]
    run_import(made)
    before = counts(session, project)
    run_import(made)
    run_import(uuid4())
    assert counts(session, project) == before


def test_an_upload_that_vanished_ends_the_import_with_a_sentence(api, ada, project):
    program = api(ada)
    made = post(program, project).json()["id"]
    artifacts.remove(f"imports/{made}")
    run_import(made)
    told = program.get(f"/api/v1/imports/{made}").json()
    assert told["state"] == "failed"
    assert "missing in the artifact store" in told["error"]


@pytest.mark.parametrize(
    ("content", "params", "status", "says"),
    [
        (b"", {}, 422, "The file is empty"),
        (
            LINE,
            {"format": "excel"},
            422,
            "There is no format “excel”. Take one of auto, touchstone",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(
    api, ada, project, session, content, params, status, says
):
    reply = post(api(ada), project, content, **params)
    assert (reply.status_code, reply.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert says in reply.json()["detail"]
    assert session.scalars(select(Import).where(Import.project_id == project.id)).all() == []


def test_an_upload_past_the_limit_is_refused_while_it_comes_in(api, ada, project, monkeypatch):
    monkeypatch.setitem(settings.__dict__, "max_upload_mb", 1)
    pieces = (LINE * 1000 for _ in range(100))  # no Content-Length: only counting helps
    reply = post(api(ada), project, pieces)
    assert reply.status_code == 413
    assert "larger than 1 MB" in reply.json()["detail"]


def test_a_file_name_is_only_a_name(api, ada, project):
    name = "../../etc/pass\x00wd\r\nSet-Cookie: x=1"
    made = post(api(ada), project, filename=name).json()
    assert made["filename"] == "../../etc/passwdSet-Cookie: x=1"


def test_who_may_import_and_who_may_see_it(api, ada, rui, ana, vic, sam, client, project):
    made = post(api(ada), project).json()["id"]
    for person, post_status, get_status in [
        (rui, 403, 200),
        (vic, 403, 200),
        (ana, 403, 403),
        (sam, 404, 404),
    ]:
        program = api(person)
        assert post(program, project).status_code == post_status
        assert program.get(f"/api/v1/imports/{made}").status_code == get_status
    assert post(client, project).status_code == 401
    assert client.get(f"/api/v1/imports/{made}").status_code == 401
