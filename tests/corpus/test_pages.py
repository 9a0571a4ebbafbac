"""The pages of a project's data: upload, report, prompts."""

import json

import pytest
from sqlalchemy import select

from app.corpus.models import Import, Prompt
from app.db import JobState
from app.worker.imports import run_import
from tests.corpus.files import brought_in, json_lines, pair
from tests.factories import make_annotation, make_prompt, make_task

LINE = json.dumps(pair(tags=["sums"], id="sum-1")).encode() + b"\n"


def upload(client, project, content=LINE, **fields):
    return client.post(
        f"/projects/{project.id}/imports",
        files={"file": ("data.jsonl", content)},
        data={"format": "auto", "bad_lines": "stop"} | fields,
    )


def the_import(session, project):
    session.expire_all()
    return session.scalars(select(Import).where(Import.project_id == project.id)).one()


def test_ada_uploads_a_file_and_reads_its_report(sign_in, ada, project, session):
    browser = sign_in(ada)
    reply = upload(browser, project)
    assert reply.status_code == 303
    report = browser.get(reply.headers["location"])
    assert "Waiting for a worker" in report.text

    run_import(the_import(session, project).id)

    report = browser.get(reply.headers["location"])
    assert "1 row imported." in report.text
    data = browser.get(f"/projects/{project.id}/data").text
    assert "What is 2 + 2?" in data
    assert "sums" in data
    assert "sum-1" in data


def test_a_bad_line_is_named_on_the_report_page(sign_in, ada, project, session):
    browser = sign_in(ada)
    reply = upload(browser, project, LINE + b'{"prompt": "x", "responses": ["a"]}\n')
    run_import(the_import(session, project).id)
    report = browser.get(reply.headers["location"]).text
    assert "1 line was refused, so nothing was imported" in report
    assert "A task needs 2 to 10 responses, and this line has 1." in report


def test_bad_lines_are_skipped_when_ada_says_so(sign_in, ada, project, session):
    browser = sign_in(ada)
    reply = upload(browser, project, LINE + b"oops\n", bad_lines="skip")
    run_import(the_import(session, project).id)
    assert "1 row imported. 1 refused, see below." in browser.get(reply.headers["location"]).text


@pytest.mark.parametrize(
    ("content", "fields", "says"),
    [
        (b"", {}, "The file is empty"),
        (LINE, {"format": "excel"}, "There is no format “excel”"),
    ],
)
def test_a_wrong_upload_is_told_on_the_same_page(sign_in, ada, project, content, fields, says):
    reply = upload(sign_in(ada), project, content, **fields)
    assert reply.status_code == 422
    assert says in reply.text
    assert "Bring in a file" in reply.text


def test_no_file_chosen_is_told(sign_in, ada, project):
    left_empty = {"file": ("", b"", "application/octet-stream")}  # as a browser sends it
    reply = sign_in(ada).post(
        f"/projects/{project.id}/imports", files=left_empty, data={"format": "auto"}
    )
    assert reply.status_code == 422
    assert "Choose a file first" in reply.text
    no_file_can_be = sign_in(ada).post(f"/projects/{project.id}/imports", data={"file": "a.jsonl"})
    assert no_file_can_be.status_code == 422
    assert "Choose a file first" in no_file_can_be.text


def test_ada_cancels_an_import_that_waits(sign_in, ada, project, session):
    browser = sign_in(ada)
    reply = upload(browser, project)
    row = the_import(session, project)
    cancelled = browser.post(f"/projects/{project.id}/imports/{row.id}/cancel")
    assert cancelled.status_code == 303
    run_import(row.id)
    assert the_import(session, project).state is JobState.CANCELLED
    assert "Cancelled: nothing of the file" in browser.get(reply.headers["location"]).text
    assert browser.post(f"/projects/{project.id}/imports/{row.id}/cancel").status_code == 409


def test_only_admins_import_and_only_who_may_see_data_reads_it(
    sign_in, ana, rui, vic, sam, project, session
):
    for person, may_see in [(rui, True), (vic, True), (ana, False)]:
        browser = sign_in(person)
        assert browser.get(f"/projects/{project.id}/data").status_code == (200 if may_see else 403)
        assert upload(browser, project).status_code == 403
    stranger = sign_in(sam)
    assert stranger.get(f"/projects/{project.id}/data").status_code == 404
    assert upload(stranger, project).status_code == 404
    assert session.scalars(select(Import).where(Import.project_id == project.id)).all() == []


def test_pages_of_another_project_are_not_reached_through_ones_own(
    sign_in, ada, vic, project, session, tmp_path
):
    row = brought_in(session, project, json_lines(tmp_path / "a.jsonl", [pair()]))
    noise = session.scalars(select(Prompt).where(Prompt.project_id != project.id)).first()
    browser = sign_in(ada)  # she may see both, but not mixed up
    assert browser.get(f"/projects/{noise.project_id}/imports/{row.id}").status_code == 404
    assert browser.get(f"/projects/{project.id}/prompts/{noise.id}").status_code == 404
    assert sign_in(vic).get(f"/projects/{noise.project_id}/data").status_code == 404


def test_the_empty_project_says_what_to_do_next(sign_in, ada, vic, project):
    assert "Import a file above" in sign_in(ada).get(f"/projects/{project.id}/data").text
    assert "As soon as an admin imports" in sign_in(vic).get(f"/projects/{project.id}/data").text


def test_search_finds_words_tags_and_ids_and_percent_is_no_wildcard(sign_in, ada, project, session):
    make_prompt(session, project, "How are pancakes made?", tags=["cooking"], external_id="p-1")
    make_prompt(session, project, "What is 100 % of 5?")
    session.commit()
    browser = sign_in(ada)

    def found(search):
        page = browser.get(f"/projects/{project.id}/data", params={"search": search}).text
        return ("pancakes" in page, "of 5?" in page)

    assert found("PANCAKES") == (True, False)
    assert found("cooking") == (True, False)
    assert found("p-1") == (True, False)
    assert found("100 %") == (False, True)
    assert found("_") == (False, False)
    assert found("noise") == (False, False)


def test_long_lists_come_in_pages_that_miss_nothing(sign_in, ada, project, session, tmp_path):
    lines = [{"prompt": f"prompt number {n:03}"} for n in range(120)]
    brought_in(session, project, json_lines(tmp_path / "p.jsonl", lines))
    browser = sign_in(ada)
    seen, url = set(), f"/projects/{project.id}/data"
    for _ in range(3):
        page = browser.get(url).text
        seen |= {n for n in range(120) if f"prompt number {n:03}<" in page}
        after = page.split("after=")[1].split('"')[0] if "Next " in page else ""
        url = f"/projects/{project.id}/data?after={after}"
    assert seen == set(range(120))
    assert "Next " not in page


def test_a_prompt_shows_its_responses_origins_and_judgements(sign_in, ada, ana, project, session):
    task = make_task(session, project, responses=["Eight minutes.", "No idea."])
    make_annotation(session, task, ana, ranks=[1, 2], rationale="It answers.")
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/prompts/{task.prompt_id}").text
    for text in ("How do I boil an egg?", "Eight minutes.", "model-0", "Ana", "It answers."):
        assert text in page
    assert "1 &gt; 2" in page or "2 &gt; 1" in page


def test_model_text_stays_text(sign_in, ada, project, session, tmp_path):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    line = {"prompt": hostile, "responses": [hostile, "fine"], "id": hostile, "tags": [hostile]}
    brought_in(session, project, json_lines(tmp_path / "h.jsonl", [line]))
    browser = sign_in(ada)
    prompt = session.scalars(select(Prompt).where(Prompt.project_id == project.id)).one()
    for url in (f"/projects/{project.id}/data", f"/projects/{project.id}/prompts/{prompt.id}"):
        page = browser.get(url).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
