"""A day in sentences, what was changed around it, and who needs a look."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from app.quality.rules.attention import Known, to_look_at
from app.quality.rules.comparing import NOTHING, Difference, Sums
from app.quality.rules.day_story import Published, Pull, event_in_words, tell, version_made
from app.quality.rules.intervals import Figure

DAY = date(2026, 11, 24)
FALL, SAME = Difference(-0.2, -0.3, -0.1), Difference(-0.02, -0.1, 0.06)
LOW = Figure(0.56, 0.47, 0.64)


def test_a_fall_that_one_person_explains_names_her():
    people = [Pull("Bea", 0.74, is_clear=True), Pull("Cem", 0.56, is_clear=False)]
    version = Published(2, datetime(2026, 11, 23, 18, tzinfo=UTC))
    assert tell(LOW, 0.76, FALL, people=people, published=[version], day=DAY) == [
        (
            "People preferred the same response in 56 % of decisive comparisons (47–64 %): clearly "
            "less than on the other days (76 %)."
        ),
        "Most of it comes from Bea: without her judgements it would have been 74 %.",
        "Version 2 of the guidelines was published the day before.",
    ]


def test_a_fall_that_nobody_explains_says_where_to_look():
    people = [Pull("Bea", 0.58, is_clear=False), Pull("Cem", None, is_clear=False)]
    said = tell(LOW, 0.76, FALL, people=people, published=[], day=DAY)
    assert said[1].startswith("No one person explains it: look at the tasks")
    shared = [Pull(name, 0.6, is_clear=True) for name in ("Bea", "Cem", "Dai", "Eva")]
    said = tell(LOW, 0.76, FALL, people=shared, published=[], day=DAY)
    assert said[1].startswith("Bea, Cem, Dai and 1 more agreed clearly less than usual")


def test_an_ordinary_day_an_only_day_and_an_empty_one():
    quiet = tell(Figure(0.74), 0.76, SAME, people=[], published=[], day=DAY)
    assert quiet == [
        (
            "People preferred the same response in 74 % of decisive comparisons: no clear "
            "difference from the other days (76 %)."
        )
    ]
    assert "no other days" in tell(LOW, None, None, people=[], published=[], day=DAY)[0]
    nothing = tell(Figure(None, reason="Why."), 0.7, None, people=[], published=[], day=DAY)
    assert nothing == ["How far people agreed on this day is not defined: Why."]


@pytest.mark.parametrize(
    ("action", "target", "details", "said"),
    [
        (
            "project.update",
            "Kitchen",
            {"guidelines": "new text", "was": {}, "was_version": 3},
            "Version 4 of the guidelines was published.",
        ),
        (
            "project.update",
            "Kitchen",
            {"allow_ties": False, "was": {"allow_ties": True}, "was_version": 1},
            "Settings were changed: allow ties. Version 2 of the guidelines.",
        ),
        (
            "project.update",
            "Kitchen",
            {"overlap_min": 3, "overlap_max": 3, "was": {}, "was_version": 1},
            "Settings were changed: overlap min, overlap max.",
        ),
        ("project.update", "Kitchen", {"paused": True, "was": {}}, "The project was paused."),
        ("project.member.pause", "bea@x.org", {"reason": "Gold"}, "bea@x.org was paused: Gold."),
        (
            "project.member.pause.rule",
            "bea@x.org",
            {"seen": 9, "passed": 3},
            "bea@x.org was paused by the rule: 3 of 9 gold answers so far are right.",
        ),
        ("project.member.resume", "bea@x.org", {}, "bea@x.org may go on."),
        ("project.member", "bea@x.org", {"role": "reviewer"}, "bea@x.org became reviewer."),
        ("project.member.let_in", "bea@x.org", {}, "bea@x.org: let in."),
        ("import", "pairs.jsonl", {}, "Import of pairs.jsonl."),
        ("import.undo", "pairs.jsonl", {}, "The import of pairs.jsonl was undone."),
        (
            "gold.suspend",
            "id",
            {"judged": 5, "failed": 3},
            "A gold question was suspended: 3 of 5 good annotators disagree with its key.",
        ),
    ],
)
def test_what_was_changed_in_words(action: str, target: str, details: dict, said: str):
    assert event_in_words(action, target, details) == said


def test_only_what_alters_the_meaning_makes_a_version():
    assert version_made("project.update", {"guidelines": "new text", "was_version": 3}) == 4
    assert version_made("project.update", {"strength_levels": 2, "was_version": 3}) == 4
    assert version_made("project.update", {"name": "x", "was_version": 3}) is None
    assert version_made("project.member", {"was_version": 3}) is None


CLEAN = Known(
    user_id="1",
    name="Cem",
    is_paused=False,
    standing="good",
    gold_seen=10,
    gold_passed=9,
    week=Sums(38, 50, 50),
    before=Sums(76, 100, 100),
    has_fallen=False,
    left=0.52,
    left_p=0.7,
)


def test_nobody_is_named_without_a_reason():
    assert to_look_at([replace(CLEAN, user_id=str(number)) for number in range(8)]) == []
    unknown = replace(CLEAN, week=NOTHING, before=NOTHING, left=None, left_p=None, gold_seen=0)
    assert to_look_at([unknown]) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"standing": "failed", "gold_passed": 2}, "fails the gold questions (2 of 10 right)"),
        ({"standing": "warned"}, "is close to failing"),
        ({"is_paused": True}, "is paused"),
        ({"has_fallen": True, "week": Sums(20, 50, 50)}, "agrees less than before: 40 %"),
        ({"before": Sums(40, 100, 100), "week": Sums(20, 50, 50)}, "agrees with others in 40 %"),
        ({"left": 0.2, "left_p": 1e-9}, "takes the one on the right in 80 % of the cases"),
    ],
)
def test_each_reason_is_told(change: dict, reason: str):
    people = [replace(CLEAN, user_id=str(number)) for number in range(7)]
    (look,) = to_look_at([*people, replace(CLEAN, name="Bea", **change)])
    assert look.person.name == "Bea"
    assert any(reason in each for each in look.reasons)


def test_who_agrees_as_others_do_is_rarely_named():
    draw, named = np.random.default_rng(2), 0
    for _ in range(300):
        people = [
            replace(CLEAN, week=NOTHING, before=Sums(float(draw.binomial(150, 0.75)), 150, 150))
            for _ in range(20)
        ]
        named += bool(to_look_at(people))
    assert named / 300 < 0.05
