"""Looking through the rows of a snapshot, as a page and over the API; what its page says of it."""

import json
import re
import subprocess

import pytest

from app.datasets.models import Snapshot
from app.db import JobState, database_now
from app.runs.models import RunKind
from tests.datasets.frozen import freeze, rows_of
from tests.datasets.true import true_task
from tests.factories import make_annotation
from tests.runs.factories import make_checkpoint, make_run


@pytest.fixture
def judged(session, project, ana, rui):
    project.criteria = [{"key": "help", "label": "Helpful", "min": 1, "max": 5}]
    for number in range(10):
        task, _ = true_task(
            session, project, f"Question {number}", [f"good {number}", "bad <script>"], wanted=2
        )
        ratings = {"help": {"0": 4, "1": 2}}
        make_annotation(session, task, ana, ranks=[1, 2], ratings=ratings, rewrite=f"Best {number}")
        make_annotation(session, task, rui, ranks=[2, 1] if number < 2 else [1, 2 - (number < 5)])
    session.commit()


@pytest.fixture
def snapshot(session, project, judged):
    return freeze(session, project, test_share=0.2)


def test_all_rows_of_every_config_come_page_by_page(snapshot, api, vic):
    program = api(vic)
    address = f"/api/v1/snapshots/{snapshot.id}/rows"
    for config in snapshot.counts["rows"]:
        found = []
        for split in ("train", "test"):
            cursor, asked = "0", {"config": config, "split": split, "limit": 4}
            while cursor is not None:
                reply = program.get(address, params=asked | {"cursor": cursor}).json()
                found += [item["row"] for item in reply["items"]]
                cursor = reply["next_cursor"]
            assert reply["total"] == len(rows_of(snapshot, config, split))
        assert found == rows_of(snapshot, config, "train") + rows_of(snapshot, config, "test")


def test_the_page_shows_some_and_leads_on(project, snapshot, sign_in, vic, monkeypatch):
    monkeypatch.setattr("app.datasets.pages.looking.ROWS", 3)
    browser = sign_in(vic)
    address = f"/projects/{project.id}/snapshots/{snapshot.id}/rows"
    total = len(rows_of(snapshot, "prompts"))
    assert total > 4
    first = browser.get(address, params={"config": "prompts"}).text
    assert f"Rows 1–3 of {total}" in first
    assert first.count('aria-label="Row ') == 3
    assert "?config=prompts&amp;split=train&amp;start=3" in first
    row = browser.get(address, params={"config": "prompts", "row": str(total)}).text
    assert f"Rows {total}–{total} of {total}" in row
    assert 'rel="next"' not in row
    for wrong in ({"row": "999"}, {"start": 999}, {"row": "x"}, {"config": "ratings", "start": 1}):
        assert browser.get(address, params=wrong).status_code == 200
    assert browser.get(address, params={"config": "nonsense"}).status_code == 422
    assert browser.get(address, params={"agreement_below": "7"}).status_code == 422


def test_rows_are_found_by_words_and_figures(project, snapshot, sign_in, api, ada):
    browser = sign_in(ada)
    address = f"/projects/{project.id}/snapshots/{snapshot.id}/rows"
    for split in ("train", "test"):
        asked = {"config": "preference", "split": split, "agreement_below": 0.9}
        rows = [row for row in rows_of(snapshot, "preference", split) if row["agreement"] < 0.9]
        page = browser.get(address, params=asked).text
        assert f"{len(rows)} found" in page
        reply = api(ada).get(f"/api/v1/snapshots/{snapshot.id}/rows", params=asked).json()
        assert [item["row"] for item in reply["items"]] == rows
    page = browser.get(address, params={"q": "nowhere to be found"}).text
    assert "No row like that" in page
    blank = {"q": "", "agreement_below": "", "margin_from": "", "judgements_from": ""}
    assert "Rows 1–" in browser.get(address, params=blank).text


def test_each_config_is_made_for_reading(project, snapshot, sign_in, vic):
    browser = sign_in(vic)
    address = f"/projects/{project.id}/snapshots/{snapshot.id}/rows"
    expected = {
        "preference": "chosen",
        "hh-rlhf": "Human: Question",
        "ranking": "rank 1",
        "unpaired": "label false",
        "ratings": '<meter min="1" max="5" value="4.0" aria-label="Helpful: 4.00 of 5">',
        "sft": "Best ",
        "prompts": "Question ",
    }
    for config, words in expected.items():
        page = browser.get(address, params={"config": config}).text
        assert words in page, config
        assert "bad <script>" not in page
        assert "Why?" in page
    marked = browser.get(address, params={"mark": "true"}).text
    assert re.search(r"<ins>good \d+</ins>", marked)
    assert "<ins>bad &lt;script&gt;</ins>" in marked


def test_one_that_is_not_frozen_leads_to_its_page(session, project, sign_in, api, ada):
    queued = Snapshot(project_id=project.id, name="Soon", recipe={})
    failed = Snapshot(
        project_id=project.id,
        name="No",
        recipe={},
        state=JobState.FAILED,
        error="Nothing here.",
        finished_at=database_now(session),
    )
    session.add_all([queued, failed])
    session.commit()
    for snapshot, words in ((queued, "when it has succeeded"), (failed, "Nothing here.")):
        address = f"/projects/{project.id}/snapshots/{snapshot.id}"
        for below in ("/rows", f"/rows/{'0' * 64}"):
            reply = sign_in(ada).get(f"{address}{below}")
            assert (reply.status_code, reply.headers["location"]) == (303, address)
            reply = api(ada).get(f"/api/v1/snapshots/{snapshot.id}{below}")
            assert (reply.status_code, words in reply.json()["detail"]) == (409, True)


def test_a_split_that_the_snapshot_has_not_is_not_there(session, project, judged, api, ada):
    whole = freeze(session, project, test_share=0)
    address = f"/api/v1/snapshots/{whole.id}/rows"
    assert api(ada).get(address, params={"split": "test"}).status_code == 404


def test_its_page_says_who_used_it_and_how_to_load_it(session, project, snapshot, sign_in, ada):
    address = f"/projects/{project.id}/snapshots/{snapshot.id}"
    assert "No run has been trained on it yet" in sign_in(ada).get(address).text
    ended = {"attempt": 1, "finished_at": snapshot.finished_at, "path": "none"}
    run = make_run(session, snapshot, RunKind.REWARD, state=JobState.SUCCEEDED, **ended)
    checkpoint = make_checkpoint(session, project, RunKind.REWARD, run=run)
    session.commit()
    page = sign_in(ada).get(address).text
    assert f"/runs/{run.id}" in page
    assert f"/checkpoints/{checkpoint.id}" in page
    assert f"https://testserver/api/v1/snapshots/{snapshot.id}/archive" in page
    assert 'load_dataset("Snapshot-1", "preference")' in page.replace("&#34;", '"')
    assert "Are longer answers preferred?" in page
    assert "The longer answer is chosen in" in page


def test_the_line_that_verifies_a_copy_does(snapshot, tmp_path):
    from app import artifacts
    from app.web.pages import ENVIRONMENT

    source = ENVIRONMENT.loader.get_source(ENVIRONMENT, "datasets/_snapshot_use.html")[0]
    command = re.search(r"(python -c 'import json.*?sha256sum -c)", source, re.DOTALL)[1]
    folder = artifacts.local_path(snapshot.path)

    def verify():
        ran = ["sh", "-c", command.replace("python ", "python3 ", 1)]
        return subprocess.run(ran, cwd=folder, capture_output=True, text=True, check=False)

    assert verify().returncode == 0
    card = folder / "README.md"
    card.chmod(0o644)
    card.write_text(card.read_text() + " ")
    assert verify().returncode != 0
    assert json.loads((folder / "manifest.json").read_text())["identity"]
