"""Tables from the literature, imported as judgements: the API gives the published figures.

A scale of five steps is that of a strength of two levels: much better, better, tie, and back.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import User
from app.projects.models import Project
from tests.corpus.files import brought_in, json_lines
from tests.people import People
from tests.quality.published import (
    ANXIETY,
    FLEISS_1971,
    GWET_PARADOX,
    KRIPPENDORFF_2011,
    SIEGEL_1956,
)

Api = Callable[[User], TestClient]
Agreement = Callable[[list[list[dict]]], dict]


def step(value: int) -> dict:
    """The step 1 … 5 of a scale as the judgement of a pair."""
    signed = value - 3
    ranks = [1, 2] if signed > 0 else [2, 1] if signed < 0 else [1, 1]
    return {"ranks": ranks, "strength": abs(signed) or None}


def steps(table: np.ndarray) -> list[list[dict]]:
    """(observers, units) with 0 = missing → per unit, who said what."""
    return [
        [
            {"annotator": f"observer {observer}", **step(int(value))}
            for observer, value in enumerate(unit)
            if value
        ]
        for unit in table.T
    ]


@pytest.fixture
def agreement(session: Session, people: People, api: Api, tmp_path: Path) -> Agreement:
    """What the API says of an imported project with these judgements per task."""

    def imported(tasks: list[list[dict]]) -> dict:
        project = people.project
        project.strength_levels = 2
        rows = [
            {
                "prompt": f"Unit {number}",
                "responses": [f"{n}" for n in range(len(judgements[0]["ranks"]))],
                "annotations": judgements,
            }
            for number, judgements in enumerate(tasks)
        ]
        row = brought_in(session, project, json_lines(tmp_path / "table.jsonl", rows))
        assert row.rows_imported == len(rows), row.errors
        return fields_of(api(people.ada), project)

    return imported


def fields_of(client: TestClient, project: Project) -> dict:
    return client.get(f"/api/v1/projects/{project.id}/agreement").json()["fields"]


def test_krippendorffs_example_with_missing_values_at_every_level(agreement: Agreement):
    figures = agreement(steps(KRIPPENDORFF_2011))["strength"]
    assert (figures["n_tasks"], figures["n_shared_tasks"], figures["n_annotations"]) == (12, 11, 41)
    published = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}  # Krippendorff (2011)
    for level, value in published.items():
        found = figures[f"krippendorff_alpha_{level}"]
        assert found["value"] == pytest.approx(value, abs=5e-4)
        assert found["low"] < value < found["high"]
    assert figures["krippendorff_alpha"] == figures["krippendorff_alpha_ordinal"]
    assert figures["gwet_ac1"]["value"] == pytest.approx(0.775, abs=5e-4)  # Gwet (2014)
    assert figures["percent_agreement"]["value"] == pytest.approx(0.818, abs=5e-4)
    assert figures["fleiss_kappa"]["value"] is None
    assert "here are 1 to 4" in figures["fleiss_kappa"]["reason"]
    assert "here are 4" in figures["cohen_kappa"]["reason"]


def test_fleiss_diagnoses(agreement: Agreement):
    figures = agreement(steps(FLEISS_1971))["strength"]
    assert figures["fleiss_kappa"]["value"] == pytest.approx(0.430, abs=5e-4)
    assert figures["fleiss_kappa"]["low"] < 0.43 < figures["fleiss_kappa"]["high"]


def test_kappa_of_two_raters_of_anxiety_plain_and_weighted(agreement: Agreement):
    figures = agreement(steps(ANXIETY))["strength"]
    assert figures["cohen_kappa"]["value"] == pytest.approx(-0.006289, abs=1e-6)
    assert figures["cohen_kappa_weighted"]["value"] == pytest.approx(0.252033, abs=1e-6)


def test_gwets_paradox_of_two_raters(agreement: Agreement):
    answers = [
        [{"annotator": "one", "ranks": sides[a]}, {"annotator": "two", "ranks": sides[b]}]
        for sides in ([[1, 2], [2, 1]],)
        for (a, b), number in np.ndenumerate(GWET_PARADOX)
        for _ in range(number)
    ]
    figures = agreement(answers)["ranking"]
    assert figures["n_shared_tasks"] == 125
    assert figures["cohen_kappa"]["value"] == pytest.approx(-0.023, abs=5e-4)
    assert figures["percent_agreement"]["value"] == pytest.approx(118 / 125, abs=1e-6)


def test_ac1_of_gwets_paradox_where_ties_are_no_answer(
    agreement: Agreement, session: Session, people: People, api: Api
):
    people.project.allow_ties = False
    test_gwets_paradox_of_two_raters(agreement)
    figures = fields_of(api(people.ada), people.project)["ranking"]
    assert figures["gwet_ac"]["value"] == pytest.approx(0.94, abs=5e-3)  # Gwet (2008)


def test_siegels_executives_rank_six_applicants(agreement: Agreement):
    judgements = [
        {"annotator": f"executive {number}", "ranks": ranks}
        for number, ranks in enumerate(SIEGEL_1956.tolist())
    ]
    figures = agreement([judgements])["ranking"]
    assert figures["kendall_w"]["value"] == pytest.approx(0.16, abs=5e-3)  # Siegel (1956)
    assert figures["kendall_w"]["low"] is None
    assert "fewer than 10 tasks" in figures["kendall_w"]["reason"]
    assert figures["top_1_agreement"]["value"] == pytest.approx(1 / 3, abs=1e-6)


def test_one_answer_everywhere_is_not_defined_and_says_why(agreement: Agreement):
    figures = agreement(steps(np.full((3, 12), 4)))
    ranking, strength = figures["ranking"], figures["strength"]
    assert ranking["percent_agreement"]["value"] == strength["gwet_ac1"]["value"] == 1
    for name in ("krippendorff_alpha", "krippendorff_alpha_interval", "fleiss_kappa"):
        assert strength[name]["value"] is None
        assert strength[name]["reason"].startswith("Everybody gave the same answer everywhere")
    assert "Only rankings" in strength["kendall_w"]["reason"]


def test_one_annotator_and_one_task_alone(agreement: Agreement):
    figures = agreement(steps(np.array([[5]])))["ranking"]
    reasons = {each["reason"] for each in figures.values() if isinstance(each, dict)}
    assert reasons == {"No task has been judged by two people yet."}
    assert not any(each["value"] for each in figures.values() if isinstance(each, dict))
