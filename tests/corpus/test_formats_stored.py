"""Rows of other projects and tools in a project: what is stored, and that it comes in once."""

import json

import pytest
from sqlalchemy import func, select

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus.models import Response
from app.projects.models import Membership
from app.tasks.models import Task, TaskResponse
from app.worker.imports import run_import
from tests.corpus.files import brought_in, counts, figures, json_lines, pair, problems
from tests.corpus.samples import ARGILLA, OASST_TREE, PAIRWISE, RANKER, SAMPLES, flat
from tests.shared_data import shared_data

CLARITY = {"key": "clarity", "label": "Clarity", "min": 1, "max": 5}


def rated(**ratings):
    return pair(annotations=[{"annotator": "Kim", "ranks": [1, 2], "ratings": ratings}])


def annotations(session, project):
    return session.scalars(select(Annotation).where(Annotation.project_id == project.id)).all()


def test_every_format_comes_in_from_a_json_list_and_again_adds_nothing(session, project, tmp_path):
    for name, rows in SAMPLES.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(rows, indent=1))
        row = brought_in(session, project, file)
        assert (row.state, row.format, row.error) == ("succeeded", name, None), row.errors
        assert row.rows_imported + row.rows_skipped == row.rows_read >= len(rows)
        before = counts(session, project)
        again = brought_in(session, project, file)
        assert figures(again) == (row.rows_read, 0, row.rows_read, 0)
        assert counts(session, project) == before


def test_the_api_takes_a_json_list(api, ada, project):
    program = api(ada)
    reply = program.post(
        f"/api/v1/projects/{project.id}/imports",
        content=json.dumps([PAIRWISE, RANKER]),
        headers={"content-type": "application/json"},
    )
    run_import(reply.json()["id"])
    done = program.get(f"/api/v1/imports/{reply.json()['id']}").json()
    assert (done["state"], done["format"], done["rows_imported"]) == (
        "succeeded",
        "label-studio",
        2,
    )


def test_people_of_annotation_tools_are_people_and_models_are_sources(session, project, tmp_path):
    for name, rows in (("a", [ARGILLA]), ("l", [PAIRWISE, RANKER])):
        brought_in(session, project, json_lines(tmp_path / name, rows))
    people = session.scalars(
        select(User.name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project.id, Membership.imported_name.is_not(None))
    )
    assert set(people) == {"u-1", "user 3", "kim@example.org"}
    kept = annotations(session, project)
    assert {each.source for each in kept if each.source} == {"model:judge-1", "model:judge-2"}
    assert [each.counted for each in kept if each.user_id] == [True] * 3


def test_ratings_come_in_where_the_project_has_the_criterion(session, project, tmp_path):
    project.criteria = [CLARITY]
    line = rated(clarity=[5, None])
    file = json_lines(tmp_path / "rated.jsonl", [line, rated(clarity=[None, None])])
    row = brought_in(session, project, file)
    assert (row.state, row.errors) == ("succeeded", [])
    texts = session.scalars(
        select(Response.text)
        .join(TaskResponse, TaskResponse.response_id == Response.id)
        .join(Task, Task.id == TaskResponse.task_id)
        .where(Task.project_id == project.id)
        .order_by(TaskResponse.position)
    ).all()
    by_ratings = {tuple(each.ratings): each for each in annotations(session, project)}
    kept = by_ratings["clarity",]
    assert dict(zip(texts, kept.ratings["clarity"], strict=True)) == {"4": 5, "5": None}
    assert () in by_ratings  # nothing was rated, so there are none


@pytest.mark.parametrize(
    ("ratings", "says"),
    [
        ({"humour": [1, 2]}, "rates “humour”, and this project has clarity. Add the criterion"),
        ({"clarity": [1, 6]}, "has a rating of “clarity” outside 1 to 5"),
        ({"clarity": [1]}, "needs one rating of “clarity” per response (2)"),
        ({"clarity": [1, 2.5]}, "use whole numbers, or null"),
        ([1, 2], "has “ratings” that are no object"),
    ],
)
def test_ratings_that_do_not_fit_are_refused_with_a_sentence(
    session, project, tmp_path, ratings, says
):
    project.criteria = [CLARITY]
    line = rated()
    line["annotations"][0]["ratings"] = ratings
    row = brought_in(session, project, json_lines(tmp_path / "rated.jsonl", [line]))
    assert says in problems(row)[1]


def test_what_a_file_says_of_a_judgement_beside_is_kept_with_it(
    api, ada, session, project, tmp_path
):
    judgement = {"annotator": "Kim", "ranks": [1, 2], "seconds": 12.5, "tool": {"version": 3}}
    file = json_lines(tmp_path / "a.jsonl", [pair(annotations=[judgement])])
    brought_in(session, project, file)
    (kept,) = annotations(session, project)
    assert kept.meta == {"seconds": 12.5, "tool": {"version": 3}}
    (told,) = api(ada).get(f"/api/v1/projects/{project.id}/annotations").json()["items"]
    assert told["meta"] == kept.meta
    assert figures(brought_in(session, project, file)) == (1, 0, 1, 0)


def test_a_judgement_with_nothing_beside_has_no_metadata(session, project, tmp_path):
    brought_in(session, project, json_lines(tmp_path / "a.jsonl", [rated()]))
    without = select(func.count()).where(
        Annotation.project_id == project.id, Annotation.meta.is_(None)
    )
    assert session.scalar(without) == 1


@pytest.mark.parametrize("name", ["trees", "rankings"])
def test_real_trees_come_in_as_their_149_rankings(session, project, name):
    file = shared_data(f"oasst-trees/{name}.jsonl.gz")
    row = brought_in(session, project, file)
    assert (row.state, row.format, figures(row)) == ("succeeded", "oasst", (149, 149, 0, 0))
    kept = counts(session, project)
    assert (kept["tasks"], kept["annotations"]) == (149, 149)
    assert {each.source for each in annotations(session, project)} == {"dataset:oasst"}
    assert figures(brought_in(session, project, file)) == (149, 0, 149, 0)


def test_messages_that_hang_in_the_air_stop_an_import_or_are_skipped(session, project, tmp_path):
    rows = [row for row in flat(OASST_TREE) if row["message_id"] != "m2"]
    file = json_lines(tmp_path / "oasst.messages.jsonl", rows)
    strict = brought_in(session, project, file)
    assert (strict.state, figures(strict)) == ("failed", (5, 0, 0, 4))
    lenient = brought_in(session, project, file, skip_bad_lines=True)
    assert (lenient.state, figures(lenient)) == ("succeeded", (5, 1, 0, 4))
    assert list(problems(lenient)) == [4, 5, 6, 7]
