"""Real translations ranked by professionals: imported, and their figures through the API."""

from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from scipy import stats
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from tests.corpus.files import brought_in, json_lines
from tests.people import People
from tests.quality import slow
from tests.shared_data import shared_rows

Rankings = dict[str, dict[str, list[int]]]  # segment → rater → rank of each system


@pytest.fixture
def rankings() -> Rankings:
    penalties: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in shared_rows("mt-mqm-ende/ratings.jsonl.gz"):
        penalties[row["segment_id"]][row["rater"]][row["system"]] = row["penalty"]
    return {
        segment: {
            rater: stats.rankdata([given[name] for name in sorted(given)], method="min")
            .astype(int)
            .tolist()
            for rater, given in raters.items()
        }
        for segment, raters in penalties.items()
    }


def lines(rankings: Rankings) -> list[dict]:
    return [
        {
            "prompt": row["source"],
            "source": "news",
            "tags": [row["doc"].split("_")[0]],
            "responses": [
                {"text": row["candidates"][name], "source": name}
                for name in sorted(row["candidates"])
            ],
            "annotations": [
                {"annotator": rater, "ranks": ranks}
                for rater, ranks in rankings[row["segment_id"]].items()
            ],
        }
        for row in shared_rows("mt-mqm-ende/segments.jsonl.gz")
    ]


def test_ten_translations_each_ranked_by_three_of_ten_raters(
    session: Session,
    people: People,
    api: Callable[[User], TestClient],
    tmp_path: Path,
    rankings: Rankings,
):
    rows = lines(rankings)
    done = brought_in(session, people.project, json_lines(tmp_path / "translations.jsonl", rows))
    assert done.rows_imported == len(rows), done.errors
    address = f"/api/v1/projects/{people.project.id}/agreement"
    answer = api(people.ada).get(address, params={"by": "annotator_pair"}).json()
    figures = answer["fields"]["ranking"]
    assert (figures["n_tasks"], figures["n_annotations"]) == (len(rows), 3 * len(rows))
    tasks = [list(raters.values()) for raters in rankings.values()]
    units = [
        [(rater, int(np.sign(ranks[j] - ranks[i]))) for rater, ranks in enumerate(task)]
        for task in tasks
        for i, j in combinations(range(10), 2)
    ]
    expected = {
        "percent_agreement": slow.percent(units),
        "percent_agreement_no_ties": slow.percent([[v for v in unit if v[1]] for unit in units]),
        "fleiss_kappa": slow.fleiss(units),
        "kendall_w": slow.mean([w for task in tasks if (w := slow.kendall_w(task)) is not None]),
    }
    for name, value in expected.items():
        assert figures[name]["value"] == pytest.approx(float(value), abs=1e-6), name
        assert figures[name]["low"] < figures[name]["value"] < figures[name]["high"]
    counts = [[[sign for _, sign in unit].count(c) for c in (1, 0, -1)] for unit in units]
    alpha = krippendorff.alpha(value_counts=np.array(counts), level_of_measurement="nominal")
    assert figures["krippendorff_alpha"]["value"] == pytest.approx(alpha, abs=1e-6)
    together = {
        tuple(sorted(pair)) for raters in rankings.values() for pair in combinations(raters, 2)
    }
    assert len(answer["groups"]) == len(together)
    for group in answer["groups"]:
        assert group["fields"]["ranking"]["cohen_kappa"]["value"] is not None
