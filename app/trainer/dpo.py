"""Direct preference optimisation on pairs and rankings, and KTO on single responses."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from app.run_config import DpoConfig
from app.trainer import kto, losses
from app.trainer import lm as models
from app.trainer.batches import Example, Forward, encode_responses, read_examples
from app.trainer.chat import ChatFormat, readable
from app.trainer.course import Course
from app.trainer.dataset import comparison_row, unpaired_row
from app.trainer.judges import watching
from app.trainer.monitors import Reader
from app.trainer.optimization import Updater, seed_everything
from app.trainer.processes import put_together, read
from app.trainer.reference import NoReference, Reference, sequence_logps
from app.trainer.rollout import Sampling, answers
from app.trainer.run_folder import RunFolder


def train(
    config: DpoConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Raise the chosen responses over the rejected, measured against the frozen start."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    bare = models.load_lm(model, config=config)
    chat = ChatFormat(tokenizer, bare)
    chat.tell_ends(bare)
    unpaired = config.loss_type == "kto"
    data = read_examples(
        dataset,
        config,
        purpose="kto" if unpaired else "dpo",
        to_row=unpaired_row if unpaired else comparison_row,
        encode=partial(encode_responses, chat=chat, ties="drop"),
        limits=models.limits_of(bare),
    )
    course = Course(config, folder, accelerator, data, bare)
    forward, visited = course.forward, course.sampler.visited(course.steps)

    # The model is still the reference here: read its log-probabilities once, before it moves.
    bare.to(accelerator.device)
    if config.loss_type in losses.REFERENCE_FREE:
        reference: Reference = NoReference(bare, folder, accelerator, forward)
    else:
        reference = Reference(bare, folder, accelerator, forward)
    references = reference.logps(data.train, visited, "train")
    tests = reference.logps(data.test, range(len(data.test)), "test")
    if unpaired:
        folder.note_if(kto.imbalance([example.row.label for example in data.train], config))
        longest = min(config.max_length, models.limits_of(bare).context)
        others = kto.mismatched(data.train, longest)
        other_references = reference.logps(others, visited, "mismatched")

    policy = models.with_lora(bare, config, scores=False)
    updater = Updater(accelerator, policy, config, course.steps)
    judge = watching(config, chat, accelerator.device)
    reader = Reader(config, chat, data.test or data.train, folder, judge, accelerator)
    of_policy = partial(sequence_logps, policy, forward=forward)

    def evaluated() -> dict[str, float]:
        logps = read(accelerator, data.test, forward, of_policy)
        return evaluate(data.test, logps, list(tests.values()), config)

    with course.steps_left(policy, tokenizer, updater, beside=reader) as steps:
        for step in steps:
            began, rows, over = time.perf_counter(), course.indices(step), False
            z0 = 0.0
            if unpaired:
                elsewhere = [others[i] for i in rows]
                frozen = [other_references[i] for i in rows]
                z0 = kto.reference_point(read(accelerator, elsewhere, forward, of_policy), frozen)
            batch, frozen = course.batch(step), [references[i] for i in rows]
            metrics = update(batch, frozen, config, updater, forward, step, z0=z0)
            metrics["tokens_per_second"] = metrics.pop("tokens") / (time.perf_counter() - began)
            if folder.eval_due(step):
                metrics |= evaluated()
                figures, over = reader.look(policy, step, score=margin(metrics))
                if over:  # with other weights, those that stay
                    metrics |= evaluated()
                metrics |= figures
                shown = samples(policy, chat, data.test or data.train, config, accelerator)
                folder.sample(step, shown)
            course.log(step, metrics, last=over)
            if over:
                break
    course.save_model(base=model, dataset=dataset)


def update(
    batch: Sequence[Example],
    references: Sequence[Tensor],
    config: DpoConfig,
    updater: Updater,
    forward: Forward,
    step: int,
    *,
    z0: float = 0.0,
) -> dict[str, float]:
    """One step on the weighted mean over the batch → figures for the log, and `tokens`."""
    device = updater.accelerator.device
    weight = sum(weight_of(example, config) for example in batch) or 1.0
    sums: dict[str, Any] = dict.fromkeys(("loss", "tokens", *FIGURES), 0.0)
    seen, ratios = list[int](), list[Tensor]()
    for examples, places, scale in updater.pieces(batch, forward):
        layout = forward.lay_out(examples).to(device)
        with models.autocast(device, bf16=forward.bf16):
            logps = models.target_logps(updater.model, layout)
        sequence = losses.sum_by(logps, layout.owners, layout.responses)
        frozen = torch.cat([references[i] for i in places]).to(device)
        loss, figures = batch_loss(examples, sequence, frozen, config, z0=z0)
        updater.backward(loss / weight * scale)
        if scale:
            sums["loss"] += loss.detach() / weight
            sums["tokens"] += layout.tokens
            for name, value in figures.items():
                sums[name] += value
            if config.loss_type == "kto":
                seen += places
                ratios += (sequence.detach() - frozen).cpu()
    totals = updater.total(sums)
    if config.loss_type == "kto":  # whose pairs reach over forward passes and processes
        ratios = put_together(updater.accelerator, seen, ratios)
        pairs = kto.right_pairs(batch, torch.stack(ratios))
        totals |= {name: float(value) for name, value in pairs.items()}
    return {
        "loss": totals["loss"],
        **named(totals),
        **({"kl": z0} if config.loss_type == "kto" else {}),
        **updater.step(step, totals["loss"]),
        "tokens": totals["tokens"],
    }


def weight_of(example: Example, config: DpoConfig) -> float:
    return example.row.weight if config.use_weights else 1.0


def margin(metrics: dict[str, float]) -> float:
    """How far chosen and rejected are apart, on unseen pairs where there are any."""
    return metrics.get("eval_rewards/margins", metrics.get("rewards/margins", 0.0))


FIGURES = (
    "chosen", "rejected", "chosen_logps", "rejected_logps", "chosen_count", "rejected_count",
    "right", "pairs",
)  # fmt: skip


def batch_loss(
    examples: Sequence[Example],
    logps: Tensor,
    reference: Tensor,
    config: DpoConfig,
    *,
    z0: float = 0.0,
) -> tuple[Tensor, dict[str, Any]]:
    """Weighted sum of the losses of some examples, and sums for the log.

    `logps` and `reference` are those of whole responses, over all examples in order. A ranking
    counts as the mean over its pairs.
    """
    if config.loss_type == "kto":
        weights = [weight_of(example, config) for example in examples]
        return kto.batch_loss(examples, logps, reference, weights, config, z0=z0)
    first, second, weights, shares, lengths = [], [], [], [], []
    start = 0
    for example in examples:
        row = example.row
        pairs = losses.comparisons_of(row.ranks, ties="drop")
        for i, j, _ in pairs:
            first.append(start + i)
            second.append(start + j)
            weights.append(weight_of(example, config) / len(pairs))
            shares.append(row.p if config.soft_labels and len(row.ranks) == 2 else 1.0)
        lengths += [len(response) for response in example.responses]
        start += len(example.responses)
    ratios = logps - reference
    sizes = ratios.new_tensor(lengths)

    def loss_of(better: list[int], worse: list[int]) -> Tensor:
        return losses.dpo(
            ratios[better],
            ratios[worse],
            beta=config.beta,
            loss_type=config.loss_type,
            label_smoothing=config.label_smoothing,
            gamma=config.simpo_gamma,
            lengths=(sizes[better], sizes[worse]),
        )

    each = loss_of(first, second)
    if min(shares, default=1.0) < 1.0:  # a split vote counts both ways
        p = each.new_tensor(shares)
        each = p * each + (1 - p) * loss_of(second, first)
    compared = ratios / sizes if config.loss_type in losses.REFERENCE_FREE else ratios
    rewards = config.beta * compared.detach()
    delta = rewards[first] - rewards[second]
    figures = {
        "chosen": rewards[first].sum(),
        "rejected": rewards[second].sum(),
        "chosen_logps": logps.detach()[first].sum(),
        "rejected_logps": logps.detach()[second].sum(),
        "chosen_count": len(first),
        "rejected_count": len(first),
        "right": ((delta > 0).float() + 0.5 * (delta == 0)).sum(),
        "pairs": len(first),
    }
    return (each * each.new_tensor(weights)).sum(), figures


def named(totals: dict[str, float]) -> dict[str, float]:
    """Sums → means under TRL's names; what a batch has nothing of is left out."""
    figures = {}
    for side in ("chosen", "rejected"):
        if count := totals[f"{side}_count"]:
            figures[f"rewards/{side}"] = totals[side] / count
            figures[f"logps/{side}"] = totals[f"{side}_logps"] / count
    if "rewards/chosen" in figures and "rewards/rejected" in figures:
        figures["rewards/margins"] = figures["rewards/chosen"] - figures["rewards/rejected"]
    if totals["pairs"]:
        figures["rewards/accuracies"] = totals["right"] / totals["pairs"]
    return figures


def evaluate(
    test: Sequence[Example],
    logps: Sequence[Tensor],
    references: Sequence[Tensor],
    config: DpoConfig,
) -> dict[str, float]:
    """Loss, implicit rewards and accuracy on the test split (KTO's loss at z0 = 0)."""
    if not test:
        return {}
    loss, figures = batch_loss(test, torch.cat(list(logps)), torch.cat(list(references)), config)
    weight = sum(weight_of(example, config) for example in test) or 1.0
    means = named({name: float(value) for name, value in figures.items()})
    return {"eval_loss": float(loss) / weight} | {f"eval_{k}": v for k, v in means.items()}


def samples(
    policy: Any,
    chat: ChatFormat,
    examples: Sequence[Example],
    config: DpoConfig,
    accelerator: Accelerator,
) -> list[dict[str, Any]]:
    """Responses of the policy to a few prompts, beside those the dataset compares."""
    shown = list(examples[: config.num_samples])
    sampling, seed = Sampling(config.max_new_tokens, config.temperature), config.seed
    responses = answers(policy, chat, shown, sampling, accelerator, seed=seed, bf16=config.bf16)
    rows = []
    for example, response in zip(shown, responses, strict=True):
        row: dict[str, Any] = {
            "prompt": readable(example.row.prompt),
            "response": chat.decode(response),
        }
        if example.row.ranks:
            best = min(range(len(example.responses)), key=example.row.ranks.__getitem__)
            row["chosen"] = chat.decode(example.responses[best])
        rows.append(row)
    return rows
