"""A generation and a stream by whatever server `CHAT_SERVER` names; without it, skipped.

With `transformers serve` (which needs the package `openai`), beside a model that was trained here:
a new one may say nothing but the names of roles, which the server leaves out.

    transformers serve DIR --port 8377
    CHAT_SERVER=http://127.0.0.1:8377/v1 CHAT_MODEL=DIR pytest tests/worker/test_real_endpoint.py
"""

import os

import pytest
from sqlalchemy import select

from app.completions import Target, Writer, addresses
from app.config import settings
from app.corpus.models import Response
from app.db import JobState, transaction
from app.generation import queries
from app.generation.models import Generation
from tests.worker.conftest import Workshop
from tests.worker.test_generation import PROMPTS, Desk
from tests.worker.test_writers import endpoint, order

SERVER, MODEL = os.environ.get("CHAT_SERVER", ""), os.environ.get("CHAT_MODEL", "")

pytestmark = [
    pytest.mark.concurrency,
    pytest.mark.skipif(not SERVER, reason="CHAT_SERVER names no server"),
]


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    at = SERVER.split("//")[1].split("/")[0]
    known = settings.model_copy(update={"endpoints": at})
    monkeypatch.setattr(addresses, "settings", known)


def test_a_real_server_streams() -> None:
    messages = [{"role": "user", "content": "How many eggs are in box 3?"}]
    with Writer(Target(SERVER, MODEL)) as writer:
        pieces = list(
            writer.stream(messages, temperature=0.8, top_p=1.0, max_new_tokens=12, seed=1)
        )
    assert len(pieces) > 2
    assert "".join(piece.text for piece in pieces)
    assert pieces[-1].finish in {"stop", "length"}


def test_a_real_server_writes(workshop: Workshop) -> None:
    desk = Desk(workshop)
    endpoint(desk, None, MODEL, base_url=SERVER)
    writers = (
        {"checkpoint_id": desk.checkpoint_id, "n": 1},
        {"endpoint": "Lab", "n": 1, "max_new_tokens": 24},
    )
    done = desk.carry_out(order(desk, *writers))
    with transaction() as session:
        generation = session.get_one(Generation, done.id)
        assert queries.problems_of(session, generation=generation) == []
        lab = select(Response.text).where(Response.source == "endpoint:Lab")
        texts = session.scalars(lab).all()
    assert (done.state, done.error) == (JobState.SUCCEEDED, None)
    assert (done.done, done.tasks_opened) == (PROMPTS, PROMPTS)
    assert len(texts) == PROMPTS
    assert all(texts)
