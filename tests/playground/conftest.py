"""A tiny model that judges, and a desk whose answers are written by a stand-in."""

import sys
from pathlib import Path

import pytest

from app.worker import player as players
from app.worker.player import player
from tests.forks import FORKS
from tests.playground.desk import Desk
from tests.worker.processes import start_worker, tiny_lm

__all__ = ["start_worker", "tiny_lm"]  # fixtures

FAKE = (sys.executable, str(Path(__file__).with_name("fake_player.py")))


@pytest.fixture
def desk(concurrency_engine, monkeypatch):
    """`desk.in_the_background(desk.ask("slow"))` writes until it is stopped."""
    monkeypatch.setattr(players, "TRAINER", FAKE)
    yield Desk()
    player.close()


@pytest.fixture(scope="session")
def tiny_judge(tiny_lm, tmp_path_factory):
    """A reward model with a head that is drawn anew, made in a process of its own."""
    folder = str(tmp_path_factory.mktemp("judge") / "model")
    maker = FORKS.Process(target=make_judge, args=(tiny_lm, folder))
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    return folder


def make_judge(start, folder):
    import torch

    from app.trainer import lm

    torch.manual_seed(1)
    tokenizer = lm.load_tokenizer(start)
    lm.load_reward_model(start, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
