"""Batches of an import are prepared one ahead of the one that is written."""

from datetime import UTC, datetime
from threading import Event
from uuid import UUID

import pytest

from app.annotation.service import Surroundings
from app.corpus.formats import ImportedTask
from app.corpus.formats.rows import ImportedResponse
from app.corpus.rules import prompt_hash, response_hash
from app.worker.imports import preparing
from app.worker.imports.preparing import Here, Preparing
from tests.waiting import PATIENCE

HERE = Here(
    Surroundings(
        project_id=UUID(int=1),
        guidelines_version=1,
        now=datetime(2026, 11, 26, tzinfo=UTC),
        import_id=UUID(int=2),
    ),
    overlap=1,
)


def asks(*questions):
    return [
        ImportedTask(
            messages=[{"role": "user", "content": question}],
            responses=[ImportedResponse(text) for text in ("yes", "no")],
        )
        for question in questions
    ]


def test_each_batch_comes_back_when_the_next_is_given_and_the_last_at_the_end():
    batches = [asks("a", "b"), asks("c")]
    with Preparing(HERE) as ahead:
        assert ahead.swap(batches[0]) is None
        ready = [ahead.swap(batches[1]), ahead.swap(()), ahead.swap(())]
    assert ready[2] is None
    assert [each.tasks for each in ready[:2]] == batches


def test_a_batch_has_the_hashes_of_its_prompts_and_their_responses():
    with Preparing(HERE) as ahead:
        ahead.swap(asks("a"))
        ready = ahead.swap(())
    prompt = prompt_hash(system=None, messages=[{"role": "user", "content": "a"}])
    assert ready.prompts.hashes == [prompt]
    assert ready.hashes == [
        [response_hash(prompt=prompt, text=text, source=None) for text in ("yes", "no")]
    ]


def test_the_next_batch_is_prepared_while_its_caller_is_busy_with_the_one_before(monkeypatch):
    second = Event()
    whole = preparing.prepare

    def prepare(batch, *, here):
        made = whole(batch, here=here)
        if batch[0].messages[0]["content"] == "b":
            second.set()
        return made

    monkeypatch.setattr(preparing, "prepare", prepare)
    with Preparing(HERE) as ahead:
        ahead.swap(asks("a"))
        assert ahead.swap(asks("b")) is not None
        assert second.wait(PATIENCE)  # nobody has asked for it yet


def test_what_goes_wrong_while_preparing_is_raised_where_the_batch_is_asked_for(monkeypatch):
    def prepare(batch, *, here):
        raise MemoryError

    monkeypatch.setattr(preparing, "prepare", prepare)
    with Preparing(HERE) as ahead:
        ahead.swap(asks("a"))
        with pytest.raises(MemoryError):
            ahead.swap(())
