"""The worker's part of the playground: its child, what it writes down, and how it can fail."""

import math
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app import artifacts
from app.completions import addresses
from app.config import settings
from app.db import JobState, transaction
from app.errors import Invalid, LeaseLost
from app.generation.models import Endpoint
from app.playground import rules, service
from app.playground.models import PlayConversation, PlayPiece, PlayTurn
from app.runs.service import Lease
from app.worker.lease import take_over
from app.worker.player import player
from tests.playground.conftest import desk
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.concurrency

__all__ = ["desk"]  # a fixture


def pieces_left():
    with transaction() as session:
        return session.scalars(select(func.count()).select_from(PlayPiece)).one()


def test_answers_are_written_then_read_and_scored(desk):
    turn, answers = desk.carry_out(desk.ask())
    assert turn.state is JobState.SUCCEEDED
    for answered in answers:
        answer = answered.answer
        assert (answer.state, answer.why_ended) == (JobState.SUCCEEDED, "end")
        assert answer.text == "egg 0 egg 1 egg 2"
        assert [token["text"] for token in answer.tokens] == ["egg 0 ", "egg 1 ", "egg 2 "]
        assert answer.figures["cold"] is True
        assert answer.figures["tokens"] == 3
        by_kind = {each.kind.value: each for each in answered.readings}
        # the other model reads exactly what was written, the judge what people see
        assert by_kind["tokens"].tokens[0]["text"] == "egg 0 egg 1 egg 2 "
        assert by_kind["score"].figures["score"] == 17.0
        assert by_kind["score"].figures["z"] == pytest.approx((17 - 10) / 5)
    assert pieces_left() == 0
    pid = player.child.process.pid
    _, warm = desk.carry_out(desk.ask())
    assert player.child.process.pid == pid
    assert warm[0].answer.figures["cold"] is False


def test_stop_ends_what_is_being_written_and_keeps_it(desk):
    turn_id = desk.ask("slow")
    thread = desk.in_the_background(turn_id)
    desk.wait_for_pieces()
    with transaction() as session:
        service.stop(session, turn=session.get_one(PlayTurn, turn_id))
    thread.join(PATIENCE)
    turn, answers = desk.look(turn_id)
    assert turn.state is JobState.SUCCEEDED
    assert {each.answer.why_ended for each in answers} == {"stopped"}
    assert answers[0].answer.text.startswith("egg 0 egg 1")
    assert answers[0].answer.text.count("egg") < 1000
    assert pieces_left() == 0


def test_a_child_that_is_killed_fails_the_answers_and_another_takes_its_place(desk):
    turn, answers = desk.carry_out(desk.ask("die"))
    assert turn.state is JobState.FAILED
    assert {each.answer.state for each in answers} == {JobState.FAILED}
    assert "killed by the system" in answers[0].answer.error
    assert answers[0].answer.text == "egg 0 "  # what was seen stays
    assert all(reading.is_done for each in answers for reading in each.readings)
    turn, _ = desk.carry_out(desk.ask())
    assert turn.state is JobState.SUCCEEDED


def test_a_child_that_went_idle_is_started_again(desk):
    desk.carry_out(desk.ask("retire"))
    turn, answers = desk.carry_out(desk.ask())
    assert turn.state is JobState.SUCCEEDED
    assert answers[0].answer.figures["cold"] is True


def test_a_child_that_goes_idle_just_now_is_started_again(desk, monkeypatch):
    desk.carry_out(desk.ask())
    gone = player.child
    os.killpg(gone.process.pid, signal.SIGTERM)
    ready, calls = player.ready, []

    def as_if_it_lived():
        calls.append(1)
        if len(calls) > 1:
            return ready()
        until(lambda: gone.poll() is not None)
        gone.process.returncode = 0  # as a process that ended by itself
        return gone

    monkeypatch.setattr(player, "ready", as_if_it_lived)
    turn, _ = desk.carry_out(desk.ask())
    assert turn.state is JobState.SUCCEEDED


def test_a_missing_model_is_said(desk):
    artifacts.remove(desk.paths[1])
    turn, answers = desk.carry_out(desk.ask())
    assert turn.state is JobState.FAILED
    assert "is missing in the artifact store" in answers[1].answer.error


def test_a_worker_that_is_stopped_says_so(desk):
    turn_id = desk.ask("slow")
    thread = desk.in_the_background(turn_id)
    desk.wait_for_pieces()
    desk.stopping.set()
    thread.join(PATIENCE)
    turn, answers = desk.look(turn_id)
    assert turn.state is JobState.FAILED
    assert answers[0].answer.error == rules.STOPPED
    assert player.child is None


def test_a_conversation_that_is_deleted_ends_the_writing(desk):
    turn_id = desk.ask("slow")
    thread = desk.in_the_background(turn_id)
    desk.wait_for_pieces()
    with transaction() as session:
        session.delete(session.scalars(select(PlayConversation)).one())
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert player.child is None


def test_the_answers_of_a_lost_worker_fail_and_it_writes_no_more(desk):
    turn_id = desk.ask()
    with transaction() as session:
        lease = service.begin(session, turn_id=turn_id)
    answer = desk.look(turn_id)[1][0].answer
    with transaction() as session:
        service.grow(session, lease=lease, pieces=[(answer.id, "egg "), (answer.id, "1")])
    assert take_over(silent_for=timedelta(minutes=1)) == 0
    with transaction() as session:
        session.execute(update(PlayTurn).values(seen_at=func.now() - timedelta(minutes=2)))
    assert take_over(silent_for=timedelta(minutes=1)) == 1
    turn, answers = desk.look(turn_id)
    assert (turn.state, answers[0].answer.text) == (JobState.FAILED, "egg 1")
    assert {each.answer.error for each in answers} == {rules.LOST}
    with pytest.raises(LeaseLost), transaction() as session:
        service.grow(session, lease=lease, pieces=[(answer.id, "more")])
    assert pieces_left() == 0


def test_only_one_worker_takes_a_turn(desk):
    turn_id = desk.ask()
    found = []

    def begin():
        with transaction() as session:
            found.append(service.begin(session, turn_id=turn_id))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lease for lease in found if lease] == [Lease(turn_id, 1)]


# -- endpoints ----------------------------------------------------------------------------------


def add_endpoint(desk, server, model="streaming"):
    with transaction() as session:
        endpoint = Endpoint(
            project_id=desk.project_id, name="Lab", base_url=server.url, model=model
        )
        session.add(endpoint)
        session.flush()
        return endpoint.id


def ask_both(desk, message="How many eggs?", **fields):
    writers = [{"endpoint": "Lab"}, {"checkpoint": desk.first}]
    return desk.ask(message, checkpoint_ids=[], writers=writers, **fields)


def test_an_endpoint_answers_beside_a_checkpoint(desk, server):
    its = add_endpoint(desk, server)
    turn, (lab, own) = desk.carry_out(ask_both(desk, system="Be brief."))
    assert turn.state is JobState.SUCCEEDED
    answer = lab.answer
    assert (answer.source, answer.endpoint_id, answer.checkpoint_id) == ("endpoint:Lab", its, None)
    assert (answer.text, answer.why_ended) == ("One more egg", "length")
    assert [(token["text"], token["rank"]) for token in answer.tokens] == [
        ("One", 1), (" more", 2), (" egg", None),
    ]  # fmt: skip
    assert answer.figures["perplexity"] == pytest.approx(math.exp((0.5 + 1.0 + 1.5) / 3))
    by_kind = {each.kind.value: each for each in lab.readings}
    assert by_kind["score"].figures["score"] == len("One more egg")
    assert by_kind["tokens"].name == "Eggs SFT"  # the checkpoint reads it word by word …
    assert [each.kind.value for each in own.readings] == ["score"]  # … and it reads nothing
    (body,) = server.asked
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How many eggs?"},
    ]
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.8, 42, 256)


def test_an_endpoint_alone_needs_no_child(desk, server):
    add_endpoint(desk, server, "good")
    turn_id = desk.ask(
        "Hi", checkpoint_ids=[], writers=[{"endpoint": "Lab"}], reward_checkpoint_ids=[]
    )
    turn, (lab,) = desk.carry_out(turn_id)
    assert (turn.state, lab.answer.text) == (JobState.SUCCEEDED, "Hi → 42@0.8")
    assert (lab.answer.tokens, lab.answer.figures["perplexity"]) == ([], None)
    assert player.child is None


def test_stop_hangs_up_on_an_endpoint_and_keeps_what_came(desk, server):
    add_endpoint(desk, server, "endless stream")
    turn_id = ask_both(desk, "slow")
    thread = desk.in_the_background(turn_id)
    desk.wait_for_pieces()
    with transaction() as session:
        service.stop(session, turn=session.get_one(PlayTurn, turn_id))
    thread.join(PATIENCE)
    _, answers = desk.look(turn_id)
    assert [each.answer.why_ended for each in answers] == ["stopped", "stopped"]
    assert answers[0].answer.text.startswith("One more egg")
    assert pieces_left() == 0


def test_an_endpoint_that_fails_costs_its_own_answer_alone(desk, server):
    add_endpoint(desk, server, "breaking")
    turn, (lab, own) = desk.carry_out(ask_both(desk))
    assert turn.state is JobState.SUCCEEDED
    assert (lab.answer.state, lab.answer.text) == (JobState.FAILED, "One more")
    assert lab.answer.error == "No answer: out of memory."
    assert own.answer.state is JobState.SUCCEEDED
    assert {reading.error for reading in lab.readings} == {"There is no whole answer to read."}


def test_a_worker_that_is_stopped_leaves_an_endpoint_as_well(desk, server):
    add_endpoint(desk, server, "endless stream")
    writers = {"checkpoint_ids": [], "writers": [{"endpoint": "Lab"}]}
    turn_id = desk.ask("Hi", **writers, reward_checkpoint_ids=[])
    thread = desk.in_the_background(turn_id)
    desk.wait_for_pieces()
    desk.stopping.set()
    thread.join(PATIENCE)
    turn, (lab,) = desk.look(turn_id)
    assert (turn.state, lab.answer.error) == (JobState.FAILED, rules.STOPPED)
    assert lab.answer.text.startswith("One more egg")


def test_an_address_that_is_allowed_no_more_is_not_asked(desk, server, monkeypatch):
    add_endpoint(desk, server)
    turn_id = ask_both(desk)
    nowhere = settings.model_copy(update={"endpoints": ""})
    monkeypatch.setattr(addresses, "settings", nowhere)
    _, (lab, own) = desk.carry_out(turn_id)
    assert "not on the list of model servers" in lab.answer.error
    assert own.answer.state is JobState.SUCCEEDED
    assert server.asked == []
    with pytest.raises(Invalid, match="not on the list"):
        ask_both(desk)


def test_the_child_dies_with_a_worker_that_is_killed(desk, start_worker):
    """SIGKILL while it loads torch: the page says so, and nothing lives on."""
    turn_id = desk.ask()
    worker = start_worker()
    until(lambda: desk.look(turn_id)[0].state is JobState.RUNNING and children_of(worker.pid))
    worker.kill()
    worker.wait()
    until(lambda: not children_of(worker.pid))
    take_over(silent_for=timedelta(0))
    assert {each.answer.error for each in desk.look(turn_id)[1]} == {rules.LOST}


def children_of(pid):
    """Live processes that read the orders of this worker."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if f"player-{pid}/" in command:
            found.append(command)
    return found
