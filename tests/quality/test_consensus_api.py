"""Answers, confusion and the leaderboard through the API."""

from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import Role, User
from app.projects.models import Project
from app.quality.models import Part
from app.quality.service import summary
from app.quality.service.consensus import uncertain_tasks
from tests.factories import make_annotation, make_member, make_prompt, make_task, make_user
from tests.people import People

Api = Callable[[User], TestClient]
FIRST, SECOND, TIE = [1, 2], [2, 1], [1, 1]


def get(api: Api, user: User, path: str) -> dict:
    reply = api(user).get(f"/api/v1{path}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def crowd(session: Session, project: Project, number: int) -> list[User]:
    users = [make_user(session, f"Person {place}") for place in range(number)]
    for user in users:
        make_member(session, project, user, Role.ANNOTATOR)
    return users


def judged(session: Session, project: Project, users: list[User], votes, **task):
    """A task per row of `votes`: the ranks each user gave, None where she gave none."""
    made = []
    for number, ranks in enumerate(votes):
        each = make_task(session, project, prompt=f"Q {number}", wanted=len(users), **task)
        for user, given in zip(users, ranks, strict=True):
            if given is not None:
                make_annotation(session, each, user, ranks=given)
        made.append(each)
    session.commit()
    return made


def test_nothing_is_judged_yet(people: People, api: Api):
    answer = get(api, people.ada, f"/projects/{people.project.id}/consensus")
    assert (answer["n_open"], answer["annotators"], sum(answer["histogram"])) == (0, [], 0)
    board = get(api, people.ada, f"/projects/{people.project.id}/leaderboard")
    assert board["entries"] == []
    assert "import responses with a source" in board["reason"]


def test_least_certain_tasks_come_first(session: Session, people: People, api: Api):
    users = [people.ana, people.rui]
    split, agreed, one = judged(
        session, people.project, users, [[FIRST, SECOND], [FIRST, FIRST], [SECOND, None]]
    )
    page = get(api, people.rui, f"/projects/{people.project.id}/tasks?order=posterior")
    assert [task["id"] for task in page["items"]] == [str(split.id), str(one.id), str(agreed.id)]
    assert [task["disagreement"] for task in page["items"]] == [1.0, None, 0.0]
    posteriors = [task["posterior"] for task in page["items"]]
    assert posteriors[0] < posteriors[1] < posteriors[2] <= 1
    view = summary.current(session, project=people.project, part=Part.CONSENSUS)
    tasks = uncertain_tasks(session, view=view, start=0, limit=2)
    assert [task.line.task_id for task in tasks] == [split.id, one.id]
    assert (tasks[0].majority, tasks[1].majority, tasks[1].ranks) == (None, [2, 1], [2, 1])
    disputed = get(api, people.rui, f"/projects/{people.project.id}/tasks")["items"]
    assert disputed[0]["posterior"] is None


def test_what_a_reviewer_settles_is_known_at_once(session: Session, people: People, api: Api):
    users = [people.ana, people.rui]
    split, _ = judged(session, people.project, users, [[FIRST, SECOND], [FIRST, FIRST]])
    path = f"/projects/{people.project.id}/consensus"
    before = get(api, people.ada, path)
    assert (before["n_open"], before["n_adjudicated"]) == (2, 0)
    assert before["methods"]["unresolved"] == 1
    body = {"ranking": [["A"], ["B"]], "reason": "A is right."}
    assert api(people.rui).put(f"/api/v1/tasks/{split.id}/adjudication", json=body).is_success
    after = get(api, people.ada, path)
    assert (after["n_open"], after["n_adjudicated"]) == (1, 1)
    accuracy = {p["user_id"]: p["accuracy"]["value"] for p in after["annotators"]}
    assert accuracy[str(people.ana.id)] > accuracy[str(people.rui.id)]
    page = get(api, people.rui, f"/projects/{people.project.id}/tasks?order=posterior")
    assert str(split.id) not in [task["id"] for task in page["items"]]


def test_gold_tells_who_is_right(session: Session, people: People, api: Api):
    """Ana is right in gold, Rui wrong: where they differ, she has it."""
    users = [people.ana, people.rui]
    tasks = judged(session, people.project, users, [[FIRST, SECOND]] * 3)
    path = f"/projects/{people.project.id}/tasks?order=posterior"
    before = get(api, people.rui, path)["items"]
    for number in range(12):
        gold = make_task(session, people.project, prompt=f"Gold {number}", prefers=[[0, 1]])
        make_annotation(session, gold, people.ana, ranks=FIRST)
        make_annotation(session, gold, people.rui, ranks=SECOND)
    session.commit()
    after = get(api, people.rui, path)["items"]
    assert after[0]["posterior"] > before[0]["posterior"] + 0.2
    view = summary.current(session, project=people.project, part=Part.CONSENSUS)
    assert {tuple(task["ranks"]) for task in view.figures["uncertain"]} == {(1, 2)}
    ana = get(
        api, people.ada, f"/projects/{people.project.id}/annotators/{people.ana.id}/confusion"
    )
    assert (ana["n_known"], ana["n_annotations"], ana["two_sided"]) == (12, len(tasks), False)
    assert np.array(ana["matrix"]).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_who_has_judged_nothing_has_no_confusion(people: People, api: Api):
    path = f"/api/v1/projects/{people.project.id}/annotators/{people.ana.id}/confusion"
    assert api(people.ada).get(path).status_code == 404


def test_the_leaderboard_orders_sources(session: Session, people: People, api: Api):
    users = crowd(session, people.project, 3)
    votes = [[FIRST, FIRST, TIE]] * 6 + [[SECOND, FIRST, FIRST]] * 6
    judged(session, people.project, users, votes, sources=["large", "small"])
    board = get(api, people.ada, f"/projects/{people.project.id}/leaderboard")
    assert [entry["source"] for entry in board["entries"]] == ["large", "small"]
    large, small = board["entries"]
    assert (large["wins"], large["ties"], large["losses"]) == (24, 6, 6)
    assert large["score"]["value"] + small["score"]["value"] == pytest.approx(2000)
    # Two sources: the log odds of the decisive comparisons, 24 : 6.
    assert large["better_than_next"]["value"] == pytest.approx(0.8, abs=1e-6)
    assert large["score"]["value"] - 1000 == pytest.approx(400 * np.log10(4) / 2, abs=1e-3)
    assert large["better_than_next"]["low"] < 0.8 < large["better_than_next"]["high"]
    assert small["better_than_next"] is None
    assert board["clustered_by"] == ["task"]
    assert board["matrix"] == {
        "sources": ["large", "small"],
        "wins": [[0, 24], [6, 0]],
        "ties": [[0, 6], [6, 0]],
    }


def test_sources_that_nothing_joins_stand_apart(session: Session, people: People, api: Api):
    users = [people.ana]
    even = [[FIRST], [SECOND]] * 6
    judged(session, people.project, users, even, sources=["a", "b"])
    judged(session, people.project, users, [[FIRST]] * 3, sources=["strong", "a"])
    judged(session, people.project, users, [[SECOND]] * 2, sources=["weak", "b"])
    judged(session, people.project, users, even, sources=["far", "away"])
    judged(session, people.project, users, [[FIRST]], sources=["same", "same"])
    board = get(api, people.ada, f"/projects/{people.project.id}/leaderboard")
    assert sorted(entry["source"] for entry in board["entries"]) == ["a", "b"]
    assert {row["source"]: row["why"] for row in board["apart"]} == {
        "strong": "never lost to them",
        "weak": "never won against them",
        "far": "never met them",
        "away": "never met them",
        "same": "was never compared with another source",
    }
    everybody = board["with_pseudo_counts"]["entries"]
    assert everybody[0]["source"] == "strong"
    assert everybody[-1]["source"] == "weak"
    assert len(everybody) == 6


@pytest.mark.parametrize(
    ("sources", "votes", "reason"),
    [
        ([None, None], [[FIRST]], "No response says where it comes from"),
        (["one", "one"], [[FIRST]], "All responses come from one source, one"),
        (["one", "two"], [[FIRST]] * 3, "never lost"),
        (["one", "two"], [[TIE]] * 3, "Everything was called a tie"),
        (["one", "two"], [[TIE], [FIRST]], "Too few comparisons are decisive"),
    ],
)
def test_a_leaderboard_that_is_not_defined_says_why(
    session: Session, people: People, api: Api, sources, votes, reason
):
    judged(session, people.project, [people.ana], votes, sources=sources)
    board = get(api, people.ada, f"/projects/{people.project.id}/leaderboard")
    assert board["entries"] == []
    assert reason in board["reason"]


def test_a_ranking_of_four_counts_every_pair(session: Session, people: People, api: Api):
    sources = ["a", "b", "c", "d"]
    responses = ["1", "2", "3", "4"]
    votes = [[[1, 2, 2, 4]], [[4, 3, 2, 1]], [[1, 2, 3, 4]], [[1, 2, 3, 4]]]
    judged(session, people.project, [people.ana], votes, sources=sources, responses=responses)
    board = get(api, people.ada, f"/projects/{people.project.id}/leaderboard")
    assert (board["n_comparisons"], board["n_judgements"], board["n_tasks"]) == (24, 4, 4)
    assert [entry["source"] for entry in board["entries"]] == sources
    assert "fewer than 10 tasks" in board["entries"][0]["score"]["reason"]


def test_other_projects_repeats_and_sources_of_labels_count_for_nothing(
    session: Session, people: People, api: Api
):
    votes = [[FIRST], [SECOND]]
    (first, _) = judged(session, people.project, [people.ana], votes, sources=["a", "b"])
    make_annotation(session, first, people.ana, ranks=SECOND, is_repeat=True)
    session.commit()
    board = get(api, people.ada, f"/projects/{people.project.id}/leaderboard")
    assert board["n_judgements"] == 2


def test_the_leaderboard_at_equal_length_and_by_tag(session: Session, people: People, api: Api):
    """The wordy one wins where it is longer, but for the prompts on law, where it always loses."""
    users = [people.ana]
    texts = {"long": ["x" * 400, "y"], "short": ["x" * 50, "y" * 90]}
    for number in range(48):
        kind = "short" if number % 4 == 0 else "long"
        is_law = number % 3 == 0
        ranks = FIRST if kind == "long" and not is_law else SECOND
        if number % 7 == 0:
            ranks = ranks[::-1]
        tags = ["law"] if is_law else ["chat"]
        prompt = make_prompt(session, people.project, f"Q {number}", tags=tags)
        task = make_task(
            session,
            people.project,
            prompt=prompt,
            responses=texts[kind],
            sources=["wordy", "brief"],
        )
        make_annotation(session, task, users[0], ranks=ranks)
    session.commit()
    board = get(api, people.ada, f"/projects/{people.project.id}/leaderboard")
    equal = board["at_equal_length"]
    assert equal["longer_of_equals"]["value"] > 0.5
    assert equal["usual_difference"] > 300
    lead = {entry["source"]: entry["score"]["value"] for entry in board["entries"]}
    at_equal = {entry["source"]: entry["score"]["value"] for entry in equal["entries"]}
    assert at_equal["wordy"] < lead["wordy"]
    assert [part["tag"] for part in board["by_tag"]] == ["chat", "law"]
    assert board["n_tags"] == 2
    chat, law = board["by_tag"]
    assert (chat["n_comparisons"], law["n_comparisons"]) == (32, 16)
    assert law["entries"][0]["source"] == "brief"
    wins = law["entries"][0]["wins"], law["entries"][0]["losses"]
    assert law["entries"][0]["better_than_next"]["value"] == pytest.approx(
        wins[0] / sum(wins), abs=1e-6
    )
