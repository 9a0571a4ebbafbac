"""A stream that is cut off goes on where it was."""

import json
from uuid import UUID

import httpx2
import pytest

from app.accounts import service as accounts
from app.accounts.models import User
from app.db import database_now, transaction
from app.playground import api, service
from app.playground.models import PlayTurn
from tests.waiting import PATIENCE

pytestmark = pytest.mark.concurrency


def token_of(desk):
    with transaction() as session:
        ada = session.get_one(User, desk.ada_id)
        return accounts.create_token(session, user=ada, name="t", now=database_now(session))


def events(address, turn_id, token, after=0):
    """(id, name, data) as they come."""
    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": str(after)}
    url = f"{address}/api/v1/playground/turns/{turn_id}/events"
    event = {}
    with httpx2.stream("GET", url, headers=headers, timeout=30) as reply:
        assert reply.status_code == 200
        for line in reply.iter_lines():
            name, _, value = line.partition(": ")
            if not line and "event" in event:
                yield int(event.get("id", 0)), event["event"], json.loads(event["data"])
                event = {}
            elif line:
                event[name] = value


def take(stream, count):
    """So many pieces; what the browser would come back with."""
    pieces = []
    for number, name, data in stream:
        if name == "piece":
            pieces.append((number, data["answer"], data["text"]))
        if name == "end" or len(pieces) == count:
            break
    stream.close()
    return pieces


def test_whoever_comes_back_hears_the_rest_and_nothing_twice(desk, live_server):
    turn_id, token = desk.ask("slow"), token_of(desk)
    thread = desk.in_the_background(turn_id)
    first = take(events(live_server, turn_id, token), 6)
    rest = take(events(live_server, turn_id, token, after=first[-1][0]), 6)
    with transaction() as session:
        service.stop(session, turn=session.get_one(PlayTurn, turn_id))
    thread.join(PATIENCE)
    heard = first + rest
    assert [number for number, _, _ in heard] == sorted({number for number, _, _ in heard})
    _, answers = desk.look(turn_id)
    for answered in answers:
        said = "".join(text for _, key, text in heard if UUID(key) == answered.answer.id)
        assert said
        assert (answered.answer.text + " ").startswith(said)
    ended = [name for _, name, _ in events(live_server, turn_id, token, after=heard[-1][0])]
    assert ended == ["standing", "end"]


def test_a_long_stream_is_cut_so_that_permission_is_asked_again(desk, live_server, monkeypatch):
    monkeypatch.setattr(api, "LIFE", 0.0)
    turn_id = desk.ask("slow")  # nobody takes it
    said = list(events(live_server, turn_id, token_of(desk)))
    assert [name for _, name, _ in said] == ["standing"]
    assert said[0][2]["ahead"] == 0
    assert said[0][2]["has_worker"] is False


def test_how_many_asked_before(desk, live_server, monkeypatch):
    monkeypatch.setattr(api, "LIFE", 0.0)
    desk.ask("slow", checkpoint_ids=[desk.first])
    second = desk.ask("slow", checkpoint_ids=[desk.second])
    ((_, _, standing),) = list(events(live_server, second, token_of(desk)))
    assert standing["ahead"] == 1
