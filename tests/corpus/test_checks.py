"""Looking before importing: the check counts what an import would do, and leaves nothing behind."""

import gzip
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text, update

from app import artifacts
from app.accounts.models import User
from app.corpus import service
from app.corpus.models import Import
from app.db import JobState, database_now
from app.errors import Conflict
from app.worker.imports import expire, import_file, run_import
from tests.corpus.files import brought_in, counts, json_lines, pair, problems, request_check
from tests.corpus.test_real_data import pandalm_lines
from tests.shared_data import shared_data

NOTHING = {"prompts": 0, "responses": 0, "tasks": 0, "annotations": 0}
BAD = ['{"prompt": "x", "responses": ["a"]}', "oops", '{"prompt": "y", "responses": []}']


def checked(session, project, by, file, **options):
    """A check as somebody asks for it, carried out."""
    import_id = request_check(session, project, file, by=by, **options)
    run_import(import_id)
    session.expire_all()
    return session.get_one(Import, import_id)


def brought(row):
    return {name: row.report["brings"].get(name, 0) for name in ("tasks", "prompts", "judgements")}


def commit(session, row, by, **options):
    service.commit_check(session, row=row, by=by, **({"skip_bad_lines": False} | options))
    session.commit()
    run_import(row.id)
    session.expire_all()
    return row


def test_a_check_says_what_would_come_and_nothing_comes(session, project, ada, tmp_path):
    lines = [pair(f"{n}?", annotations=[{"annotator": "Kim", "ranks": [1, 2]}]) for n in range(3)]
    lines[0] |= {"tags": ["sums"], "language": "en", "extra": 1, "gold": {"prefers": [[0, 1]]}}
    file = json_lines(tmp_path / "a.jsonl", lines)

    row = checked(session, project, ada, file)

    assert (row.dry_run, row.state, row.format) == (True, JobState.SUCCEEDED, "touchstone")
    assert (row.rows_read, row.rows_imported, row.rows_skipped) == (3, 3, 0)
    assert counts(session, project) == NOTHING
    assert session.scalars(select(User).where(User.name == "Kim")).all() == []
    assert brought(row) == {"tasks": 3, "prompts": 3, "judgements": 3}
    report = row.report
    assert report["told_by"] == ["prompt", "responses"]
    assert (report["people"]["new"], report["people"]["known"]) == (["Kim"], [])
    assert report["values"]["tags"]["shown"] == [["sums", 1]]
    assert report["further_keys"]["shown"] == [["extra", 1]]
    assert report["gold"] == 1
    first = report["samples"][0]
    assert (first["messages"][0]["content"], first["gold"]) == ("0?", "1 > 2")
    assert first["judgements"] == [{"by": "Kim", "order": "1 > 2", "strength": None}]


def test_the_import_that_follows_does_what_the_check_said(session, project, ada, tmp_path):
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair("known?")]))
    before = counts(session, project)
    row = checked(
        session, project, ada, json_lines(tmp_path / "b.jsonl", [pair("known?"), pair("new?")])
    )
    said = brought(row)
    assert (row.rows_imported, row.rows_skipped, counts(session, project)) == (1, 1, before)

    commit(session, row, ada)

    assert (row.dry_run, row.state) == (False, JobState.SUCCEEDED)
    assert (row.rows_imported, row.rows_skipped, brought(row)) == (1, 1, said)
    assert counts(session, project)["tasks"] == before["tasks"] + 1
    assert "samples" not in row.report  # nor who is in it: that was for the decision
    assert not artifacts.exists(row.path)
    with pytest.raises(Conflict, match="brought in already"):
        service.commit_check(session, row=row, by=ada, skip_bad_lines=False)


def test_bad_lines_are_grouped_and_kept_to_be_mended(session, project, ada, tmp_path):
    good = [pair(f"{n}?") for n in range(4)]
    row = checked(session, project, ada, json_lines(tmp_path / "a.jsonl", [*good, *BAD]))
    assert (row.state, row.rows_imported, row.rows_rejected) == (JobState.SUCCEEDED, 4, 3)
    assert [error["line"] for error in row.errors] == [5, 6, 7]
    assert row.errors[1]["text"] == "oops"
    reasons = row.report["reasons"]
    assert [(reason["count"], reason["lines"]) for reason in reasons] == [(2, [5, 7]), (1, [6])]
    mend = b"".join(artifacts.chunks(row.report["refused"]["lines"]))
    assert mend.decode().splitlines() == BAD

    with pytest.raises(Conflict, match="3 lines would be refused"):
        service.commit_check(session, row=row, by=ada, skip_bad_lines=False)
    commit(session, row, ada, skip_bad_lines=True)
    assert (row.state, row.rows_imported, row.rows_rejected) == (JobState.SUCCEEDED, 4, 3)
    assert b"".join(artifacts.chunks(row.report["refused"]["lines"])) == mend


@pytest.mark.parametrize("kind", ["gzip", "csv", "not utf-8", "parquet"])
def test_refused_lines_of_every_kind_of_file_can_be_mended(session, project, ada, tmp_path, kind):
    file = tmp_path / "data"
    rows = [{"prompt": "a?", "responses": ["x", "y"]}, {"prompt": "b, c?", "responses": ["x"]}]
    if kind == "gzip":
        file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
        wanted = json.dumps(rows[1]).encode() + b"\n"
    elif kind == "csv":
        file.write_text('prompt,responses\n"a?","[""x"", ""y""]"\n"b,\nc?","[""x""]"\nshort\n')
        wanted = b'prompt,responses\n"b,\nc?","[""x""]"\nshort\n'
    elif kind == "not utf-8":
        file.write_bytes(json.dumps(rows[0]).encode() + b'\n{"prompt": "\xff"}\n')
        wanted = b'{"prompt": "\xff"}\n'
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), file)
        wanted = json.dumps(rows[1]).encode() + b"\n"
    row = checked(session, project, ada, file)
    assert (row.rows_imported, row.rows_rejected) == (1, 1 + (kind == "csv"))
    assert b"".join(artifacts.chunks(row.report["refused"]["lines"])) == wanted


def test_a_file_of_bad_lines_is_reported_in_bounded_memory(session, project, ada, tmp_path):
    lines = [f'{{"prompt": "{n}", "responses": ["a", {n}]}}' for n in range(1500)]
    row = checked(session, project, ada, json_lines(tmp_path / "a.jsonl", lines))
    assert (row.rows_rejected, len(row.errors), len(row.report["reasons"])) == (1500, 1000, 1)
    assert row.report["reasons"][0]["count"] == 1500
    report = b"".join(artifacts.chunks(row.report["refused"]["report"]))
    assert len(report.splitlines()) == 1500


def test_what_is_no_error_is_told_as_well(session, project, ada, tmp_path):
    line = {"annotator": "Kim", "ranks": [1, 2]}
    lines = [pair(f"{n}?", annotations=[line]) for n in range(20)]
    lines[3] |= {"responses": ["same", "same "]}
    lines[4] |= {"responses": ["", "full"]}
    lines[5]["prompt"] = "0?"
    lines[6]["annotations"] = [line | {"annotator": "kim"}]
    lines[7]["annotations"] = [line | {"annotator": "dataset:judge"}] * 2
    row = checked(session, project, ada, json_lines(tmp_path / "a.jsonl", lines))
    told = {each["message"][:24]: each["lines"] for each in row.report["warnings"]}
    assert told == {
        "Two responses read the s": [4],
        "A response is empty. Peo": [5],
        "The prompt stands in an ": [6],
        "A source judges the row ": [8],
        "Every judgement of a pai": [],
        "“Kim” and “kim” would be": [],
    }


def test_a_file_that_cannot_be_read_fails_and_can_be_checked_as_another_format(
    session, project, ada, tmp_path
):
    lines = [{"question": "what?", "messages": [{"role": "user", "content": "Hi"}], "response": 1}]
    row = checked(session, project, ada, json_lines(tmp_path / "a.jsonl", lines))
    assert (row.state, row.dry_run) == (JobState.FAILED, True)
    assert "format is not recognised" in row.error
    with pytest.raises(Conflict, match="The check failed"):
        service.commit_check(session, row=row, by=ada, skip_bad_lines=True)
    service.check_again(session, row=row, by=ada, format="prompts")
    session.commit()
    run_import(row.id)
    session.expire_all()
    assert (row.state, row.error, row.rows_imported) == (JobState.SUCCEEDED, None, 1)
    assert counts(session, project) == NOTHING


def test_a_check_is_thrown_away_with_its_file(session, project, ada, tmp_path):
    row = checked(session, project, ada, json_lines(tmp_path / "a.jsonl", [pair(), "oops"]))
    import_id, refused = row.id, row.report["refused"]["report"]
    service.discard_check(session, row=row, by=ada)
    session.commit()
    assert session.get(Import, import_id) is None
    assert not artifacts.exists(f"imports/{import_id}")
    assert not artifacts.exists(refused)


def test_an_import_that_ran_cannot_be_thrown_away(session, project, ada, tmp_path):
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair()]))
    with pytest.raises(Conflict, match="Only a check"):
        service.discard_check(session, row=session.get_one(Import, row.id), by=ada)


def test_checks_wait_a_week_and_imports_stay(session, project, ada, tmp_path):
    old = checked(session, project, ada, json_lines(tmp_path / "a.jsonl", [pair()]))
    young = checked(session, project, ada, json_lines(tmp_path / "b.jsonl", [pair()]))
    ran = brought_in(session, project, tmp_path / "a.jsonl")
    long_ago = database_now(session) - timedelta(days=8)
    session.execute(
        update(Import).where(Import.id.in_([old.id, ran.id])).values(finished_at=long_ago)
    )
    session.commit()
    path = old.path
    assert expire() == 1
    session.expire_all()
    left = session.scalars(select(Import.id).where(Import.project_id == project.id)).all()
    assert set(left) == {young.id, ran.id}
    assert not artifacts.exists(path)


def test_a_check_from_the_command_line_leaves_not_even_its_row(session, project, tmp_path):
    file = json_lines(tmp_path / "a.jsonl", [pair(), "oops"])
    session.commit()
    row = import_file(project_id=project.id, file=file, dry_run=True)
    assert (row.rows_imported, row.rows_rejected, row.report["brings"]["tasks"]) == (1, 1, 1)
    session.expire_all()
    assert session.scalars(select(Import).where(Import.project_id == project.id)).all() == []
    assert counts(session, project) == NOTHING
    assert not artifacts.exists(f"refused/{row.id}")


# -- over HTTP --------------------------------------------------------------------------------


def test_a_program_checks_commits_and_undoes(api, ada, project, session):
    program = api(ada)
    content = "\n".join([json.dumps(pair()), *BAD]).encode()
    reply = program.post(
        f"/api/v1/projects/{project.id}/imports?dry_run=true&filename=a.jsonl", content=content
    )
    made = reply.json()
    assert (reply.status_code, made["dry_run"], made["state"]) == (202, True, "queued")
    run_import(made["id"])
    url = f"/api/v1/imports/{made['id']}"
    told = program.get(url).json()
    assert (told["state"], told["rows_imported"], told["rows_rejected"]) == ("succeeded", 1, 3)
    assert set(told["errors"][0]) == {"line", "message"}
    assert told["report"]["brings"]["tasks"] == 1
    table = program.get(f"{url}/refused.csv")
    assert table.text.removeprefix("\ufeff").splitlines()[0] == "line,message,text"
    assert len(table.text.splitlines()) == 4
    assert program.get(f"{url}/lines-to-mend").text.splitlines() == BAD

    refused = program.post(f"{url}/commit")
    assert (refused.status_code, "3 lines would be" in refused.json()["detail"]) == (409, True)
    accepted = program.post(f"{url}/commit?skip_bad_lines=true")
    assert (accepted.status_code, accepted.json()["dry_run"]) == (202, False)
    run_import(made["id"])
    assert counts(session, project)["tasks"] == 1
    assert program.delete(url).status_code == 409

    reach = program.get(f"{url}/undo").json()
    assert (reach["tasks"], reach["stay_judged"]) == (1, 0)
    assert program.post(f"{url}/undo").status_code == 202
    assert program.post(f"{url}/undo").status_code == 202
    jobs = session.execute(
        text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'undo_import'")
    ).scalar_one()
    assert jobs == 1


def test_who_may_only_look_sees_neither_keys_nor_the_lines_themselves(
    sign_in, api, ada, vic, project, session, tmp_path
):
    lines = [pair(gold={"prefers": [[0, 1]]}), '{"gold": {"prefers": [[1, 0]]}, "secret": 1}']
    row = checked(session, project, ada, json_lines(tmp_path / "a.jsonl", lines))
    url = f"/projects/{project.id}/imports/{row.id}"
    hers, his = sign_in(ada).get(url).text, sign_in(vic).get(url).text
    assert ("1 &gt; 2" in hers, "secret" in hers) == (True, True)
    assert ("1 &gt; 2" in his, "secret" in his) == (False, False)
    assert "would be refused" in his
    told = api(vic).get(f"/api/v1/imports/{row.id}")
    assert "1 > 2" not in told.text
    assert "secret" not in told.text


def test_the_table_of_refused_lines_is_safe_in_a_spreadsheet(api, ada, project):
    made = api(ada).post(
        f"/api/v1/projects/{project.id}/imports?dry_run=true",
        content=json.dumps(pair()).encode() + b'\n=HYPERLINK("http://x")\n\xff\x00\n',
    )
    run_import(made.json()["id"])
    table = api(ada).get(f"/api/v1/imports/{made.json()['id']}/refused.csv").text
    assert "'=HYPERLINK" in table
    assert "\0" not in table


def test_a_dry_run_is_thrown_away_over_the_api(api, ada, rui, project, session):
    made = api(ada).post(
        f"/api/v1/projects/{project.id}/imports?dry_run=true", content=json.dumps(pair())
    )
    url = f"/api/v1/imports/{made.json()['id']}"
    assert api(ada).delete(url).status_code == 409  # it has not ended
    run_import(made.json()["id"])
    assert api(rui).delete(url).status_code == 403
    assert api(ada).post(f"{url}/check?format=excel").status_code == 422
    assert api(ada).delete(url).status_code == 204
    assert api(ada).get(url).status_code == 404


def test_a_check_waits_for_the_import_before_it(session, project, ada, api):
    about = {"project_id": project.id, "format": "auto", "path": "", "state": JobState.RUNNING}
    busy = Import(filename="big.jsonl", rows_read=7, **about)
    waiting = Import(filename="small.jsonl", dry_run=True, **about)
    session.add_all([busy, waiting])
    session.commit()
    program = api(ada)
    assert program.get(f"/api/v1/imports/{waiting.id}").json()["waits_for"] == "big.jsonl"
    assert program.get(f"/api/v1/imports/{busy.id}").json()["waits_for"] is None


THREE_WAYS = {"hh": [1622, 1622, 0, 0, "hh-rlhf"], "pandalm": [796, 790, 0, 6, "touchstone"]}


@pytest.mark.parametrize("name", THREE_WAYS)
def test_three_ways_give_the_same_figures(session, project, ada, api, tmp_path, name):
    file = tmp_path / "pandalm.jsonl.gz"
    if name == "hh":
        file = tmp_path / "hh.jsonl.gz"
        file.write_bytes(shared_data("hh-harmless/pairs.jsonl.gz").read_bytes())
    else:
        json_lines(file, pandalm_lines(), packed=True)
    by_hand = checked(session, project, ada, file)
    program = api(ada)
    sent = program.post(
        f"/api/v1/projects/{project.id}/imports?dry_run=true", content=file.read_bytes()
    ).json()
    run_import(sent["id"])
    told = program.get(f"/api/v1/imports/{sent['id']}").json()
    session.commit()
    local = import_file(project_id=project.id, file=file, dry_run=True)

    figures = ("rows_read", "rows_imported", "rows_skipped", "rows_rejected", "format")
    ways = [[getattr(row, key) for key in figures] for row in (by_hand, local)]
    ways.append([told[key] for key in figures])
    assert ways == [THREE_WAYS[name]] * 3
    assert problems(by_hand) == problems(local) == problems(SimpleNamespace(**told))
    assert len(problems(local)) == local.rows_rejected
    assert by_hand.report["brings"] == local.report["brings"] == told["report"]["brings"]
    assert counts(session, project) == NOTHING
