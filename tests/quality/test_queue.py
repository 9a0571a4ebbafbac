"""The queue of a reviewer: order, filters, walking through it, CSV and API."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.errors import Invalid
from app.quality.models import Adjudication
from app.quality.queries import queue as queries
from app.quality.rules import queue as rules
from app.quality.rules.queue import Given, Mark, after, read_mark
from app.quality.schemas.queue import QueueFilters
from app.quality.service import queue as service
from app.tasks.models import Task
from tests.factories import make_annotation, make_prompt, make_task, make_user
from tests.people import People

SignIn = Callable[[User], TestClient]
Api = Callable[[User], TestClient]
FIRST, SECOND, TIE = [1, 2], [2, 1], [1, 1]


def judged(session: Session, people: People, votes: Sequence[Sequence[int]], **how) -> Task:
    """A task on which Ana, Rui and Ada say this, in turn."""
    when = {"submitted_at": how.pop("submitted_at", None)}
    task = make_task(session, people.project, wanted=len(votes), **how)
    for user, ranks in zip((people.ana, people.rui, people.ada), votes, strict=False):
        make_annotation(session, task, user, ranks=ranks, **when)
    return task


def settle(session: Session, task: Task, *, at: datetime | None = None, **fields) -> None:
    session.add(
        Adjudication(task_id=task.id, ranks=FIRST, reason="Clear.", **fields)
        if at is None
        else Adjudication(task_id=task.id, ranks=FIRST, reason="Clear.", created_at=at, **fields)
    )


def in_queue(api: TestClient, people: People, query: str = "") -> list[str]:
    reply = api.get(f"/api/v1/projects/{people.project.id}/tasks?{query}")
    assert reply.status_code == 200, reply.text
    return [item["id"] for item in reply.json()["items"]]


# The figures


def test_disagreement_is_the_share_of_pairs_that_differ():
    assert rules.disagreement([FIRST]) is None
    assert rules.disagreement([FIRST, SECOND]) == 1
    assert rules.disagreement([FIRST, FIRST, TIE]) == pytest.approx(2 / 3, abs=1e-6)


orders = st.integers(2, 4).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(1, 3), min_size=size, max_size=size), min_size=2, max_size=6
    )
)


@given(orders)
def test_disagreement_and_difference_as_counted_by_hand(rankings):
    def same(one, other):
        pairs = list(combinations(range(len(one)), 2))
        return [(one[i] > one[j]) - (one[i] < one[j]) for i, j in pairs] == [
            (other[i] > other[j]) - (other[i] < other[j]) for i, j in pairs
        ]

    differ, n = 0, 0
    for i, j in combinations(range(len(rankings[0])), 2):
        for one, other in combinations(rankings, 2):
            differ += not same([one[i], one[j]], [other[i], other[j]])
            n += 1
    assert rules.disagreement(rankings) == pytest.approx(differ / n, abs=1e-6)
    # the mean of everybody's difference from the others is the same figure
    apart = [
        rules.difference(ranks, [*rankings[:place], *rankings[place + 1 :]])
        for place, ranks in enumerate(rankings)
    ]
    assert sum(apart) / len(apart) == pytest.approx(differ / n, abs=1e-5)


def test_a_posterior_weighs_people_by_their_gold():
    a, b = UUID(int=1), UUID(int=2)
    good, bad = Given(a, FIRST, 0.9), Given(b, SECOND, 0.6)
    # two answers: .9·.4 against .1·.6
    assert rules.posterior([good, bad], allow_ties=False) == pytest.approx(0.36 / 0.42, abs=1e-6)
    # with a tie: .9·.2, .05·.6, .05·.2
    assert rules.posterior([good, bad], allow_ties=True) == pytest.approx(0.18 / 0.22, abs=1e-6)
    assert rules.posterior([], allow_ties=True) is None


def test_a_mark_is_read_as_it_was_written():
    mark = Mark(-0.333333, UUID(int=7))
    assert read_mark(str(mark)) == mark
    for text in ("", "1", "x~y", "0.5~7"):
        with pytest.raises(Invalid, match="no place in the queue"):
            read_mark(text)


def test_what_is_behind_a_mark_that_has_left():
    marks = [Mark(-1, UUID(int=2)), Mark(-1, UUID(int=1)), Mark(-0.5, UUID(int=3))]
    assert [mark.task_id.int for mark in after(marks, None)] == [1, 2, 3]
    assert [mark.task_id.int for mark in after(marks[1:], marks[0])] == [3]


# Order and states


def test_the_least_sure_come_first_and_those_still_judged_wait(
    session: Session, people: People, api: Api, sign_in: SignIn
):
    sure = judged(session, people, [FIRST, FIRST, FIRST])
    split = judged(session, people, [FIRST, SECOND])
    lonely = judged(session, people, [FIRST])
    unfinished = judged(session, people, [SECOND, FIRST])
    unfinished.wanted = 3
    session.commit()
    rui = api(people.rui)
    listed = in_queue(rui, people, "order=posterior")
    assert set(listed[:2]) == {str(split.id), str(unfinished.id)}
    assert set(listed[2:]) == {str(lonely.id), str(sure.id)}
    page = sign_in(people.rui).get(f"/projects/{people.project.id}/review?order=posterior").text
    assert f"/tasks/{split.id}/review" in page
    assert f"/tasks/{unfinished.id}/review" not in page  # one more will tell
    assert rui.get(f"/api/v1/projects/{people.project.id}/tasks?order=luck").status_code == 422


def test_each_task_has_one_state(session: Session, people: People, sign_in: SignIn, api: Api):
    tasks = {name: judged(session, people, [FIRST, SECOND]) for name in ("open", "settled", "back")}
    settle(session, tasks["settled"])
    settle(session, tasks["open"], withdrawn_at=datetime(2026, 1, 1, tzinfo=UTC))
    tasks["back"].wanted = tasks["back"].at_least = 3
    gold = make_task(session, people.project, prefers=[[0, 1]])
    make_annotation(session, gold, people.ana, ranks=SECOND, gold_passed=False)
    session.commit()
    rui = api(people.rui)
    found = {
        state: in_queue(rui, people, f"state={state}")
        for state in ("open", "settled", "sent_back", "gold")
    }
    assert found == {
        "open": [str(tasks["open"].id)],
        "settled": [str(tasks["settled"].id)],
        "sent_back": [str(tasks["back"].id)],
        "gold": [],  # one answer differs from none
    }
    assert len(in_queue(rui, people)) == 3
    page = sign_in(people.rui).get(f"/projects/{people.project.id}/review").text
    assert "1 of 3 settled</strong>, 1 sent back" in page
    assert str(tasks["open"].id) in page
    assert str(tasks["settled"].id) not in page


def test_filters_narrow_the_queue(session: Session, people: People, api: Api):
    days = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in (2, 3)]
    forum = make_prompt(
        session, people.project, "Café or “tea”?", source="forum", tags=["food", "drink"]
    )
    quiz = make_prompt(session, people.project, "100 % user", source="quiz", tags=["numbers"])
    one = judged(session, people, [FIRST, SECOND], prompt=forum, submitted_at=days[0])
    other = judged(
        session, people, [FIRST, FIRST, SECOND], prompt=quiz, submitted_at=days[1], external_id="q7"
    )
    for annotation in session.query(queries.Annotation).filter_by(task_id=other.id):
        annotation.guidelines_version = 2
    session.commit()
    rui = api(people.rui)
    expected = {
        "source=forum": one, "tag=drink": one, "day=2026-03-02": one, "search=“TEA”": one,
        "search=café": one, "version=1": one, "source=quiz": other, "day=2026-03-03": other,
        "version=2": other, "search=100 %25": other, "search=q7": other, "search=user": other,
        f"annotator={people.ada.id}": other,
    }  # fmt: skip
    for query, task in expected.items():
        assert in_queue(rui, people, query) == [str(task.id)], query
    nothing = ("source=foru", "search=role", "day=2026-03-04", "tag=foo", "search=100_%25",
               f"annotator={people.vic.id}")  # fmt: skip
    for query in nothing:
        assert in_queue(rui, people, query) == [], query
    assert len(in_queue(rui, people, "source=&tag=&version=&annotator=&day=&search=")) == 2
    for query in ("day=soon", "version=x", "annotator=Ana", "state=odd"):
        reply = rui.get(f"/api/v1/projects/{people.project.id}/tasks?{query}")
        assert reply.status_code == 422, query


def test_a_person_is_shown_where_she_differs(session: Session, people: People, sign_in: SignIn):
    alone = judged(session, people, [SECOND, FIRST, FIRST])
    with_one = judged(session, people, [FIRST, FIRST, SECOND])
    judged(session, people, [FIRST, FIRST, FIRST])
    session.commit()
    page = sign_in(people.rui).get(
        f"/projects/{people.project.id}/review?annotator={people.ana.id}"
    ).text  # fmt: skip
    assert page.index(str(alone.id)) < page.index(str(with_one.id))
    assert page.count("/review?annotator=") == 2
    assert "Others who differ" in page


# Walking through it


def test_no_task_is_skipped_or_comes_twice_while_others_are_settled(
    session: Session, people: People, api: Api
):
    tasks = [judged(session, people, [FIRST, SECOND]) for _ in range(7)]
    session.commit()
    rui, cursor, seen = api(people.rui), "", []
    address = f"/api/v1/projects/{people.project.id}/tasks?state=open&limit=2"
    while cursor is not None:
        reply = rui.get(address + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [item["id"] for item in reply["items"]]
        cursor = reply["next_cursor"]
        for item in reply["items"]:  # what was on this page leaves the queue
            settle(session, session.get_one(Task, UUID(item["id"])))
        session.commit()
    assert sorted(seen) == sorted(str(task.id) for task in tasks)
    assert rui.get(f"{address}&cursor=nonsense").status_code == 422


def test_settling_leads_to_the_next_and_at_the_end_back(
    session: Session, people: People, sign_in: SignIn
):
    prompt = make_prompt(session, people.project, "?", source="forum & more")
    tasks = sorted(
        (judged(session, people, [FIRST, SECOND], prompt=prompt) for _ in range(2)),
        key=lambda task: str(task.id),
    )
    judged(session, people, [FIRST, SECOND])  # of another source
    session.commit()
    rui, asked = sign_in(people.rui), "source=forum+%26+more"
    start = rui.get(f"/projects/{people.project.id}/review/next?{asked}")
    assert start.headers["location"] == f"/tasks/{tasks[0].id}/review?{asked}"
    form = {"answer": "1", "reason": "Clear.", "then": "next"}
    done = rui.post(f"/tasks/{tasks[0].id}/adjudication?{asked}", data=form)
    on = rui.get(done.headers["location"])
    assert on.headers["location"] == f"/tasks/{tasks[1].id}/review?{asked}"
    assert "1 of 2 settled" in rui.get(on.headers["location"]).text
    done = rui.post(f"/tasks/{tasks[1].id}/adjudication?{asked}", data=form)
    end = rui.get(done.headers["location"]).headers["location"]
    assert end == f"/projects/{people.project.id}/review?{asked}&end=1"
    page = rui.get(end).text
    assert "That was the last one." in page
    assert "2 of 2 settled" in page


# Other ways to see it


def test_the_table_leaves_as_csv(session: Session, people: People, sign_in: SignIn):
    task = judged(session, people, [FIRST, SECOND], prompt="=1+1", external_id="e1")
    judged(session, people, [FIRST, FIRST])
    session.commit()
    reply = sign_in(people.rui).get(f"/projects/{people.project.id}/review.csv?state=all")
    assert reply.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(reply.text.lstrip("\ufeff"))))
    assert rows == [
        {
            "task_id": str(task.id), "external_id": "e1", "prompt": "'=1+1", "responses": "2",
            "judgements": "2", "disagreement": "1.0", "posterior": "", "difference": "",
            "state": "open", "settled_at": "",
        }
    ]  # fmt: skip


def test_of_very_many_tasks_the_most_disputed_are_looked_at(
    session: Session, people: People, api: Api, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "LOOKED_AT", 4)
    split = [judged(session, people, [FIRST, SECOND]) for _ in range(2)]
    for _ in range(4):
        judged(session, people, [FIRST, FIRST])
    session.commit()
    assert in_queue(api(people.rui), people)[:2] == sorted(str(task.id) for task in split)
    page = sign_in(people.rui).get(f"/projects/{people.project.id}/review").text
    assert "the most disputed ones of the project are looked at" in page


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "Nothing is disputed"),
        ("order=posterior", "Every answer is sure enough"),
        ("search=nothing", "Nothing fits"),
        ("after=0.000000~00000000-0000-0000-0000-000000000000", "Nothing more behind that"),
    ],
)
def test_an_empty_queue_says_what_it_would_hold(
    people: People, sign_in: SignIn, query: str, sentence: str
):
    assert sentence in sign_in(people.rui).get(
        f"/projects/{people.project.id}/review?{query}"
    ).text  # fmt: skip


def test_the_last_day_of_the_calendar_is_no_mistake_of_ours(
    session: Session, people: People, api: Api
):
    address = f"/api/v1/projects/{people.project.id}/tasks?day=9999-12-31"
    reply = api(people.rui).get(address)
    assert reply.status_code == 422
    assert "2999-12-31" in reply.json()["detail"]


def test_a_forgotten_filter_asks_for_nothing():
    filters = QueueFilters.model_validate({"annotator": "", "day": "", "version": "", "tag": " "})
    assert filters.query == ""
    assert not filters.narrows
    assert QueueFilters(state=None).query == "state=all"


def test_other_projects_stay_out_of_it(session: Session, people: People, api: Api):
    stranger = make_user(session, "Stranger")
    session.commit()
    reply = api(stranger).get(f"/api/v1/projects/{people.project.id}/tasks")
    assert reply.status_code == 404
