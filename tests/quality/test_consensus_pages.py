"""The pages of the answers and of the leaderboard, as a person opens them."""

import csv
import io
import re
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts import service as accounts
from app.accounts.models import User
from app.db import database_now, transaction
from app.quality.service import summary
from app.web.protection import SESSION_COOKIE
from tests.factories import make_annotation, make_prompt, make_task
from tests.people import People, make_people

SignIn = Callable[[User], TestClient]
FIRST, SECOND = [1, 2], [2, 1]


def fill(session: Session, people: People, number: int = 24) -> None:
    """Ana and Rui judge pairs of three sources and differ on every third; a fourth never lost."""
    for place in range(number):
        sources = [["large", "small"], ["small", "=tiny"], ["large", "=tiny"]][place % 3]
        task = make_task(
            session, people.project, prompt=f"Question {place}", wanted=2, sources=sources
        )
        ranks = SECOND if place % 8 == 0 else FIRST
        make_annotation(session, task, people.ana, ranks=ranks)
        other = ranks if place % 3 else ranks[::-1]
        make_annotation(session, task, people.rui, ranks=other, display_order=[1, 0])
    task = make_task(session, people.project, prompt="Once", sources=["unbeaten <b>", "small"])
    make_annotation(session, task, people.ana, ranks=FIRST)


def rows_of(reply) -> list[dict[str, str]]:
    assert reply.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"))))


def test_the_answers_page(session: Session, people: People, sign_in: SignIn):
    fill(session, people)
    session.commit()
    ada = sign_in(people.ada)
    page = ada.get(f"/projects/{people.project.id}/consensus")
    assert page.status_code == 200
    for words in ("How sure are the answers?", "says something else", "one is better", "Ana"):
        assert words in page.text
    assert "fewer than 50 times" in page.text
    assert re.search(r'href="/tasks/[-0-9a-f]+/review"', page.text)
    tasks = rows_of(ada.get(f"/projects/{people.project.id}/consensus.csv"))
    assert len(tasks) == 25
    assert [float(row["posterior"]) for row in tasks] == sorted(
        float(row["posterior"]) for row in tasks
    )
    assert {row["answer"] for row in tasks} <= {"A > B", "B > A", "A = B"}
    people_rows = rows_of(ada.get(f"/projects/{people.project.id}/confusion.csv"))
    assert [row["person"] for row in people_rows] == ["Ana", "Rui"]
    assert float(people_rows[0]["says_left_if_left"]) > 0.5


def test_a_viewer_sees_the_answers_but_no_way_to_review(
    session: Session, people: People, sign_in: SignIn
):
    fill(session, people)
    session.commit()
    page = sign_in(people.vic).get(f"/projects/{people.project.id}/consensus").text
    assert "Question 3" in page
    assert "/review" not in page.split("<main")[1]


def test_the_leaderboard_page(session: Session, people: People, sign_in: SignIn):
    fill(session, people)
    session.commit()
    ada = sign_in(people.ada)
    page = ada.get(f"/projects/{people.project.id}/leaderboard").text
    assert "large and small cannot be told apart yet" in page or "large is better than" in page
    assert "<strong>unbeaten &lt;b&gt;</strong> never lost to them" in page
    assert "All sources on one scale, with invented comparisons" in page
    rows = rows_of(ada.get(f"/projects/{people.project.id}/leaderboard.csv"))
    assert [row["source"] for row in rows] == ["large", "small", "'=tiny", "unbeaten <b>"]
    assert rows[-1]["apart"] == "never lost to them"
    assert float(rows[0]["low"]) < float(rows[0]["score"]) < float(rows[0]["high"])
    assert "Who would lead if all wrote at the same length?" in page
    assert "Does it depend on the kind of prompt?" not in page  # no prompt has a tag


def test_the_leaderboard_page_tells_of_length_and_tags(
    session: Session, people: People, sign_in: SignIn
):
    """The brief one leads in law, and over all the wordy one, which people like for its length."""
    for place in range(60):
        is_law, is_long = place % 3 == 0, place % 4 > 0
        prompt = make_prompt(
            session, people.project, f"Q {place}", tags=["=law" if is_law else "chat"]
        )
        task = make_task(
            session, people.project, prompt=prompt, sources=["wordy", "brief"],
            responses=["x" * (400 if is_long else 10), "y" * 100],
        )  # fmt: skip
        ranks = FIRST if is_long and not is_law else SECOND
        make_annotation(session, task, people.ana, ranks=ranks if place % 7 else ranks[::-1])
    session.commit()
    ada, path = sign_in(people.ada), f"/projects/{people.project.id}/leaderboard"
    page = " ".join(ada.get(path).text.split())
    assert "People prefer what is longer: of two equally good responses that differ by" in page
    assert "At equal length brief would lead, not wordy" in page
    assert "Yes: elsewhere than over all, brief in “=law” leads." in page
    rows = rows_of(ada.get(f"{path}.csv"))
    assert float(rows[0]["at_equal_length"]) < float(rows[0]["score"])
    by_tag = rows_of(ada.get(f"{path}.csv?by=tag"))
    assert [(row["tag"], row["source"]) for row in by_tag] == [
        ("chat", "wordy"), ("chat", "brief"), ("'=law", "brief"), ("'=law", "wordy"),
    ]  # fmt: skip
    assert ada.get(f"{path}.csv?by=source").status_code == 422


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("consensus", "Nothing has been judged yet"),
        ("leaderboard", "import responses with a source"),
    ],
)
def test_an_empty_project_says_what_to_do(people: People, sign_in: SignIn, path, words):
    page = sign_in(people.ada).get(f"/projects/{people.project.id}/{path}")
    assert page.status_code == 200
    assert words in page.text


@pytest.mark.parametrize("path", ["consensus", "leaderboard"])
def test_a_large_project_is_computed_by_a_job_first(
    session: Session, people: People, sign_in: SignIn, monkeypatch, path
):
    fill(session, people, 3)
    session.commit()
    monkeypatch.setattr(summary, "INLINE", 0)
    page = sign_in(people.ada).get(f"/projects/{people.project.id}/{path}").text
    assert "being computed" in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_their_charts_are_drawn_and_nothing_complains(live_server, browser, width, scheme):
    with transaction() as session:
        people = make_people(session)
        fill(session, people)
        token = accounts.open_session(session, user=people.ada, now=database_now(session))
        base = f"{live_server}/projects/{people.project.id}"
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    cookie = {"name": SESSION_COOKIE, "value": token, "domain": "127.0.0.1", "path": "/"}
    context.add_cookies([cookie | {"secure": True}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda line: line.type in {"error", "warning"} and complaints.append(line.text)
    )
    for path, charts in (
        ("consensus", ("certainty", "methods")),
        ("leaderboard", ("scores", "wins")),
    ):
        page.goto(f"{base}/{path}")
        for chart in charts:
            page.wait_for_selector(f'[data-chart="{chart}"] svg.main-svg >> nth=0')
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    context.close()
