"""Losses and estimators: pure functions of tensors, under the names of their papers.

Every loss returns one value per item (token, comparison, task); the loops weigh and add them, so
that an update over many forward passes equals one over a single big batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


def logps_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Log p(target) in 32 bit: `(n, vocabulary)`, `(n,)` → `(n,)`."""
    return -F.cross_entropy(logits.float(), targets, reduction="none")


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """Logits in 32 bit, of the distribution that was sampled from."""
    return logits.float() if temperature == 1 else logits.float() / temperature


def entropy_and_kl(logits: Tensor, ref_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy of π and KL(π ‖ π_ref) over all tokens, in nats: `(n, v)` twice → `(n,)` twice."""
    logps, ref_logps = F.log_softmax(logits.float(), -1), F.log_softmax(ref_logits.float(), -1)
    probs = logps.exp()
    return -(probs * logps).sum(-1), (probs * (logps - ref_logps)).sum(-1)


def sum_by(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """Add up per-token values by response: `(n, …)` → `(count, …)`."""
    sums = values.new_zeros(count, *values.shape[1:])
    if values.is_cuda:  # where `index_add` rounds in another order every time
        return sums.index_put((owners,), values, accumulate=True)
    return sums.index_add(0, owners, values)


# -- reward models ----------------------------------------------------------------------------


def bradley_terry(
    delta: Tensor, *, p: Tensor | float = 1.0, margin: Tensor | float = 0.0
) -> Tensor:
    """-(p log σ(Δ - m) + (1 - p) log σ(m - Δ)), Δ = score of chosen - score of rejected.

    `p` is the share of votes for chosen (1: Llama 2's eq. 2; 0.5: a tie). `(n,)` → `(n,)`.
    """
    shifted = delta - margin
    return -(p * F.logsigmoid(shifted) + (1 - p) * F.logsigmoid(-shifted))


def comparisons_of(ranks: Sequence[int], *, ties: str = "half") -> list[tuple[int, int, float]]:
    """Pairs (i, j, p) of a ranking: i before j with p = 1, or tied with p = 0.5.

    `ties="drop"` leaves tied pairs out.
    """
    pairs = []
    for i, a in enumerate(ranks):
        for j, b in enumerate(ranks):
            if a < b:
                pairs.append((i, j, 1.0))
            elif a == b and i < j and ties == "half":
                pairs.append((i, j, 0.5))
    return pairs


def plackett_luce(scores: Tensor, ranks: Sequence[int], *, ties: str = "half") -> Tensor:
    """-Σ_k (s_(k) - logsumexp(s_(k), …, s_(K))): the chance of the order, best first.

    Tied responses share one place: each is measured against the same rest and they are averaged
    (Breslow), so that at K = 2 a tie equals `bradley_terry` at p = 0.5; with `ties="drop"` a tied
    group counts once, against what lies below it. `(…, K)` → `(…,)`.
    """
    ordered = sorted(set(ranks))
    places = torch.tensor([ordered.index(rank) for rank in ranks])
    loss = scores.new_zeros(scores.shape[:-1])
    for place in range(len(ordered)):
        group, rest = scores[..., places == place], scores[..., places > place]
        if ties == "drop":
            below = rest[..., None, :].expand(*group.shape, rest.shape[-1])
            against = torch.logsumexp(torch.cat([group[..., None], below], -1), -1)
        else:
            against = torch.logsumexp(torch.cat([group, rest], -1), -1, keepdim=True)
        loss = loss + (against - group).mean(-1)
    return loss


def rating_error(found: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Weighted squared error per criterion; what nobody rated is NaN and does not count.

    `(…, responses, criteria)`, `(responses, criteria)`, `(responses,)` → `(…, criteria)`, a sum.
    """
    known = ~wanted.isnan()
    error = (found - wanted.nan_to_num()) ** 2 * known * weights[:, None]
    return error.sum(-2)


# -- DPO --------------------------------------------------------------------------------------


PER_TOKEN = ("ipo", "sigmoid_norm", "simpo", "orpo")  # compare means over a response's tokens
REFERENCE_FREE = ("simpo", "orpo")  # take log π instead of log π/π_ref


def dpo(
    chosen: Tensor,
    rejected: Tensor,
    *,
    beta: float,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
    gamma: float = 0.5,
    lengths: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """DPO losses on log ratios log π/π_ref of whole responses: `(n,)`, `(n,)` → `(n,)`.

    sigmoid: eq. 7 of the DPO paper, with `label_smoothing` cDPO; sigmoid_norm: the same on
    per-token means; robust: unbiased under flips (Chowdhury et al., eq. 11); hinge: SLiC; ipo:
    eq. 17 of the IPO paper on per-token means, as TRL; ipo_sum: on sums, as OpenRLHF; apo_zero:
    chosen up and rejected down, each on its own (APO, eq. 7). SimPO (eq. 6, with
    its target margin `gamma`) and ORPO (eq. 6-8) read plain log-probabilities. `lengths` are the
    responses' tokens, for the losses in PER_TOKEN.
    """
    if loss_type in PER_TOKEN:
        assert lengths is not None
        chosen, rejected = chosen / lengths[0], rejected / lengths[1]
    h = chosen - rejected
    match loss_type:
        case "ipo" | "ipo_sum":
            return (h - 1 / (2 * beta)) ** 2
        case "hinge":
            return F.relu(1 - beta * h)
        case "apo_zero":
            return torch.sigmoid(-beta * chosen) + torch.sigmoid(beta * rejected)
        case "simpo":
            return -F.logsigmoid(beta * h - gamma)
        case "orpo":
            log_odds = h - (log1mexp(chosen) - log1mexp(rejected))
            return -chosen - beta * F.logsigmoid(log_odds)
    kept, flipped = -F.logsigmoid(beta * h), -F.logsigmoid(-beta * h)
    e = label_smoothing
    if loss_type == "robust":
        return ((1 - e) * kept - e * flipped) / (1 - 2 * e)
    return (1 - e) * kept + e * flipped


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x below 0; -1e-6 stands for the 0 of a response that is certain."""
    return torch.log(-torch.expm1(x.clamp(max=-1e-6)))


def kto(
    ratios: Tensor,
    labels: Tensor,
    z0: Tensor,
    *,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """KTO (Ethayarajh et al., eq. 8): `(n,)` log ratios, `(n,)` bool → `(n,)`.

    `z0` is the reference point: the mean KL on mismatched pairs, not below 0, without gradient.
    """
    good = desirable_weight * (1 - torch.sigmoid(beta * (ratios - z0)))
    bad = undesirable_weight * (1 - torch.sigmoid(beta * (z0 - ratios)))
    return torch.where(labels, good, bad)


# -- PPO --------------------------------------------------------------------------------------


def kl_per_token(logps: Tensor, ref_logps: Tensor, estimator: str = "k1") -> Tensor:
    """Estimates of KL(π ‖ π_ref) on sampled tokens; k3 is never negative (Schulman 2020)."""
    log_ratio = logps - ref_logps
    if estimator == "k1":
        return log_ratio
    return torch.exp(-log_ratio) - 1 + log_ratio


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum()


def whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Mean 0 and variance 1 (unbiased) over the masked entries; others become 0.

    In 64 bit, where equal values are equal to their mean: the rest would be blown up to noise.
    """
    wide = values.double()
    mean = masked_mean(wide, mask)
    count = mask.sum()
    variance = ((wide - mean) ** 2 * mask).sum() / (count - 1).clamp(min=1)
    whitened = (wide - mean) * torch.rsqrt(variance + 1e-8)
    return ((whitened if shift_mean else whitened + mean) * mask).to(values.dtype)


def gae(rewards: Tensor, values: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman 2016, eq. 16) → advantages, returns.

    All `(episodes, time)`; values behind the end of an episode must be 0.
    """
    advantages = torch.zeros_like(rewards)
    last = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        following = values[:, t + 1] if t + 1 < rewards.shape[1] else 0.0
        delta = rewards[:, t] + gamma * following - values[:, t]
        last = delta + gamma * lam * last
        advantages[:, t] = last
    return advantages, advantages + values


def in_groups(rewards: Tensor, group: int) -> Tensor:
    """In 64 bit, where equal rewards are equal to their mean: AdamW makes a step of any rest."""
    return rewards.double().view(-1, group)


def leave_one_out(rewards: Tensor, group: int) -> Tensor:
    """Each reward less the mean of the others to its prompt (RLOO, Ahmadian et al. 2024, eq. 7).

    `(episodes,)` with the responses to a prompt one behind the other → `(episodes,)`.
    """
    own = in_groups(rewards, group)
    others = (own.sum(1, keepdim=True) - own) / (group - 1)
    return (own - others).flatten().to(rewards.dtype)


def group_advantages(rewards: Tensor, group: int, *, scale: str = "group") -> Tensor:
    """Each reward less the mean of its group, over a deviation (GRPO, DeepSeekMath §4.1.2).

    `scale` is that of the group, of the batch, or none (Dr. GRPO); with TRL the deviation is the
    unbiased one plus 1e-4. `(episodes,)` in groups → `(episodes,)`.
    """
    own = in_groups(rewards, group)
    centred = own - own.mean(1, keepdim=True)
    if scale == "group":
        centred = centred / (own.std(1, keepdim=True) + 1e-4)
    elif scale == "batch":
        centred = centred / (own.std() + 1e-4)
    return centred.flatten().to(rewards.dtype)


def ppo_policy(
    logps: Tensor, old_logps: Tensor, advantages: Tensor, cliprange: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Clipped surrogate (PPO, eq. 7), per token → loss, ratio, whether the clip decided."""
    ratio = torch.exp(logps - old_logps)
    free = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    return torch.maximum(free, clipped), ratio, (clipped > free).float()


def ppo_value(
    values: Tensor, old_values: Tensor, returns: Tensor, cliprange: float
) -> tuple[Tensor, Tensor]:
    """½ max((v - R)², (clip(v) - R)²), per token → loss, whether the clip decided."""
    near = old_values + (values - old_values).clamp(-cliprange, cliprange)
    free, clipped = (values - returns) ** 2, (near - returns) ** 2
    decided = (clipped > free) & ((values - old_values).abs() > cliprange)  # not by rounding
    return 0.5 * torch.maximum(free, clipped), decided.float()


def adapted_kl_coef(coef: float, kl: float, *, target: float, horizon: int, episodes: int) -> float:
    """Proportional control of the KL price (Ziegler et al. 2019, §2.2): at most a fifth a step.

    A batch longer than five horizons would else turn the price below 0.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coef * (1 + error * min(1.0, episodes / horizon))
