"""Why a row is in one snapshot and not in the other."""

from datetime import UTC, datetime, timedelta

import pytest

from app.datasets.rules.absence import REASONS, Fact, Side, why_absent
from app.datasets.rules.rows import ConfigName
from app.datasets.rules.settings import SETTINGS
from app.datasets.schemas import Recipe

FROZEN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def side(annotators=("ana", "rui"), **recipe):
    return Side(
        recipe=Recipe.model_validate(recipe).as_json(),
        frozen_at=FROZEN,
        annotators=frozenset(annotators),
        configs=frozenset(ConfigName),
    )


def entries(*names):
    return [{"id": name, "annotator": name, "guidelines_version": 1} for name in names]


def fact(**fields):
    usual = {"submitted_at": FROZEN - DAY, "guidelines_version": 1, "is_current": True}
    return Fact(**(usual | {"counts": True, "is_source": False} | fields))


def reason(here, *, ours=(), theirs=("ana", "rui"), facts=None, there=None, agreement=1.0, **more):
    known = {name: fact() for name in theirs} | (facts or {})
    return why_absent(
        more.get("config", ConfigName.PREFERENCE),
        {"agreement": agreement},
        here=here,
        there=there or side(),
        ours=entries(*ours),
        theirs=entries(*theirs),
        facts={name: each for name, each in known.items() if each is not None},
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"submitted_at": FROZEN + DAY}, "judged_since"),
        ({"is_current": False}, "revised"),
        ({"counts": False}, "requeued"),
        (None, "erased"),
    ],
)
def test_what_became_of_its_judgements_says_why(fields, expected):
    became = None if fields is None else fact(**fields)
    assert reason(side(), facts={"ana": became, "rui": became}) == expected


def test_one_of_two_gone_leaves_too_few_and_the_first_cause_is_named():
    here = side(min_annotations=2)
    assert reason(here, ours=(), facts={"ana": None}) == "erased"
    assert reason(side(min_annotations=3)) == "too_few_judgements"


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"guidelines_version": 2}, "guidelines_version"),
        ({"since": FROZEN}, "before_since"),
        ({"until": FROZEN - 2 * DAY}, "after_until"),
        ({"configs": ["sft"]}, "config"),
        ({"min_agreement": 0.8}, "low_agreement"),
    ],
)
def test_what_the_recipe_asks_for_says_why(recipe, expected):
    assert reason(side(**recipe), agreement=0.6) == expected


@pytest.mark.parametrize(
    "recipe",
    [{"pairs": "adjacent"}, {"max_pairs_per_prompt": 1}, {"ties": "keep"}],
)
def test_the_same_judgements_and_another_recipe(recipe):
    assert reason(side(**recipe), ours=("ana", "rui")) == next(iter(recipe))


def test_a_person_left_out_and_judgements_that_say_something_else():
    assert reason(side(annotators=("zoe",))) == "person_left_out"
    assert reason(side(), ours=("ana", "rui", "zoe")) == "outvoted"
    assert reason(side(), ours=("ana", "rui")) == "unknown"
    assert reason(side(), config=ConfigName.PROMPTS, theirs=()) == "new_prompt"


def test_without_a_database_the_manifests_still_say_something():
    given = {"here": side(min_annotations=3), "there": side(), "ours": (), "facts": None}
    found = why_absent(ConfigName.PREFERENCE, {}, theirs=entries("ana", "rui"), **given)
    assert found == "too_few_judgements"
    assert found in REASONS


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"tags": ["law"]}, "choice"),
        ({"exclude_flags": ["unsafe"]}, "choice"),
        ({"dedup": "normalised"}, "dedup"),
    ],
)
def test_a_recipe_that_chooses_otherwise(recipe, expected):
    assert reason(side(**recipe), ours=("ana", "rui")) == expected


def test_every_setting_has_a_name():
    assert SETTINGS.keys() == Recipe.model_fields.keys()
