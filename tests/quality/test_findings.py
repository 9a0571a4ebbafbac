"""What becomes a finding, one threshold at a time."""

from typing import Any

import pytest

from app.quality.rules.findings import Evidence, Kind, Level, findings_of, need
from app.quality.rules.health import nothing_known


def share(value: float, n: int = 200, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": n, **more}


def person(
    standing: str = "good", seen: int = 0, passed: int = 0, **figures: dict[str, Any]
) -> Evidence:
    known = nothing_known()
    return Evidence(
        figures={name: {**value, **figures.get(name, {})} if name in figures else value
                 for name, value in known.items()},
        standing=standing,
        gold_seen=seen,
        gold_passed=passed,
        gold_low=passed / seen - 0.1 if seen else None,
        threshold=0.7,
    )  # fmt: skip


def found(*people: Evidence) -> list[Kind]:
    """Of the first of them."""
    return [each.kind for each in findings_of(people)[0]]


DIFFERS = {
    "dissent": share(0.5, others=0.2, p_value=1e-8),
    "peer_agreement": share(0.52, others=0.8, p_value=1e-4),
}


def test_nobody_and_nothing():
    assert findings_of([]) == []
    assert findings_of([person()]) == [[]]


@pytest.mark.parametrize(
    ("figures", "kind"),
    [
        ({"position_bias": share(0.84, p_value=1e-9)}, Kind.POSITION),
        ({"position_bias": share(0.2, p_value=1e-9)}, Kind.POSITION),
        ({"position_bias": share(0.54, p_value=1e-9)}, None),  # sure, and too small to matter
        ({"position_bias": share(0.84, p_value=0.01)}, None),
        ({"length_against_others": share(0.9, others=0.6, p_value=1e-9)}, Kind.LENGTH),
        ({"length_against_others": share(0.9, others=0.85, p_value=1e-9)}, None),
        ({"length_bias": share(0.95, p_value=1e-9)}, Kind.LENGTH),  # nobody else judged them
        ({"length_bias": share(0.85, p_value=1e-9)}, None),
        ({"ties_against_others": share(0.7, others=0.1, p_value=1e-9)}, Kind.TIES),
        ({"ties_against_others": share(0.2, others=0.1, p_value=1e-9)}, None),
        ({"self_consistency": share(0.4, 30, others=0.9, p_value=1e-5)}, Kind.SELF),
        (DIFFERS, Kind.PEERS),
        (DIFFERS | {"peer_agreement": share(0.7, others=0.8, p_value=0.9)}, None),
        ({"same_rationale": share(0.8, 40, others=0.1)}, Kind.WORDS),
        ({"same_rationale": share(0.8, 40, others=0.7)}, None),
        ({"same_rationale": share(0.8, 10, others=0.1)}, None),
    ],
)
def test_sure_and_large_enough_to_matter(figures, kind):
    assert found(person(**figures)) == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("below", "others", "z", "n", "expected"),
    [
        (0.6, 0.1, -1.0, 100, [Kind.SPEED]),
        (0.6, 0.5, -1.0, 100, []),  # everybody skims: it is the tasks
        (0.6, 0.1, -1.0, 10, []),
        (0.0, 0.0, -3.4, 100, [Kind.SPEED]),
        (0.0, 0.0, 4.0, 100, []),  # slow is nobody's fault
    ],
)
def test_speed_is_held_against_reading_and_against_the_others(below, others, z, n, expected):
    pace = {
        "below_reading_speed": share(below), "others": others, "n": n, "z": {"value": z},
    }  # fmt: skip
    assert found(person(pace=pace, seconds_per_task={"value": 4.0})) == expected


def test_of_many_people_only_what_survives_benjamini_and_hochberg():
    likely = person(position_bias=share(0.6, p_value=0.004))
    fair = person(position_bias=share(0.5, p_value=0.9))
    assert found(likely) == [Kind.POSITION]
    assert found(likely, *[fair] * 30) == []


def test_gold_speaks_for_a_careful_minority():
    blamed = findings_of([person(**DIFFERS)])[0][0]
    assert blamed.level is Level.BAD
    assert blamed.text.startswith("Prefers what the others prefer in 52 % of tasks (n = 200")
    right = person(seen=20, passed=19, **DIFFERS)
    (note,) = findings_of([right, person(seen=50, passed=44)])[0]
    assert (note.kind, note.level) == (Kind.MINORITY, Level.INFO)
    assert "passes gold: 19 of 20; the others 88 % of theirs" in note.text
    wrong = person("failed", seen=20, passed=9, **DIFFERS)
    assert found(wrong) == [Kind.GOLD, Kind.PEERS]
    sided = person(seen=20, passed=19, position_bias=share(0.9, p_value=1e-9), **DIFFERS)
    assert found(sided) == [Kind.PEERS, Kind.POSITION]  # a habit explains it: no opinion


def test_without_gold_her_own_steadiness_speaks_for_her():
    steady = person(**DIFFERS, self_consistency=share(0.9, 20, others=0.8, p_value=0.99))
    (note,) = findings_of([steady])[0]
    assert note.level is Level.INFO
    assert "Gold questions would tell" in note.text


def test_a_streak_is_not_said_twice():
    sides = {"n": 200, "longest": 30, "switch_share": 0.1, "p_value": 1e-6}
    assert found(person(sides=sides, position_bias=share(0.5, p_value=0.9))) == [Kind.STREAK]
    left = person(sides=sides, position_bias=share(0.95, p_value=0.0))
    assert found(left) == [Kind.POSITION]
    (turns,) = findings_of(
        [person(sides=sides | {"switch_share": 0.97}, position_bias=share(0.5, p_value=0.9))]
    )[0]
    assert "as if in turn" in turns.text


def test_the_words_name_day_and_hours():
    drift = {
        "n": 200, "n_inside": 80, "inside": 0.6, "outside": 0.85, "since": 1_772_409_600.0,
        "until": 0.0, "p_value": 1e-5,
    }  # fmt: skip
    hours = drift | {"since": 50_400.0, "until": 61_260.0}
    drifted, tired = findings_of([person(drift=drift, hours=hours)])[0]
    assert "fell from 85 % to 60 % on 2 March 2026 (n = 80 since)" in drifted.text
    assert "from 14:00 to 17:01 UTC: 60 % (n = 80) against 85 %" in tired.text


def test_the_gravest_comes_first_and_weighs_most():
    both = person(
        "warned", seen=10, passed=6, ties_against_others=share(0.7, others=0.1, p_value=1e-9),
        position_bias=share(0.9, p_value=1e-9),
    )  # fmt: skip
    findings = findings_of([both])[0]
    assert [each.kind for each in findings] == [Kind.POSITION, Kind.GOLD, Kind.TIES]
    assert need(each.level for each in findings) > need([Level.BAD]) > need([Level.WARN] * 9)
    assert need([]) == 0
