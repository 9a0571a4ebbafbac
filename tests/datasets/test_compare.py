"""Two snapshots compared, over the service, the API and the pages."""

import csv
import io
import json
import threading

import pytest
from sqlalchemy import text

from app.accounts.models import Role
from app.datasets.models import Snapshot, SnapshotComparison
from app.datasets.service import comparisons
from app.db import JobState
from app.errors import NotFound
from app.worker.comparisons import run_comparison
from tests.datasets.frozen import freeze
from tests.datasets.true import revise, true_task
from tests.factories import make_annotation, make_member, make_project


@pytest.fixture
def judged(session, project, ana, rui):
    """Six tasks that Ana and Rui judged alike; the ids of their prompts."""
    made = []
    for number in range(6):
        responses = [f"good {number} =1+1", f"bad {number}"]
        task, prompt_id = true_task(session, project, f"Question {number}", responses, wanted=3)
        for user in (ana, rui):
            annotation = make_annotation(session, task, user, ranks=[1, 2])
        made.append((task, prompt_id, annotation))
    session.commit()
    return made


@pytest.fixture
def before(session, project, judged):
    return freeze(session, project, test_share=0)


@pytest.fixture
def after(session, project, judged, before, ana, rui):
    """Meanwhile one was reversed, one revised into a tie, one erased, and one is new."""
    for annotation in session.query(type(judged[0][2])).filter_by(task_id=judged[0][0].id):
        revise(session, annotation, ranks=[2, 1])
    for annotation in session.query(type(judged[0][2])).filter_by(task_id=judged[1][0].id):
        revise(session, annotation, ranks=[1, 1])
    for annotation in session.query(type(judged[0][2])).filter_by(task_id=judged[2][0].id):
        session.delete(annotation)
    task, _ = true_task(session, project, "New question", ["x", "y"], wanted=2)
    session.commit()
    # The clock of a test stands still: the new judgement is from after the first snapshot.
    later = before.finished_at.replace(year=before.finished_at.year + 1)
    make_annotation(session, task, ana, ranks=[1, 2], submitted_at=later)
    session.commit()
    return freeze(session, project, test_share=0)


def compared(program, before, after):
    return program.get(f"/api/v1/snapshots/{before.id}/compare/{after.id}")


def differences(program, before, after, **asked):
    address = f"/api/v1/snapshots/{before.id}/compare/{after.id}/differences"
    return program.get(address, params=asked).json()["items"]


def test_equal_snapshots_are_said_to_be_equal(session, project, before, api, ada, sign_in):
    again = freeze(session, project, test_share=0)
    seen = compared(api(ada), before, again).json()
    assert (seen["state"], seen["identical"], seen["recipe"]) == ("succeeded", True, [])
    assert seen["configs"]["preference"]["same"] == 6
    page = sign_in(ada).get(
        f"/projects/{project.id}/snapshots/compare", params={"a": before.id, "b": again.id}
    )
    assert "They hold the same rows." in page.text
    assert "Both were frozen by the same recipe." in page.text


def test_what_came_went_and_changed_with_the_reasons(before, after, judged, api, vic):
    program = api(vic)
    seen = compared(program, before, after).json()
    tally = seen["configs"]["preference"]
    assert (tally["before"], tally["after"], tally["same"]) == (6, 5, 3)
    assert (tally["changed"], tally["came"], tally["went"]) == (1, 1, 2)
    assert tally["what"] == {"reversed": 1}
    assert tally["why"] == {"came": {"judged_since": 1}, "went": {"erased": 1, "revised": 1}}
    assert seen["configs"]["hh-rlhf"]["what"] == {"reversed": 1}
    assert seen["configs"]["unpaired"]["what"] == {"reversed": 2}
    assert seen["configs"]["prompts"]["why"] == {"came": {"new_prompt": 1}}
    (changed,) = differences(program, before, after)
    assert changed["prompt_id"] == judged[0][1]
    assert changed["before"]["chosen"] == changed["after"]["rejected"]
    assert changed["judgements"] == {"before": 2, "after": 2, "came": 2, "went": 2}
    went = differences(program, before, after, kind="went")
    assert {row["prompt_id"]: row["why"] for row in went} == {
        judged[1][1]: "revised",
        judged[2][1]: "erased",
    }
    (found,) = differences(program, before, after, kind="went", q="QUESTION 2")
    assert found["prompt_id"] == judged[2][1]
    (found,) = differences(program, before, after, kind="went", why="revised")
    assert found["prompt_id"] == judged[1][1]


def test_a_recipe_that_asks_for_more_is_named_as_the_reason(session, project, before, api, ada):
    strict = freeze(session, project, test_share=0.5, min_annotations=3, configs=["prompts"])
    seen = compared(api(ada), before, strict).json()
    assert {each["key"]: (each["before"], each["after"]) for each in seen["recipe"]} == {
        "min_annotations": ("1", "3"),
        "test_share": ("0", "0.5"),
        "configs": ("all that have rows", "prompts"),
    }
    assert seen["configs"]["preference"]["why"] == {"went": {"config": 6}}
    moved = seen["configs"]["prompts"]["moved"]
    assert moved["to_train"] == 0
    assert moved["to_test"] == seen["configs"]["prompts"]["changed"] > 0


def test_rows_that_moved_between_train_and_test_are_a_warning(
    session, project, before, sign_in, ada
):
    other = freeze(session, project, test_share=0.5, seed=3)
    page = (
        sign_in(ada)
        .get(f"/projects/{project.id}/snapshots/compare", params={"a": before.id, "b": other.id})
        .text
    )
    assert "moved from train to test" in page
    assert "do not compare their test figures" in page


def test_differences_leave_as_json_lines_and_as_a_safe_table(before, after, api, ada):
    program = api(ada)
    address = f"/api/v1/snapshots/{before.id}/compare/{after.id}/differences"
    lines = [json.loads(line) for line in program.get(f"{address}.jsonl").text.splitlines()]
    counted = compared(program, before, after).json()["configs"]
    assert len(lines) == sum(
        tally[kind] for tally in counted.values() for kind in ("changed", "came", "went")
    )
    reply = program.get(f"{address}.csv")
    assert "attachment" in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig"))))
    assert len(rows) == len(lines)
    assert not [value for row in rows for value in row.values() if value.startswith("=")]
    reversed_row = next(row for row in rows if row["what"] == "reversed")
    assert reversed_row["chosen_before"] == reversed_row["rejected_after"]


def test_a_comparison_is_made_once_and_kept(session, before, after, api, ada):
    first = compared(api(ada), before, after).json()
    assert compared(api(ada), before, after).json() == first
    (kept,) = session.query(SnapshotComparison).all()
    assert (kept.state, kept.attempt) == (JobState.SUCCEEDED, 1)


def test_nothing_is_kept_of_files_that_are_removed_meanwhile(session, before, after):
    assert before.files_removed_at is None  # as this session saw it, before somebody removed them
    removed = text("UPDATE snapshot SET files_removed_at = now() WHERE id = :id")
    session.execute(removed, {"id": before.id})
    with pytest.raises(NotFound, match="were removed"):
        comparisons.comparison_of(session, before=before, after=after)
    assert session.query(SnapshotComparison).count() == 0


def test_large_ones_are_compared_in_the_background(
    session, project, before, after, api, sign_in, ada, monkeypatch
):
    monkeypatch.setattr(comparisons, "AT_ONCE", 10)
    seen = compared(api(ada), before, after).json()
    assert (seen["state"], seen["configs"], seen["identical"]) == ("queued", {}, None)
    compared(api(ada), before, after)
    jobs = session.execute(text("SELECT task_name, args FROM procrastinate_jobs")).all()
    (kept,) = session.query(SnapshotComparison).all()
    assert [(job.task_name, job.args) for job in jobs] == [
        ("comparison", {"comparison_id": str(kept.id)})
    ]
    address = f"/projects/{project.id}/snapshots/compare"
    asked = {"a": before.id, "b": after.id}
    assert "Waiting for a worker" in sign_in(ada).get(address, params=asked).text
    early = api(ada).get(f"/api/v1/snapshots/{before.id}/compare/{after.id}/differences")
    assert early.status_code == 409
    run_comparison(kept.id, stopping=threading.Event())
    session.expire_all()
    assert (kept.state, kept.done) == (JobState.SUCCEEDED, kept.total)
    assert compared(api(ada), before, after).json()["configs"]["preference"]["went"] == 2
    run_comparison(kept.id, stopping=threading.Event())  # the job comes again
    session.expire_all()
    assert kept.attempt == 1


def test_a_worker_that_ends_puts_it_back_and_one_that_lost_it_writes_nothing(
    session, before, after, monkeypatch
):
    monkeypatch.setattr(comparisons, "AT_ONCE", 10)
    kept = comparisons.comparison_of(session, before=before, after=after)
    session.commit()
    stopping = threading.Event()
    stopping.set()
    run_comparison(kept.id, stopping=stopping)
    session.expire_all()
    assert (kept.state, kept.attempt) == (JobState.QUEUED, 1)
    lost = comparisons.start_comparison(session, comparison_id=kept.id)
    mine = comparisons.start_comparison(session, comparison_id=kept.id)
    with pytest.raises(comparisons.LeaseLost):
        comparisons.finish_comparison(session, lease=lost, summary={})
    comparisons.fail_comparison(session, lease=mine, error="The disk is full.")
    session.commit()
    again = comparisons.comparison_of(session, before=before, after=after)
    assert (again.state, again.error) == (JobState.FAILED, "The disk is full.")
    again.finished_at = again.finished_at.replace(year=2020)
    session.commit()
    again = comparisons.comparison_of(session, before=before, after=after)
    assert (again.state, again.error) == (JobState.QUEUED, None)


def test_a_damaged_file_fails_with_a_sentence(session, before, after, monkeypatch):
    from app import artifacts

    monkeypatch.setattr(comparisons, "AT_ONCE", 10)
    kept = comparisons.comparison_of(session, before=before, after=after)
    session.commit()
    path = artifacts.local_path(f"{after.path}/preference/train.jsonl.gz")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-8])
    run_comparison(kept.id, stopping=threading.Event())
    session.expire_all()
    assert kept.state is JobState.FAILED
    assert "damaged" in kept.error


def test_snapshots_of_two_projects_are_for_those_who_may_see_both(
    session, people, before, api, sign_in, ada, vic
):
    other = make_project(session, "Other", by=ada)
    task, _ = true_task(session, other, "Question 0", ["good 0 =1+1", "bad 0"])
    make_member(session, other, people.ana, Role.ANNOTATOR)
    make_annotation(session, task, people.ana, ranks=[1, 2])
    session.commit()
    foreign = freeze(session, other, test_share=0)
    seen = compared(api(ada), before, foreign).json()
    tally = seen["configs"]["preference"]
    assert (tally["same"], tally["changed"], tally["went"], tally["why"]) == (0, 1, 5, {})
    assert compared(api(vic), before, foreign).status_code == 404
    assert compared(api(vic), foreign, before).status_code == 404
    address = f"/projects/{before.project_id}/snapshots/compare"
    asked = {"a": before.id, "b": foreign.id}
    assert sign_in(vic).get(address, params=asked).status_code == 404
    page = sign_in(ada).get(address, params=asked)
    assert page.status_code == 200
    assert "another project" in page.text


def test_the_page_says_what_is_missing(session, project, before, sign_in, api, ada):
    browser = sign_in(ada)
    address = f"/projects/{project.id}/snapshots/compare"
    assert "There is only one frozen snapshot" in browser.get(address).text
    queued = Snapshot(project_id=project.id, name="Soon", recipe={})
    session.add(queued)
    session.commit()
    page = browser.get(address, params={"a": before.id, "b": queued.id})
    assert "“Soon” is queued and has no files" in page.text
    same = browser.get(address, params={"a": before.id, "b": before.id})
    assert "one and the same snapshot" in same.text
    assert browser.get(address, params={"a": before.id, "b": project.id}).status_code == 404
    assert browser.get(address, params={"a": "nonsense"}).status_code == 422
    assert compared(api(ada), before, queued).status_code == 409
    assert session.query(SnapshotComparison).count() == 0


def test_the_page_lists_rows_and_leads_to_their_judgements(
    project, before, after, judged, sign_in, vic
):
    browser = sign_in(vic)
    address = f"/projects/{project.id}/snapshots/compare"
    asked = {"a": before.id, "b": after.id}
    page = browser.get(address, params=asked).text
    assert "3 comparisons are the same, 1 changed (1 of them reversed), 1 came, 2 went." in page
    assert "chosen now, rejected before" in page
    assert f"/snapshots/{before.id}/rows/{judged[0][1]}" in page
    went = browser.get(address, params=asked | {"config": "preference", "kind": "went"}).text
    assert "Its judgements were erased since." in went
    none = browser.get(address, params=asked | {"kind": "went", "q": "nowhere"}).text
    assert "None like that" in none
