"""Texts of a run, prompt by prompt and step by step."""

from collections.abc import Callable

from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.projects.models import Project
from app.runs.formats import stories
from app.runs.models import Metric, RunKind, Sample
from tests.runs.factories import make_run, make_snapshot


def sample(step: int, prompt: str = "Hi", **more: object) -> dict[str, object]:
    return {"step": step, "prompt": prompt, "response": f"at {step}"} | more


def test_texts_are_told_from_the_first_step_to_the_last() -> None:
    (story,) = stories([sample(step) for step in (30, 20, 10)])
    assert [text["step"] for text in story.samples] == [10, 20, 30]
    assert story.first is not None
    assert (story.first["response"], story.last["response"]) == ("at 10", "at 30")


def test_of_many_steps_some_are_told_the_ends_among_them() -> None:
    (story,) = stories([sample(step) for step in range(100, 0, -1)])
    steps = [text["step"] for text in story.samples]
    assert (len(steps), steps[0], steps[-1]) == (8, 1, 100)
    assert steps == sorted(set(steps))


def test_one_text_has_nothing_to_be_compared_with() -> None:
    told = stories([sample(5), sample(5), *(sample(5, prompt=f"{n}?") for n in range(9))])
    assert len(told) == 4
    assert told[0].first is None
    assert len(told[0].samples) == 1


def test_scores_of_a_reward_model_follow_each_response() -> None:
    def scored(step: int, **scores: float) -> dict[str, object]:
        responses = [{"response": text, "score": score} for text, score in scores.items()]
        return {"step": step, "prompt": "Hi", "responses": responses}

    (story,) = stories([scored(9, a=2.0, b=-1.0), scored(3, a=0.5)])
    assert story.scores == [("a", [0.5, 2.0]), ("b", [None, -1.0])]


def test_the_page_tells_how_an_answer_changed(
    session: Session, sign_in: Callable[[User], TestClient], ada: User, project: Project
) -> None:
    snapshot = make_snapshot(session, project)
    writer, judge = (
        make_run(session, snapshot, kind, step=30) for kind in (RunKind.SFT, RunKind.REWARD)
    )
    for step in (10, 20, 30):
        text = {"prompt": "Tea?", "response": f"<b>at {step}</b>"}
        scored = {"prompt": "Tea?", "responses": [{"response": "Yes", "score": step, "rank": 1}]}
        session.add(Sample(run_id=writer.id, attempt=0, step=step, values=text))
        session.add(Sample(run_id=judge.id, attempt=0, step=step, values=scored))
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/runs/{writer.id}").text
    assert "How it changed: 3 steps" in page
    assert page.count("&lt;b&gt;at 30&lt;/b&gt;") == 2  # now, and in its place
    scores = sign_in(ada).get(f"/projects/{project.id}/runs/{judge.id}").text
    assert "How the scores changed: 3 steps" in scores


def test_a_program_reads_all_steps_and_texts_page_by_page(
    session: Session, api: Callable[[User], TestClient], ada: User, project: Project
) -> None:
    run = make_run(session, make_snapshot(session, project), RunKind.SFT, step=3)
    for step in (1, 2, 3):
        session.add(Metric(run_id=run.id, attempt=0, step=step, values={"loss": 1.0}))
        for text in "ab":
            session.add(Sample(run_id=run.id, attempt=0, step=step, values={"response": text}))
    session.commit()
    program = api(ada)

    def pages(address: str) -> list[dict[str, object]]:
        answer = program.get(f"{address}?limit=1").json()
        items = answer["items"]
        while answer["next_cursor"] is not None:
            assert len(items) < 10, "the pages do not end"
            answer = program.get(f"{address}?limit=1&cursor={answer['next_cursor']}").json()
            items += answer["items"]
        return items

    steps = [item["step"] for item in pages(f"/api/v1/runs/{run.id}/metrics")]
    texts = [(item["step"], item["response"]) for item in pages(f"/api/v1/runs/{run.id}/samples")]
    assert steps == [1, 2, 3]
    assert texts == [(step, text) for step in (3, 2, 1) for text in "ab"]
    for wrong in ("samples?cursor=0", "samples?cursor=x", "metrics?cursor=x"):
        assert program.get(f"/api/v1/runs/{run.id}/{wrong}").status_code in {404, 422}
