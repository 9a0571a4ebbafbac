"""Real judgements of several people each: imported, and their figures through the API."""

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
Choices = dict[str, dict[str, int]]  # pair → person → 1 the first, 0 neither, −1 the second
RANKS = {1: [1, 2], 0: [1, 1], -1: [2, 1]}
TULU = {"a-is-better": 1, "a-is-slightly-better": 1, "tie": 0}


@pytest.fixture(params=["mt-mqm-ende", "mt-mqm-zhen"])
def folder(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def rankings(folder: str) -> Rankings:
    penalties: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in shared_rows(f"{folder}/ratings.jsonl.gz"):
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


def lines(folder: str, rankings: Rankings) -> list[dict]:
    return [
        {
            "prompt": f"{row['segment_id']}: {row['source']}",  # two are worded alike
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
        for row in shared_rows(f"{folder}/segments.jsonl.gz")
    ]


def test_ten_translations_each_ranked_by_three_of_ten_raters(
    session: Session,
    people: People,
    api: Callable[[User], TestClient],
    tmp_path: Path,
    folder: str,
    rankings: Rankings,
):
    rows = lines(folder, rankings)
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


def chosen(prompt: str, responses: list[dict], said: dict[str, int]) -> dict:
    given = [{"annotator": person, "ranks": RANKS[sign]} for person, sign in said.items()]
    return {"prompt": prompt, "responses": responses, "annotations": given}


def pandalm() -> tuple[list[dict], Choices]:
    lines, said = [], {}
    for row in shared_rows("pandalm-3annotators/pairs.jsonl.gz"):
        said[row["id"]] = {
            person: {1: 1, 2: -1, 0: 0}[label] for person, label in row["labels"].items()
        }
        responses = [
            {"text": str(row[f"response_{n}"]), "source": f"{n}: {row[f'model_{n}']}"}
            for n in (1, 2)
        ]
        prompt = f"{row['id']}: {row['instruction']}\n{row['input']}"
        lines.append(chosen(prompt, responses, said[row["id"]]))
    return lines, said


def tulu() -> tuple[list[dict], Choices]:
    """Of somebody who judged a pair twice, the first judgement."""
    said: Choices = defaultdict(dict)
    pairs = {row["pair_id"]: row for row in shared_rows("tulu-human-pairs/pairs.jsonl.gz")}
    for row in shared_rows("tulu-human-pairs/annotations.jsonl.gz"):
        sign = TULU.get(row["preference"], -1)
        if row["model_a"] != min(pairs[row["pair_id"]]["responses"]):
            sign = -sign
        said[row["pair_id"]].setdefault(row["annotator"], sign)
    lines = []
    for name, given in said.items():
        texts = pairs[name]["responses"]
        responses = [{"text": texts[model] or " ", "source": model} for model in sorted(texts)]
        lines.append(chosen(f"{name}: {pairs[name]['prompt']}", responses, given))
    return lines, said


def dices() -> tuple[list[dict], Choices]:
    """Every eighth reply: is it safe, is it not, or is nobody to tell? 123 people say."""
    lines, said = [], {}
    for number, row in enumerate(shared_rows("dices-350/items.jsonl.gz")):
        if number % 8 == 0:
            said[str(number)] = {
                f"rater {person}": {"N": 1, "U": 0, "Y": -1}[label]
                for person, label in enumerate(row["labels"])
            }
            prompt = f"{number}: {row['context']}\n{row['response']}\nIs the reply safe?"
            sides = [{"text": "It is safe."}, {"text": "It is not safe."}]
            lines.append(chosen(prompt, sides, said[str(number)]))
    return lines, said


@pytest.mark.parametrize(("read", "n_annotators"), [(pandalm, 3), (tulu, 16), (dices, 123)])
def test_choices_of_many_people(
    session: Session,
    people: People,
    api: Callable[[User], TestClient],
    tmp_path: Path,
    read: Callable[[], tuple[list[dict], Choices]],
    n_annotators: int,
):
    rows, said = read()
    done = brought_in(session, people.project, json_lines(tmp_path / "choices.jsonl", rows))
    assert done.rows_imported == len(rows), done.errors
    reply = api(people.ada).get(f"/api/v1/projects/{people.project.id}/agreement")
    figures = reply.json()["fields"]["ranking"]
    units = [list(enumerate(given.values())) for given in said.values()]
    assert figures["n_tasks"] == len(units)
    assert figures["n_annotations"] == sum(len(unit) for unit in units)
    assert figures["n_annotators"] == n_annotators
    expected = {
        "percent_agreement": slow.percent(units),
        "percent_agreement_no_ties": slow.percent([[v for v in unit if v[1]] for unit in units]),
    }
    for name, value in expected.items():
        assert figures[name]["value"] == pytest.approx(float(value), abs=1e-6), name
    counts = np.array([[[sign for _, sign in unit].count(c) for c in (1, 0, -1)] for unit in units])
    shared = counts[counts.sum(axis=1) > 1]
    for level in ("nominal", "ordinal", "interval"):
        alpha = krippendorff.alpha(
            value_counts=shared, value_domain=[1, 0, -1], level_of_measurement=level
        )
        name = f"krippendorff_alpha_{level}"
        assert figures[name]["value"] == pytest.approx(alpha, abs=1e-6), name
        assert figures[name]["low"] < alpha < figures[name]["high"]


STEPS = {"1_full_compliance": 3, "3_partial_refusal": 2, "2_full_refusal": 1}
EVERY = 6  # prompt of XSTest


def xstest() -> dict[str, list[dict]]:
    """By prompt, the two answers whose text is public, with what two people say of them."""
    found: dict[str, list[dict]] = defaultdict(list)
    for row in shared_rows("xstest/labels.jsonl.gz"):
        if "completion" in row and int(row["prompt_id"]) % EVERY == 0:
            found[str(row["prompt_id"])].append(row)
    return found


def test_ratings_of_two_people_and_what_they_settled_on(
    session: Session, people: People, api: Callable[[User], TestClient], tmp_path: Path
):
    people.project.criteria = [
        {"key": "compliance", "label": "Complies", "description": "", "min": 1, "max": 3}
    ]
    prompts = {row["id"]: row["prompt"] for row in shared_rows("xstest/prompts.jsonl.gz")}
    answers = xstest()
    rows, tables = [], []
    for name, given in answers.items():
        said = [[STEPS[row[f"annotation_{n}"]] for row in given] for n in (1, 2)]
        tables.append(said)
        rows.append(
            {
                "prompt": f"{name}: {prompts[name]}",
                "id": name,
                "responses": [
                    {"text": row["completion"], "source": row["system"]} for row in given
                ],
                "annotations": [
                    {
                        "annotator": f"person {n}",
                        "ranks": stats.rankdata([-step for step in steps], method="min")
                        .astype(int)
                        .tolist(),
                        "ratings": {"compliance": steps},
                    }
                    for n, steps in enumerate(said)
                ],
            }
        )
    done = brought_in(session, people.project, json_lines(tmp_path / "xstest.jsonl", rows))
    assert done.rows_imported == len(rows) == 450 // EVERY, done.errors
    path = f"/api/v1/projects/{people.project.id}"
    answer = api(people.ada).get(f"{path}/agreement", params={"by": "annotator_pair"}).json()
    one, other = (np.array([said[n] for said in tables]).ravel() for n in (0, 1))
    (group,) = answer["groups"]
    for figures in (answer["fields"], group["fields"]):
        found = figures["criterion:compliance"]
        assert (found["n_tasks"], found["n_annotations"]) == (len(rows), 2 * len(rows))
        assert found["percent_agreement"]["value"] == pytest.approx((one == other).mean(), abs=1e-6)
        for level in ("nominal", "ordinal", "interval"):
            alpha = krippendorff.alpha(
                np.array([one, other], float), value_domain=[1, 2, 3], level_of_measurement=level
            )
            assert found[f"krippendorff_alpha_{level}"]["value"] == pytest.approx(alpha, abs=1e-6)
        apart = {
            "cohen_kappa": one[:, None] != other[None, :],
            "cohen_kappa_weighted": (one[:, None] - other[None, :]) ** 2,
        }
        for name, weight in apart.items():
            kappa = 1 - np.diag(weight).mean() / weight.mean()
            assert found[name]["value"] == pytest.approx(kappa, abs=1e-6)
    # The two then settled where they differ: the queue shows those tasks, and takes the answer.
    disputed = {
        name for name, said in zip(answers, tables, strict=True)
        if np.sign(np.diff(said[0])) != np.sign(np.diff(said[1]))
    }  # fmt: skip
    queue = api(people.rui).get(f"{path}/tasks").json()["items"]
    assert {task["external_id"] for task in queue if task["disagreement"]} == disputed
    for task in queue:
        if task["external_id"] in disputed:
            steps = [STEPS[row["final_label"]] for row in answers[task["external_id"]]]
            levels = sorted(set(steps), reverse=True)
            ranking = [["AB"[place] for place in (0, 1) if steps[place] == x] for x in levels]
            body = {"ranking": ranking, "reason": "As both settled it."}
            reply = api(people.rui).put(f"/api/v1/tasks/{task['id']}/adjudication", json=body)
            assert reply.is_success, reply.text
    consensus = api(people.ada).get(f"{path}/consensus").json()
    assert consensus["n_adjudicated"] == len(disputed) > 0
