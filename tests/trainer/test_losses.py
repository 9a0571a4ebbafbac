"""Losses against numbers worked out by hand or by another statement of the same maths."""

import itertools
import math

import pytest
import torch

from app.trainer import losses


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


class TestBradleyTerry:
    def test_equal_scores_cost_ln_2(self) -> None:
        assert losses.bradley_terry(torch.zeros(3)).tolist() == pytest.approx([math.log(2)] * 3)

    def test_margin_asks_for_a_larger_difference(self) -> None:
        loss = losses.bradley_terry(torch.tensor([1.5]), margin=torch.tensor([0.5]))
        assert loss.item() == pytest.approx(-math.log(sigmoid(1.0)), rel=1e-6)

    def test_soft_label_is_least_where_the_score_says_the_share_of_votes(self) -> None:
        delta = torch.linspace(-3, 3, 601)
        best = delta[losses.bradley_terry(delta, p=0.75).argmin()]
        assert sigmoid(best.item()) == pytest.approx(0.75, abs=0.003)

    def test_very_wrong_scores_stay_finite(self) -> None:
        assert losses.bradley_terry(torch.tensor([-1e4])).item() == pytest.approx(1e4)


class TestRankings:
    def test_ranking_of_three_with_a_tie_gives_two_strict_pairs_and_a_half(self) -> None:
        assert losses.comparisons_of([1, 2, 2]) == [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 0.5)]
        assert losses.comparisons_of([1, 2, 2], ties="drop") == [(0, 1, 1.0), (0, 2, 1.0)]
        assert losses.comparisons_of([2, 1]) == [(1, 0, 1.0)]

    def test_plackett_luce_is_minus_the_log_chance_of_the_order(self) -> None:
        scores = torch.tensor([0.3, 1.2, -0.5])
        weights = [math.exp(s) for s in scores.tolist()]
        chance = weights[1] / sum(weights) * weights[0] / (weights[0] + weights[2])
        for ranks in ([2, 1, 3], [0, -5, 10**30]):  # only their order counts
            loss = losses.plackett_luce(scores, ranks)
            assert loss.item() == pytest.approx(-math.log(chance), rel=1e-6)

    def test_chances_of_all_orders_add_up_and_the_first_place_is_a_softmax(self) -> None:
        scores = torch.tensor([0.3, 1.2, -0.5, 0.1], dtype=torch.float64)
        chances = {
            ranks: math.exp(-losses.plackett_luce(scores, ranks).item())
            for ranks in itertools.permutations((1, 2, 3, 4))
        }
        assert sum(chances.values()) == pytest.approx(1)
        first = [sum(p for ranks, p in chances.items() if ranks[i] == 1) for i in range(4)]
        assert first == pytest.approx(scores.softmax(0).tolist())

    def test_ties_of_plackett_luce_by_hand(self) -> None:
        """Breslow's rule: both in the tied place stand against all four; dropped, each is alone."""
        a, b, c, d = (math.exp(s) for s in (0.3, 1.2, -0.5, 0.1))
        scores, ranks = torch.tensor([0.3, 1.2, -0.5, 0.1]), [2, 1, 4, 2]
        first = -math.log(b / (a + b + c + d))
        tied = -(math.log(a / (a + c + d)) + math.log(d / (a + c + d))) / 2
        assert losses.plackett_luce(scores, ranks).item() == pytest.approx(first + tied, rel=1e-5)
        apart = -(math.log(a / (a + c)) + math.log(d / (d + c))) / 2
        found = losses.plackett_luce(scores, ranks, ties="drop").item()
        assert found == pytest.approx(first + apart, rel=1e-5)

    @pytest.mark.parametrize(("ranks", "p"), [([1, 2], 1.0), ([2, 1], 0.0), ([1, 1], 0.5)])
    def test_plackett_luce_of_two_is_bradley_terry(self, ranks: list[int], p: float) -> None:
        scores = torch.tensor([0.7, -0.4])
        expected = losses.bradley_terry(scores[0] - scores[1], p=p)
        assert losses.plackett_luce(scores, ranks).item() == pytest.approx(expected.item())

    def test_dropped_tie_of_all_costs_nothing(self) -> None:
        loss = losses.plackett_luce(torch.tensor([1.0, 2.0, 3.0]), [1, 1, 1], ties="drop")
        assert loss.item() == pytest.approx(0.0, abs=1e-6)


class TestDpo:
    def test_policy_equal_to_reference_costs_ln_2(self) -> None:
        zero = torch.zeros(2)
        assert losses.dpo(zero, zero, beta=0.1).tolist() == pytest.approx([math.log(2)] * 2)

    def test_sigmoid(self) -> None:
        loss = losses.dpo(torch.tensor([2.0]), torch.tensor([-1.0]), beta=0.5)
        assert loss.item() == pytest.approx(-math.log(sigmoid(1.5)), rel=1e-6)

    def test_label_smoothing_mixes_in_the_flipped_pair(self) -> None:
        loss = losses.dpo(torch.tensor([2.0]), torch.tensor([0.0]), beta=1.0, label_smoothing=0.2)
        expected = -0.8 * math.log(sigmoid(2.0)) - 0.2 * math.log(sigmoid(-2.0))
        assert loss.item() == pytest.approx(expected, rel=1e-6)

    def test_robust_is_unbiased_under_the_assumed_flips(self) -> None:
        """Averaged over flips at rate e, the robust loss is the clean one."""
        chosen, rejected, e = torch.tensor([0.8]), torch.tensor([-0.3]), 0.3
        given = {"beta": 1.0, "loss_type": "robust", "label_smoothing": e}
        mixed = (1 - e) * losses.dpo(chosen, rejected, **given)
        mixed += e * losses.dpo(rejected, chosen, **given)
        assert mixed.item() == pytest.approx(losses.dpo(chosen, rejected, beta=1.0).item())

    def test_ipo_aims_at_half_over_beta_per_token(self) -> None:
        lengths = (torch.tensor([4.0]), torch.tensor([2.0]))
        given = {"beta": 0.1, "loss_type": "ipo", "lengths": lengths}
        loss = losses.dpo(torch.tensor([8.0]), torch.tensor([-6.0]), **given)
        assert loss.item() == pytest.approx((8 / 4 + 6 / 2 - 5) ** 2)

    def test_ipo_sum_aims_at_half_over_beta_of_the_whole(self) -> None:
        given = {"beta": 0.1, "loss_type": "ipo_sum"}
        loss = losses.dpo(torch.tensor([8.0]), torch.tensor([-6.0]), **given)
        assert loss.item() == pytest.approx((14 - 5) ** 2)

    @pytest.mark.parametrize(
        ("loss_type", "expected"),
        [  # as TRL 1.16 writes them, on log ratios of 1.2 and -0.4 over 4 and 2 tokens, beta = 0.5
            ("hinge", 1 - 0.5 * 1.6),
            ("apo_zero", 1 - sigmoid(0.5 * 1.2) + sigmoid(0.5 * -0.4)),
            ("sigmoid_norm", -math.log(sigmoid(0.5 * (1.2 / 4 + 0.4 / 2)))),
            # logits = 0.3 + 0.2 - gamma / beta, -log σ(beta · logits)
            ("simpo", -math.log(sigmoid(0.5 * (0.5 - 0.7 / 0.5)))),
        ],
    )
    def test_losses_that_trl_has_too(self, loss_type: str, expected: float) -> None:
        lengths = (torch.tensor([4.0]), torch.tensor([2.0]))
        given = {"beta": 0.5, "loss_type": loss_type, "lengths": lengths, "gamma": 0.7}
        loss = losses.dpo(torch.tensor([1.2]), torch.tensor([-0.4]), **given)
        assert loss.item() == pytest.approx(expected, rel=1e-6)

    def test_hinge_is_done_once_the_margin_is_reached(self) -> None:
        given = {"beta": 0.5, "loss_type": "hinge"}
        assert losses.dpo(torch.tensor([3.0]), torch.tensor([1.0]), **given).item() == 0

    def test_orpo_is_likelihood_and_log_odds(self) -> None:
        lengths = (torch.tensor([4.0]), torch.tensor([2.0]))
        given = {"beta": 0.1, "loss_type": "orpo", "lengths": lengths}
        loss = losses.dpo(torch.tensor([-2.0]), torch.tensor([-3.0]), **given)
        good, bad = math.exp(-2 / 4), math.exp(-3 / 2)  # chance per token, geometric mean
        odds = (good / (1 - good)) / (bad / (1 - bad))
        expected = -math.log(good) - 0.1 * math.log(sigmoid(math.log(odds)))
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        certain = losses.dpo(torch.tensor([0.0]), torch.tensor([-3.0]), **given)
        assert math.isfinite(certain.item())

    def test_kto_pulls_good_up_and_bad_down_around_the_reference_point(self) -> None:
        ratios, labels = torch.tensor([1.0, 1.0]), torch.tensor([True, False])
        loss = losses.kto(ratios, labels, torch.tensor(0.4), beta=0.5, undesirable_weight=2.0)
        expected = [1 - sigmoid(0.5 * 0.6), 2 * (1 - sigmoid(0.5 * -0.6))]
        assert loss.tolist() == pytest.approx(expected)


class TestPpo:
    def test_k1_is_the_log_ratio_and_k3_is_never_negative(self) -> None:
        logps, ref = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.0])
        assert losses.kl_per_token(logps, ref).tolist() == pytest.approx([0.5, -1.0])
        k3 = losses.kl_per_token(logps, ref, "k3")
        assert k3.tolist() == pytest.approx([math.exp(-0.5) - 1 + 0.5, math.exp(1.0) - 1 - 1.0])
        assert (k3 >= 0).all()

    def test_both_estimators_have_the_same_mean(self) -> None:
        p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.3])
        exact = (p * (p / q).log()).sum()
        for name in ("k1", "k3"):
            mean = (p * losses.kl_per_token(p.log(), q.log(), name)).sum()
            assert mean.item() == pytest.approx(exact.item(), rel=1e-5)

    def test_gae_by_hand(self) -> None:
        rewards = torch.tensor([[0.0, 0.0, 1.0]])
        values = torch.tensor([[0.5, 0.4, 0.2]])
        gamma, lam = 0.9, 0.8
        d2 = 1.0 - 0.2
        d1 = 0.0 + gamma * 0.2 - 0.4
        d0 = 0.0 + gamma * 0.4 - 0.5
        a1 = d1 + gamma * lam * d2
        a0 = d0 + gamma * lam * a1
        advantages, returns = losses.gae(rewards, values, gamma=gamma, lam=lam)
        assert advantages[0].tolist() == pytest.approx([a0, a1, d2])
        assert returns[0].tolist() == pytest.approx([a0 + 0.5, a1 + 0.4, d2 + 0.2])

    def test_gae_with_lambda_1_is_the_return_less_the_value(self) -> None:
        torch.manual_seed(0)
        rewards, values = torch.randn(4, 7), torch.randn(4, 7)
        advantages, returns = losses.gae(rewards, values, gamma=1.0, lam=1.0)
        to_come = rewards.flip(1).cumsum(1).flip(1)
        assert torch.allclose(returns, to_come, atol=1e-5)
        assert torch.allclose(advantages, to_come - values, atol=1e-5)

    def test_whitened_values_have_mean_0_and_deviation_1_inside_the_mask(self) -> None:
        torch.manual_seed(0)
        values, mask = torch.randn(5, 9) * 3 + 2, torch.rand(5, 9) > 0.3
        inside = losses.whiten(values, mask)[mask]
        assert inside.mean().item() == pytest.approx(0, abs=1e-6)
        assert inside.std(correction=1).item() == pytest.approx(1, rel=1e-4)
        kept = losses.whiten(values, mask, shift_mean=False)[mask]
        assert kept.mean().item() == pytest.approx(values[mask].mean().item(), rel=1e-4)

    @pytest.mark.parametrize("value", [0.1, 1000.1])
    def test_equal_values_whitened_are_exactly_0(self, value: float) -> None:
        mask = torch.ones(5, 7, dtype=torch.bool)
        assert not losses.whiten(torch.full((5, 7), value), mask).any()

    def test_at_ratio_1_the_policy_loss_is_minus_the_advantage(self) -> None:
        logps, advantages = torch.randn(6), torch.randn(6)
        loss, ratio, clipped = losses.ppo_policy(logps, logps, advantages, 0.2)
        assert torch.allclose(loss, -advantages)
        assert ratio.tolist() == [1.0] * 6
        assert clipped.sum() == 0

    def test_clip_stops_a_gain_but_never_a_loss(self) -> None:
        old = torch.zeros(4)
        logps = torch.log(torch.tensor([1.5, 1.5, 0.5, 0.5]))
        advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])
        loss, _, clipped = losses.ppo_policy(logps, old, advantages, 0.2)
        assert loss.tolist() == pytest.approx([-1.2, 1.5, -0.5, 0.8])
        assert clipped.tolist() == [1, 0, 0, 1]

    def test_value_loss_takes_the_worse_of_free_and_clipped(self) -> None:
        values, old = torch.tensor([1.0, 0.1]), torch.tensor([0.0, 0.0])
        loss, clipped = losses.ppo_value(values, old, torch.tensor([1.0, 1.0]), 0.2)
        assert loss.tolist() == pytest.approx([0.5 * 0.8**2, 0.5 * 0.9**2])
        assert clipped.tolist() == [1, 0]

    def test_kl_price_rises_above_the_target_by_a_bounded_step(self) -> None:
        given = {"target": 6.0, "horizon": 1000, "episodes": 100}
        assert losses.adapted_kl_coef(0.1, 6.0, **given) == pytest.approx(0.1)
        assert losses.adapted_kl_coef(0.1, 60.0, **given) == pytest.approx(0.1 * 1.02)
        assert losses.adapted_kl_coef(0.1, 0.0, **given) == pytest.approx(0.1 * 0.98)


class TestTokens:
    def test_logps_and_entropy_of_a_known_distribution(self) -> None:
        logits = torch.tensor([[math.log(0.5), math.log(0.25), math.log(0.25)]]) + 3.0
        assert losses.logps_of(logits, torch.tensor([1])).item() == pytest.approx(math.log(0.25))
        assert losses.entropy_and_kl(logits, logits)[0].item() == pytest.approx(1.5 * math.log(2))
        flat = torch.zeros(1, 3)
        kl = losses.entropy_and_kl(logits, flat)[1]
        assert kl.item() == pytest.approx(math.log(3) - 1.5 * math.log(2), rel=1e-5)

    def test_sums_by_response(self) -> None:
        sums = losses.sum_by(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 2, 0]), 3)
        assert sums.tolist() == [5.0, 0.0, 2.0]

    @pytest.mark.parametrize(
        "loss",
        [
            lambda x: losses.bradley_terry(x[:2] - x[2:], p=0.7, margin=0.2),
            lambda x: losses.plackett_luce(x, [2, 1, 2, 3]),
            lambda x: losses.plackett_luce(x, [2, 1, 2, 3], ties="drop"),
            lambda x: losses.dpo(x[:2], x[2:], beta=0.3, label_smoothing=0.1),
            lambda x: losses.dpo(x[:2], x[2:], beta=0.3, loss_type="robust", label_smoothing=0.1),
            lambda x: losses.dpo(x[:2], x[2:], beta=0.3, loss_type="ipo_sum"),
            lambda x: losses.dpo(x[:2], x[2:], beta=0.3, loss_type="hinge"),
            lambda x: losses.dpo(x[:2], x[2:], beta=0.3, loss_type="apo_zero"),
            lambda x: losses.dpo(x[:2], x[2:], beta=0.3, loss_type="sigmoid_norm", lengths=LONG),
            lambda x: losses.dpo(x[:2], x[2:], beta=0.3, loss_type="simpo", lengths=LONG),
            lambda x: losses.dpo(x[:2] - 2, x[2:] - 2, beta=0.3, loss_type="orpo", lengths=LONG),
            lambda x: losses.kto(x, GOOD, torch.tensor(0.1, dtype=torch.float64), beta=0.3),
            lambda x: losses.kl_per_token(x, OLD, "k3"),
            lambda x: losses.ppo_policy(x, OLD, x.new_tensor([1.0, -1.0, 1.0, -1.0]), 0.2)[0],
            lambda x: losses.ppo_value(x, OLD, x.new_ones(4), 0.2)[0],
        ],
    )
    def test_gradients_match_finite_differences(self, loss) -> None:
        x = torch.tensor([0.4, -0.9, 1.3, 0.2], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(loss, x)


LONG = (torch.tensor([3.0, 2.0]), torch.tensor([1.0, 4.0]))
GOOD = torch.tensor([True, False, True, False])
OLD = torch.tensor([0.35, -0.5, 1.35, 0.3], dtype=torch.float64)
