"""Answers and leaderboard of PandaLM's test set: 5 models, 796 pairs, three people each."""

import numpy as np
import pytest
from scipy.optimize import minimize

from app.quality.rules.answers import answers
from app.quality.rules.battles import battles_of
from app.quality.rules.judgements import Judgements, from_rankings
from app.quality.rules.leaderboard import MIDDLE, SCALE, standings
from tests.shared_data import shared_rows

RANKS = {1: [1, 2], 2: [2, 1], 0: [1, 1]}


@pytest.fixture(scope="module")
def pandalm() -> tuple[Judgements, np.ndarray, list[str]]:
    rows = list(shared_rows("pandalm-3annotators/pairs.jsonl.gz"))
    models = sorted({row[key] for row in rows for key in ("model_1", "model_2")})
    judgements = from_rankings(
        [
            (task, int(person[-1]) - 1, RANKS[label])
            for task, row in enumerate(rows)
            for person, label in sorted(row["labels"].items())
        ]
    )
    sources = np.array(
        [[models.index(row["model_1"]), models.index(row["model_2"])] for row in rows]
    )
    return judgements, sources, models


def davidson(games: np.ndarray, n: int) -> np.ndarray:
    """Log worths, mean 0, by a general optimiser; games: (first, second, said) rows."""
    cells, number = np.unique(games, axis=0, return_counts=True)

    def cost(theta: np.ndarray) -> float:
        half = (theta[cells[:, 0]] - theta[cells[:, 1]]) / 2
        logits = np.stack([half, np.full(len(half), theta[n]), -half])
        said = np.take_along_axis(logits, cells[None, :, 2], axis=0)[0]
        return -float(number @ (said - np.logaddexp.reduce(logits, axis=0)))

    found = minimize(cost, np.zeros(n + 1), options={"gtol": 1e-6}).x[:n]
    return found - found.mean()


def test_the_leaderboard_by_a_second_path_and_a_second_kind_of_interval(pandalm):
    judgements, sources, models = pandalm
    n = len(models)
    board = standings(battles_of(judgements, sources[judgements.task], n_sources=n))
    said = 1 - np.sign(judgements.ranks[:, 1] - judgements.ranks[:, 0])
    games = np.column_stack([sources[judgements.task], said])
    games = games[games[:, 0] != games[:, 1]]
    scores = np.zeros(n)
    halves = np.zeros(n)
    for entry in board.entries:
        scores[entry.source] = entry.score.value
        halves[entry.source] = (entry.score.high - entry.score.low) / 2
    assert len(board.entries) == n
    assert scores == pytest.approx(MIDDLE + SCALE * davidson(games, n), abs=0.05)
    rng = np.random.default_rng(0)  # the bootstrap over tasks
    by_task = [games[start : start + 3] for start in range(0, len(games), 3)]
    resampled = np.array(
        [
            davidson(
                np.concatenate([by_task[t] for t in rng.integers(0, len(by_task), len(by_task))]), n
            )
            for _ in range(60)
        ]
    )
    assert halves == pytest.approx(1.96 * SCALE * resampled.std(axis=0), rel=0.3)


def test_the_answers_keep_what_all_three_say(pandalm):
    judgements, _, _ = pandalm
    found = answers(judgements, n_annotators=3, adjudicated={}, known=[], ties=True, confidence=0.8)
    assert found.n_open == 796
    assert found.n_confident / found.n_open > 0.9  # kappas are .85 to .88
    assert found.methods.differ / found.n_open < 0.03  # two ties and one decisive vote, say
    ranks = judgements.ranks.reshape(796, 3, 2)
    unanimous = (ranks == ranks[:, :1]).all(axis=(1, 2))
    for answer in found.uncertain:
        if unanimous[answer.task]:
            assert list(answer.ranks) == ranks[answer.task, 0].tolist()
    assert all(person.accuracy.value > 0.85 for person in found.people)
