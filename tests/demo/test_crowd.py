"""The simulated annotators differ in the ways that their names promise."""

from itertools import chain
from random import Random
from statistics import mean

import pytest

from app.demo import content
from app.demo.crowd import CROWD, Persona, Shown, judge

LOADED = content.load()
BY_KEY = {persona.key: persona for persona in CROWD}


def screens(rng):
    """Every pair of responses of the demo, in a random order on the screen."""
    for row in LOADED.rows:
        shown = [
            Shown(response["text"], judged.quality, judged.note)
            for response in row["responses"]
            for judged in [LOADED.judged[response["text"]]]
        ]
        for i, left in enumerate(shown):
            for right in shown[i + 1 :]:
                yield rng.sample([left, right], 2)


def answers(key, **circumstances):
    rng = Random(11)
    return [
        (shown, judge(BY_KEY[key], shown, rng=rng, strength_levels=3, **circumstances))
        for _ in range(4)
        for shown in screens(rng)
    ]


def accuracy(judgements):
    """Share of decided pairs of clearly different quality in which the better one was chosen."""
    return mean(
        (verdict.ranking[0] == ["A"]) == (shown[0].quality > shown[1].quality)
        for shown, verdict in judgements
        if len(verdict.ranking) == 2 and abs(shown[0].quality - shown[1].quality) > 0.1
    )


def left_share(judgements):
    return mean(v.ranking[0] == ["A"] for _, v in judgements if len(v.ranking) == 2)


def longer_share(judgements):
    return mean(
        (v.ranking[0] == ["A"]) == (len(s[0].text) > len(s[1].text))
        for s, v in judgements
        if len(v.ranking) == 2
    )


def tie_share(judgements):
    return mean(len(verdict.ranking) == 1 for _, verdict in judgements)


def test_the_careful_one_finds_the_better_response():
    assert accuracy(answers("careful")) > 0.92


@pytest.mark.parametrize("key", ["quick", "longer-wins", "left-clicker"])
def test_the_careless_find_it_less_often(key):
    assert accuracy(answers(key)) < accuracy(answers("careful")) - 0.04


def test_the_left_clicker_clicks_left_and_the_careful_one_does_not():
    assert left_share(answers("left-clicker")) > 0.75
    assert 0.45 < left_share(answers("careful")) < 0.55


def test_the_one_who_likes_length_takes_the_longer_one():
    assert longer_share(answers("longer-wins")) > longer_share(answers("careful")) + 0.1


def test_the_undecided_one_ties_more_often():
    assert tie_share(answers("even-handed")) > tie_share(answers("careful")) + 0.05


def test_the_tired_one_is_good_in_the_morning_only():
    assert accuracy(answers("tired-afternoon", hour=9)) > 0.92
    assert accuracy(answers("tired-afternoon", hour=17.5)) < 0.85


def test_the_quick_one_needs_less_time():
    def seconds(key):
        return mean(verdict.visible_ms for _, verdict in answers(key)) / 1000

    assert seconds("quick") < seconds("careful") / 2


def test_the_same_seed_gives_the_same_verdict():
    shown = next(iter(screens(Random(1))))
    verdicts = [judge(CROWD[0], shown, rng=Random(5), strength_levels=3) for _ in range(2)]
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize("persona", CROWD, ids=lambda persona: persona.key)
@pytest.mark.parametrize("n", [2, 3, 4, 10])
def test_every_verdict_is_a_complete_ranking_with_plausible_figures(persona, n):
    rng = Random(n)
    shown = [Shown("word " * (place + 3), rng.random(), "is fine") for place in range(n)]
    for _ in range(50):
        verdict = judge(persona, shown, rng=rng, strength_levels=3)
        assert sorted(chain.from_iterable(verdict.ranking)) == list("ABCDEFGHIJ"[:n])
        assert (verdict.strength is not None) == (n == 2 and len(verdict.ranking) == 2)
        assert verdict.strength in {None, 1, 2, 3}
        assert 0 < verdict.active_ms <= verdict.visible_ms < 600_000


def test_nobody_ties_where_ties_are_not_allowed():
    shown = [Shown("one", 0.5, "is fine"), Shown("two", 0.5, "is fine")]
    rng = Random(3)
    for _ in range(50):
        assert len(judge(BY_KEY["even-handed"], shown, rng=rng, allow_ties=False).ranking) == 2


def test_a_clear_difference_is_a_stronger_preference():
    exact = Persona("exact", "Simulated: exact", noise=0.0)

    def strength(gap):
        shown = [Shown("one", 0.1 + gap, "is fine"), Shown("two", 0.1, "is fine")]
        return judge(exact, shown, rng=Random(0), strength_levels=3).strength

    assert [strength(gap) for gap in (0.05, 0.4, 0.85)] == [1, 2, 3]


def test_rationales_speak_of_the_content_and_never_of_labels():
    rationales = [v.rationale for _, v in answers("careful") if v.rationale]
    notes = [judged.note for judged in LOADED.judged.values()]
    assert len(rationales) > 50
    assert any(note in rationale for rationale in rationales for note in notes)
    assert not any(" A " in rationale or " B " in rationale for rationale in rationales)
