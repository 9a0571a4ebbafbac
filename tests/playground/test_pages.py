"""Asking, changing, sending and forgetting, as pages and as JSON."""

import json
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from app.accounts.models import AuditEvent
from app.completions import addresses
from app.config import settings
from app.corpus.models import Prompt, Response
from app.db import JobState
from app.generation.models import Endpoint
from app.playground import queries
from app.playground.models import PlayAnswer, PlayConversation, PlayReading, PlayTurn
from app.runs.models import RunKind
from app.tasks.models import Task, TaskKind
from tests.playground.factories import make_turn
from tests.runs.factories import make_checkpoint


@pytest.fixture
def writers(session, project):
    made = [make_checkpoint(session, project, kind) for kind in (RunKind.SFT, RunKind.DPO)]
    session.commit()
    return made


@pytest.fixture
def judge(session, project):
    made = make_checkpoint(session, project, RunKind.REWARD)
    session.commit()
    return made


def ask(client, project, writers, **fields):
    form = {"message": "How many eggs?", "first": str(writers[0].id), "second": str(writers[1].id)}
    return client.post(f"/projects/{project.id}/playground", data=form | fields)


def jobs(session, turn):
    return session.scalars(
        text(
            "SELECT count(*) FROM procrastinate_jobs"
            " WHERE queue_name = 'play' AND args ->> 'turn_id' = :turn"
        ),
        {"turn": str(turn.id)},
    ).one()


def test_asking_queues_an_answer_of_each_model(session, sign_in, ada, project, writers, judge):
    reply = ask(sign_in(ada), project, writers, reward=str(judge.id), system="Be short.")
    assert reply.status_code == 303
    turn = session.scalars(select(PlayTurn)).one()
    assert f"turn={turn.id}#turn-{turn.id}" in reply.headers["location"]
    answers = session.scalars(select(PlayAnswer).order_by(PlayAnswer.place)).all()
    assert [each.checkpoint_id for each in answers] == [each.id for each in writers]
    assert {each.state for each in answers} == {JobState.QUEUED}
    wanted = session.execute(select(PlayReading.answer_id, PlayReading.checkpoint_id)).all()
    assert sorted(map(tuple, wanted), key=str) == sorted(
        [
            (answers[0].id, writers[1].id),  # each reads what the other wrote
            (answers[1].id, writers[0].id),
            (answers[0].id, judge.id),
            (answers[1].id, judge.id),
        ],
        key=str,
    )
    assert jobs(session, turn) == 1
    page = sign_in(ada).get(reply.headers["location"])
    assert "Be short." in page.text
    assert 'data-events="/api/v1/playground/turns/' in page.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"message": "  "}, "message"),
        ({"second": "SAME"}, "two different models"),
        ({"first": "JUDGE", "second": ""}, "does not write"),
        ({"reward": "FIRST"}, "does not score"),
        ({"temperature": "3"}, "temperature"),
        ({"first": ""}, None),  # the right one alone
    ],
)
def test_what_cannot_be_asked_is_said_and_kept(
    session, sign_in, ada, project, writers, judge, fields, said
):
    ids = {"SAME": writers[0].id, "FIRST": writers[0].id, "JUDGE": judge.id}
    fields = {key: str(ids.get(value, value)) for key, value in fields.items()}
    reply = ask(sign_in(ada), project, writers, **fields)
    if said is None:
        assert reply.status_code == 303
        return
    assert reply.status_code == 422
    assert said in reply.text
    assert session.scalars(select(func.count()).select_from(PlayConversation)).one() == 0


def test_one_unfinished_answer_per_person_and_model(session, sign_in, ada, project, writers):
    client = sign_in(ada)
    ask(client, project, writers)
    refused = ask(client, project, writers, second="")
    assert refused.status_code == 422
    assert "is still answering you" in refused.text
    assert session.scalars(select(func.count()).select_from(PlayTurn)).one() == 1
    turn = session.scalars(select(PlayTurn)).one()
    where = f"/projects/{project.id}/playground/{turn.conversation_id}/turns/{turn.id}"
    client.post(f"{where}/stop")
    assert ask(client, project, writers, second="").status_code == 303


def test_stopping_what_waits_ends_it_at_once_and_twice_is_no_harm(
    session, api, ada, project, writers
):
    client = api(ada)
    body = {"message": "Hi", "checkpoint_ids": [str(each.id) for each in writers]}
    turn = client.post(f"/api/v1/projects/{project.id}/playground", json=body).json()
    for _ in range(2):
        stopped = client.post(f"/api/v1/playground/turns/{turn['id']}/stop")
        assert stopped.status_code == 202
        assert {each["state"] for each in stopped.json()["answers"]} == {"cancelled"}
    said = {r["error"] for each in stopped.json()["answers"] for r in each["readings"]}
    assert said == {"It was stopped before it was read."}


def test_a_message_goes_on_from_the_answer_that_was_chosen(session, sign_in, ada, project, writers):
    played, conversation = make_turn(session, project, *writers)
    session.commit()
    ask(sign_in(ada), project, writers, message="And hens?", after=str(played.answers[1].id))
    turn = session.scalars(select(PlayTurn).where(PlayTurn.message == "And hens?")).one()
    assert turn.conversation_id == conversation.id
    assert queries.messages_before(session, turn=turn) == [
        {"role": "user", "content": "How many eggs?"},
        {"role": "assistant", "content": "Four eggs"},
        {"role": "user", "content": "And hens?"},
    ]
    line = queries.line_of(session, conversation=conversation)
    assert [shown.chosen for shown in line] == [played.answers[1].id, None]


def test_asked_again_the_first_stays_beside_the_second(session, sign_in, ada, project, writers):
    first, conversation = make_turn(session, project, *writers)
    second, _ = make_turn(session, project, *writers, after=first.answers[0])
    session.commit()
    ask(sign_in(ada), project, writers, message="Other", instead_of=str(second.turn.id))
    third = session.scalars(select(PlayTurn).where(PlayTurn.message == "Other")).one()
    assert third.parent_answer_id == first.answers[0].id
    newest = queries.line_of(session, conversation=conversation)
    assert [shown.turn.id for shown in newest] == [first.turn.id, third.id]
    assert newest[1].siblings == [second.turn.id, third.id]
    older = queries.line_of(session, conversation=conversation, turn=second.turn)
    assert [shown.turn.id for shown in older] == [first.turn.id, second.turn.id]
    page = sign_in(ada).get(f"/projects/{project.id}/playground/{conversation.id}")
    assert "2 of 2" in page.text


def test_answers_of_another_project_cannot_be_followed(
    session, sign_in, ada, project, writers, people
):
    from tests.factories import make_project

    other = make_project(session, "Other", by=ada)
    played, _ = make_turn(session, other, make_checkpoint(session, other))
    session.commit()
    reply = ask(sign_in(ada), project, writers, after=str(played.answers[0].id))
    assert reply.status_code == 422
    assert "no such conversation" in reply.text


def test_a_turn_becomes_one_ordinary_blind_task(session, api, ada, ana, project, writers):
    played, conversation = make_turn(session, project, *writers)
    conversation.system = "Be short."
    session.commit()
    path = f"/api/v1/playground/turns/{played.turn.id}/task"
    sent = api(ada).post(path).json()
    assert sent["is_new"] is True
    task = session.get(Task, sent["task_id"])
    assert task.kind is TaskKind.ORDINARY
    prompt = session.get(Prompt, task.prompt_id)
    assert (prompt.system, prompt.messages[0]["content"]) == ("Be short.", "How many eggs?")
    stored = session.scalars(select(Response).where(Response.prompt_id == prompt.id)).all()
    assert {(each.text, each.checkpoint_id) for each in stored} == {
        ("Three eggs", writers[0].id),
        ("Four eggs", writers[1].id),
    }
    again = api(ada).post(path).json()
    assert again == sent | {"is_new": False}
    events = session.scalars(select(AuditEvent).where(AuditEvent.action == "playground.send")).all()
    assert [event.details["is_new"] for event in events] == [True, False]
    shown = api(ana).post(f"/api/v1/projects/{project.id}/assignments")
    assert shown.status_code == 201
    assert "Three eggs" in shown.text
    for secret in ("checkpoint", "playground", str(writers[0].id), writers[0].name):
        assert secret not in shown.text


def test_what_makes_no_task_is_refused(session, api, ada, project, writers):
    played, _ = make_turn(session, project, *writers, texts=("Same", "Same"))
    session.commit()
    refused = api(ada).post(f"/api/v1/playground/turns/{played.turn.id}/task")
    assert refused.status_code == 409
    assert "nothing to choose" in refused.json()["detail"]
    assert (
        session.scalars(
            select(func.count()).select_from(Task).where(Task.project_id == project.id)
        ).one()
        == 0
    )


def test_a_typed_reply_is_read_by_the_models_and_scored(session, api, ada, project, writers, judge):
    played, _ = make_turn(session, project, *writers, judges=[judge])
    session.commit()
    path = f"/api/v1/playground/turns/{played.turn.id}/replies"
    added = api(ada).post(path, json={"text": "Five"}).json()
    assert [each["name"] for each in added["answers"]][2:] == ["Typed reply"]  # no name to erase
    readers = {(each["checkpoint_id"], each["kind"]) for each in added["answers"][2]["readings"]}
    assert readers == {(str(each.id), "tokens") for each in writers} | {(str(judge.id), "score")}
    assert jobs(session, played.turn) == 1
    busy = api(ada).post(path, json={"text": "Six"})
    assert busy.status_code == 409


def test_tokens_as_each_model_sees_them(session, api, vic, project, writers):
    played, _ = make_turn(session, project, *writers)
    session.commit()
    path = f"/api/v1/playground/answers/{played.answers[0].id}/tokens"
    (view,) = api(vic).get(path).json()["items"]
    assert view["is_writer"] is True
    assert [token["rank"] for token in view["tokens"]] == [1, 40, 1]
    assert view["tokens"][2]["end"] is True


def test_forgetting_takes_everything_but_the_tasks(session, sign_in, ada, project, writers):
    played, conversation = make_turn(session, project, *writers)
    make_turn(session, project, *writers, after=played.answers[0])
    session.commit()
    client = sign_in(ada)
    where = f"/projects/{project.id}/playground/{conversation.id}"
    client.post(f"{where}/turns/{played.turn.id}/task")
    assert client.post(f"{where}/delete").status_code == 303
    for model in (PlayConversation, PlayTurn, PlayAnswer, PlayReading):
        assert session.scalars(select(func.count()).select_from(model)).one() == 0
    assert (
        session.scalars(
            select(func.count()).select_from(Task).where(Task.project_id == project.id)
        ).one()
        == 1
    )
    assert client.get(where).status_code == 404


def test_a_viewer_reads_and_finds_nothing_to_press(session, sign_in, vic, ada, project, writers):
    _, conversation = make_turn(session, project, *writers, by=ada)
    session.commit()
    page = sign_in(vic).get(f"/projects/{project.id}/playground/{conversation.id}").text
    assert "Three eggs" in page
    listed = sign_in(vic).get(f"/projects/{project.id}/playground").text
    assert "How many?" in listed
    assert "Ada" in listed
    for word in ("Answer again", "Send to annotators", "Delete"):
        assert word not in page
    assert "Your message" not in listed


def test_what_a_model_writes_is_no_markup(session, sign_in, ada, project, writers):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>**bold**"
    _, conversation = make_turn(session, project, *writers, texts=(evil, "b"))
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/playground/{conversation.id}").text
    assert "<strong>bold</strong>" in page
    assert "alert(1)</script>" not in page
    assert "onerror=alert" not in page.replace("&lt;img src=x onerror=alert", "")


def test_a_stream_of_a_finished_turn_ends_at_once(session, api, vic, project, writers):
    played, _ = make_turn(session, project, *writers)
    session.commit()
    reply = api(vic).get(f"/api/v1/playground/turns/{played.turn.id}/events")
    assert reply.headers["content-type"].startswith("text/event-stream")
    names = [line[7:] for line in reply.text.splitlines() if line.startswith("event: ")]
    assert names == ["standing", "end"]
    standing = next(line for line in reply.text.splitlines() if line.startswith("data: "))
    assert json.loads(standing[6:])["is_final"] is True


@pytest.mark.parametrize(
    "state",
    [
        {"is_done": False},
        {"is_done": True, "error": "There is no whole answer to read."},
        {"is_done": True, "figures": {"score": 0.4, "spread": 0.1, "ratings": {"clear": 3.5}}},
        {"is_done": True, "figures": {"score": 0.4, "spread": None, "ratings": None, "z": 1.0,
                                      "below": 0.84}},
    ],
)  # fmt: skip
def test_a_page_shows_a_score_in_any_state(session, sign_in, vic, project, writers, judge, state):
    played, conversation = make_turn(session, project, *writers, judges=[judge])
    session.execute(update(PlayReading).values({"figures": {}} | state))
    played.answers[0].figures = {"loading": True, "cold": True}
    session.commit()
    page = sign_in(vic).get(f"/projects/{project.id}/playground/{conversation.id}")
    assert page.status_code == 200


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled"])
def test_a_page_shows_an_answer_in_any_state(session, sign_in, ada, project, writers, state):
    played, conversation = make_turn(session, project, *writers)
    ended = None if state in {"queued", "running"} else func.now()
    fresh = {"state": state, "finished_at": ended}
    session.execute(update(PlayTurn).where(PlayTurn.id == played.turn.id).values(**fresh))
    session.execute(
        update(PlayAnswer)
        .where(PlayAnswer.turn_id == played.turn.id)
        .values(**fresh, figures={}, tokens=[], text="", error=None if ended is None else "Lost.")
    )
    session.commit()
    page = sign_in(ada).get(f"/projects/{project.id}/playground/{conversation.id}")
    assert page.status_code == 200
    assert ("Your next message" in page.text) is False
    assert ("Answer again" in page.text) is (ended is not None)


def test_an_endpoint_is_asked_and_what_it_wrote_keeps_its_origin(
    session, sign_in, ada, ana, api, project, writers, monkeypatch
):
    allowed = settings.model_copy(update={"endpoints": "127.0.0.1:9"})
    monkeypatch.setattr(addresses, "settings", allowed)
    lab = Endpoint(project_id=project.id, name="Lab", base_url="http://127.0.0.1:9/v1", model="m")
    session.add(lab)
    session.commit()
    browser = sign_in(ada)
    chosen = f"endpoint:{lab.id}"
    page = browser.get(f"/projects/{project.id}/playground?second={chosen}").text
    assert f'value="{chosen}" selected' in page
    assert ask(browser, project, writers, second=chosen).status_code == 303
    own, its = session.scalars(select(PlayAnswer).order_by(PlayAnswer.place)).all()
    assert (its.source, its.endpoint_id, its.checkpoint_id) == ("endpoint:Lab", lab.id, None)
    readers = session.execute(select(PlayReading.answer_id, PlayReading.checkpoint_id)).all()
    assert [tuple(row) for row in readers] == [(its.id, writers[0].id)]
    refused = ask(browser, project, writers, first=chosen, second="")
    assert "“Lab” is still answering you" in refused.text
    for answer, said in ((own, "Three eggs"), (its, "Four eggs")):
        answer.state, answer.finished_at, answer.text = JobState.SUCCEEDED, func.now(), said
    turn = session.get_one(PlayTurn, own.turn_id)
    turn.state, turn.finished_at = JobState.SUCCEEDED, func.now()
    session.commit()
    conversation = f"/projects/{project.id}/playground/{turn.conversation_id}"
    page = browser.get(conversation).text
    assert 'Lab <span class="badge">endpoint</span>' in page
    assert f'name="second" value="{chosen}"' in page  # asked once more, of the same two
    sent = browser.post(f"/api/v1/playground/turns/{turn.id}/task").json()
    stored = session.scalars(
        select(Response).where(Response.prompt_id == UUID(sent["prompt_id"]))
    ).all()
    origins = {each.text: (each.source, each.checkpoint_id) for each in stored}
    assert origins["Four eggs"] == ("endpoint:Lab", None)
    sampled = next(each.sampling for each in stored if each.checkpoint_id is None)
    assert (sampled["endpoint"], sampled["temperature"]) == (str(lab.id), 0.8)
    shown = api(ana).post(f"/api/v1/projects/{project.id}/assignments").text
    assert "Four eggs" in shown
    assert "Lab" not in shown
