"""What the judgements say of each person; planted habits must show, careful people must not."""

from dataclasses import replace

import numpy as np
import pytest

from app.quality.rules import health as figures_of_people
from app.quality.rules.annotators import peer_shares, task_disagreement
from app.quality.rules.health import annotator_health
from app.quality.rules.intervals import Figure
from app.quality.rules.judgements import Judgements, from_rankings

ANA, RUI, IDA, TOM = range(4)


def habits(seed: int, n_tasks: int = 300) -> Judgements:
    """Ana and Rui are careful, Ida always takes the left, Tom always takes the longer."""
    chance = np.random.default_rng(seed)
    gap = chance.normal(size=n_tasks)
    lengths = chance.integers(40, 4_000, size=(n_tasks, 2))
    rows, display = [], []
    for task in range(n_tasks):
        for person in (ANA, RUI, IDA, TOM):
            order = chance.permutation(2)  # place on screen of each response
            careful = 1 if gap[task] + chance.normal(scale=0.7) > 0 else -1
            left = 1 if order[0] < order[1] else -1
            longer = 1 if lengths[task, 0] > lengths[task, 1] else -1
            sign = (careful, careful, left, longer)[person]
            rows.append((task, person, [1, 2] if sign > 0 else [2, 1]))
            display.append(order)
    judgements = from_rankings(rows)
    return replace(
        judgements,
        display=np.array(display, np.int16),
        lengths=np.repeat(lengths, 4, axis=0),
        seconds=np.tile([30.0, 40.0, 2.0, 25.0], n_tasks) + chance.random(4 * n_tasks),
    )


def test_the_left_clicker_and_the_longer_wins_judge_are_told_apart():
    health = annotator_health(habits(1), n_annotators=4)
    assert health[IDA].position_bias.share.value == 1
    assert health[IDA].position_bias.p_value < 1e-50
    assert health[TOM].length_bias.share.value == 1
    for person in (ANA, RUI, TOM):
        assert health[person].position_bias.p_value > 1e-3
    for careful in (ANA, RUI):
        for careless in (IDA, TOM):
            assert (
                health[careful].peer_agreement.share.low
                > health[careless].peer_agreement.share.value
            )
    assert health[IDA].seconds_per_task.value < 3 < health[ANA].seconds_per_task.low


def test_careful_people_are_rarely_accused_of_a_side():
    accused = [
        row.position_bias.p_value < 0.05
        for seed in range(60)
        for row in annotator_health(habits(seed, 60), n_annotators=4)[:2]
    ]
    assert np.mean(accused) < 0.1


def test_peers_are_the_majority_of_the_others_without_the_own_vote():
    judgements = from_rankings(
        [
            (0, ANA, [1, 2]),
            (0, RUI, [1, 2]),
            (0, IDA, [2, 1]),
            (1, ANA, [1, 2]),
            (1, RUI, [2, 1]),
            (1, IDA, [1, 1]),
            (2, ANA, [1, 2]),
        ]
    )
    shares = peer_shares(judgements)
    # Task 0: Ana sees one for, one against: even, skipped; Ida is against a clear majority.
    assert np.isnan(shares[[0, 1]]).all()
    assert shares[2] == 0
    # Task 1: Ida's tie is skipped, Ana and Rui each face the other alone.
    assert shares[[3, 4]].tolist() == [0, 0]
    assert np.isnan(shares[[5, 6]]).all()


def test_peer_agreement_of_rankings_is_over_implied_pairs():
    judgements = from_rankings([(0, ANA, [1, 2, 3]), (0, RUI, [1, 3, 2])])
    assert peer_shares(judgements).tolist() == pytest.approx([2 / 3, 2 / 3])


def test_repeats_are_compared_by_response_and_count_nowhere_else():
    judgements = replace(
        from_rankings(
            [
                (0, ANA, [1, 2]),
                (0, ANA, [1, 2]),
                (0, RUI, [1, 2]),
                (1, ANA, [1, 2]),
                (1, ANA, [2, 1]),
                (2, RUI, [1, 2]),
            ]
        ),
        repeat=np.array([False, True, False, False, True, False]),
    )
    ana, rui = annotator_health(judgements, n_annotators=2)
    assert (ana.n_annotations, ana.n_repeats) == (2, 2)
    assert ana.self_consistency.share.value == 0.5
    assert rui.self_consistency.share.reason == figures_of_people.NO_REPEATS
    assert ana.peer_agreement.share.value == 1  # one task shared with Rui


def test_what_nobody_saw_here_says_nothing_of_the_side():
    (ana,) = annotator_health(from_rankings([(0, ANA, [1, 2])]), n_annotators=1)
    assert ana.position_bias.share.reason == figures_of_people.NO_DISPLAY
    assert ana.position_bias.p_value is None
    assert ana.length_bias.share.reason == figures_of_people.NO_LENGTHS
    assert ana.seconds_per_task.reason == figures_of_people.NO_TIMES
    assert ana.peer_agreement.share.reason == figures_of_people.NO_PEERS


def test_a_person_without_judgements_has_reasons_and_no_zeros():
    health = annotator_health(from_rankings([(0, ANA, [1, 2])]), n_annotators=2)
    assert health[RUI].n_annotations == 0
    assert health[RUI].tie_share == Figure(None, reason=figures_of_people.NO_JUDGEMENTS)


def test_the_left_of_a_ranking_is_what_most_pairs_say():
    judgements = replace(
        from_rankings([(0, ANA, [1, 2, 3]), (1, ANA, [3, 2, 1]), (2, ANA, [1, 1, 1])]),
        display=np.array([[0, 1, 2]] * 3, np.int16),
    )
    (ana,) = annotator_health(judgements, n_annotators=1)
    assert (ana.position_bias.n, ana.position_bias.share.value) == (2, 0.5)
    assert ana.tie_share.value == pytest.approx(1 / 3)


def test_the_most_disputed_task_comes_out_on_top():
    tasks, disagreement = task_disagreement(
        from_rankings(
            [
                (7, ANA, [1, 2]),
                (7, RUI, [1, 2]),
                (8, ANA, [1, 2]),
                (8, RUI, [2, 1]),
                (9, ANA, [1, 2]),
                (9, RUI, [2, 1]),
                (9, IDA, [1, 2]),
                (10, ANA, [1, 2]),
            ]
        )
    )
    found = dict(zip(tasks.tolist(), disagreement.tolist(), strict=True))
    assert found == pytest.approx({7: 0, 8: 1, 9: 2 / 3})
