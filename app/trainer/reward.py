"""Reward model: a score per response, fitted to comparisons and rankings."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from app.run_config import RewardConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import (
    Example,
    Forward,
    Sampler,
    batch_size,
    encode_responses,
    pieces,
    read_examples,
)
from app.trainer.chat import ChatFormat
from app.trainer.dataset import comparison_row
from app.trainer.failures import Cancelled
from app.trainer.optimization import Updater, seed_everything, total_steps
from app.trainer.rollout import readable
from app.trainer.run_folder import RunFolder


def train(
    config: RewardConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Minimise the weighted mean over tasks; all responses of a task are scored in one pass."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    bare = models.load_reward_model(model, tokenizer)
    chat = ChatFormat(tokenizer)
    data = read_examples(
        dataset,
        config,
        purpose="reward",
        to_row=comparison_row,
        encode=partial(encode_responses, chat=chat, ties=config.ranking_ties),
        limits=models.limits_of(bare),
    )
    folder.describe_data(data.figures, data.sentences)
    sampler = Sampler(
        [example.length for example in data.train],
        batch=batch_size(config, accelerator.num_processes),
        seed=config.seed,
        shuffle=config.shuffle,
        group=config.group_by_length,
    )
    steps = total_steps(config, sampler.steps_per_epoch)
    folder.plan(
        total_steps=steps,
        steps_per_epoch=sampler.steps_per_epoch,
        start={"model": models.fingerprint(bare), "data": data.fingerprint()},
    )
    packable = folder.packs(models.can_pack(bare, longest=config.max_length))
    forward = Forward.of(config, accelerator.device, packable=packable)
    scorer = models.Scorer(models.with_lora(bare, config, scores=True))
    updater = Updater(accelerator, scorer, config, steps)

    done = 0
    if found := folder.load_checkpoint():
        done, checkpoint, state = found
        models.load_weights(scorer.model, checkpoint / "model")
        updater.load(state)

    def save(step: int) -> None:
        state = updater.state() | {"sampler": sampler.state(step)}
        folder.save_checkpoint(
            step, lambda path: models.save(scorer.model, tokenizer, path / "model"), state
        )

    try:
        for step in range(done + 1, steps + 1):
            began = time.perf_counter()
            batch = [data.train[i] for i in sampler.batch(step - 1)]
            weight = sum(weight_of(example, config) for example in batch) or 1.0
            sums: dict[str, Any] = dict.fromkeys(
                ("loss", "right", "margin", "pairs", "tokens"), 0.0
            )
            scores: list[Tensor] = []
            for examples, _, scale in updater.pieces(batch, forward):
                layout = forward.lay_out(examples).to(accelerator.device)
                with models.autocast(accelerator.device, bf16=forward.bf16):
                    found_scores = updater.model(layout, layout.ends)
                loss = found_scores.new_zeros(())
                for example, own in by_example(examples, found_scores):
                    loss = loss + task_loss(example, own, config) / weight
                    if scale:
                        add_figures(sums, example, own.detach())
                updater.backward(loss * scale)
                if scale:
                    sums["loss"] += loss.detach()
                    sums["tokens"] += layout.tokens
                    scores.append(found_scores.detach())
            totals = updater.total(sums)
            metrics = {
                "loss": totals["loss"],
                **pair_figures(totals),
                **updater.spread(scores),
                **updater.step(step, totals["loss"]),
                "tokens_per_second": totals["tokens"] / (time.perf_counter() - began),
            }
            if folder.eval_due(step):
                found_eval, rows = evaluate(scorer, chat, data.test, config, forward)
                metrics |= found_eval
                folder.sample(step, rows[: config.num_samples])
            folder.log(step, metrics)
            if folder.save_due(step):
                save(step)
    except Cancelled:
        save(folder.step)
        raise
    bare.config.score_mean = folder.last.get("eval_score_mean", 0.0)
    bare.config.score_std = folder.last.get("eval_score_std", 1.0)
    folder.save_model(
        lambda path: models.save(scorer.model, tokenizer, path), base=model, dataset=dataset
    )


def weight_of(example: Example, config: RewardConfig) -> float:
    return example.row.weight if config.use_weights else 1.0


def by_example(examples: Sequence[Example], scores: Tensor) -> list[tuple[Example, Tensor]]:
    """Cut scores, which run over all responses, into those of each example."""
    parts = scores.split([len(example.responses) for example in examples])
    return list(zip(examples, parts, strict=True))


def task_loss(example: Example, scores: Tensor, config: RewardConfig) -> Tensor:
    """Weighted loss of one task: the mean over its pairs (InstructGPT eq. 1), or Plackett–Luce."""
    row = example.row
    pairs = losses.comparisons_of(row.ranks, ties=config.ranking_ties)
    if not pairs:
        return scores.sum() * 0.0
    first = scores[[i for i, _, _ in pairs]]
    second = scores[[j for _, j, _ in pairs]]
    if config.ranking_loss == "plackett_luce" and len(row.ranks) > 2:
        loss = losses.plackett_luce(scores, row.ranks, ties=config.ranking_ties)
    else:
        p = scores.new_tensor([p for _, _, p in pairs])
        if len(row.ranks) == 2 and config.soft_labels:
            p = p * row.p if row.p != 1.0 else p
        margin = row.margin if config.use_margin else 0.0
        loss = losses.bradley_terry(first - second, p=p, margin=margin).mean()
    if config.center_rewards_coefficient:  # arXiv 2312.09244, eq. 2
        loss = loss + config.center_rewards_coefficient * ((first + second) ** 2).mean()
    return weight_of(example, config) * loss


def add_figures(sums: dict[str, Any], example: Example, scores: Tensor) -> None:
    """Count right pairs (equal scores are half right) over the strict pairs of a task."""
    pairs = losses.comparisons_of(example.row.ranks, ties="drop")
    if not pairs:
        return
    delta = scores[[i for i, _, _ in pairs]] - scores[[j for _, j, _ in pairs]]
    sums["right"] += ((delta > 0).float() + 0.5 * (delta == 0)).sum()
    sums["margin"] += delta.sum()
    sums["pairs"] += len(pairs)


def pair_figures(totals: dict[str, float]) -> dict[str, float]:
    """Accuracy and margin; left out where a batch has ties alone."""
    if not totals["pairs"]:
        return {}
    return {
        "accuracy": totals["right"] / totals["pairs"],
        "margin": totals["margin"] / totals["pairs"],
    }


@torch.no_grad()
def evaluate(
    scorer: models.Scorer,
    chat: ChatFormat,
    test: Sequence[Example],
    config: RewardConfig,
    forward: Forward,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Figures on the test split, and its pairs with their scores for people to read."""
    if not test:
        return {}, []
    scorer.eval()
    device = scorer.model.device
    scores: dict[int, Tensor] = {}
    for group in pieces(test, forward):
        layout = forward.lay_out([test[i] for i in group]).to(device)
        with models.autocast(device, bf16=forward.bf16):
            found = scorer(layout, layout.ends).cpu()
        for i, (_, own) in zip(group, by_example([test[i] for i in group], found), strict=True):
            scores[i] = own
    scorer.train()
    sums: dict[str, Any] = dict.fromkeys(("right", "margin", "pairs", "longer"), 0.0)
    loss = weight = 0.0
    for i, example in enumerate(test):
        loss += float(task_loss(example, scores[i], config))
        weight += weight_of(example, config)
        add_figures(sums, example, scores[i])
        sums["longer"] += longer_wins(example)
    every = torch.cat([scores[i] for i in range(len(test))])
    figures = {
        "eval_loss": loss / weight if weight else 0.0,
        "eval_score_mean": float(every.mean()),
        "eval_score_std": float(every.std(correction=0)) or 1.0,
        "eval_pairs": float(sums["pairs"]),
    }
    if sums["pairs"]:
        figures |= {f"eval_{k}": float(v) for k, v in pair_figures(sums).items()}
        figures["eval_longer_wins"] = sums["longer"] / sums["pairs"]
    return figures, [judged(test[i], scores[i], chat) for i in range(len(test))]


def longer_wins(example: Example) -> float:
    """How many strict pairs the rule "the longer text wins" gets right (equal: one half)."""
    lengths = [sum(len(m["content"]) for m in reply) for reply in example.row.replies]
    right = 0.0
    for i, j, _ in losses.comparisons_of(example.row.ranks, ties="drop"):
        right += 0.5 if lengths[i] == lengths[j] else float(lengths[i] > lengths[j])
    return right


def judged(example: Example, scores: Tensor, chat: ChatFormat) -> dict[str, Any]:
    """One sample row: the best-ranked response with its score, beside all with theirs."""
    best = min(range(len(example.responses)), key=lambda i: example.row.ranks[i])
    texts = [chat.decode(response) for response in example.responses]
    return {
        "prompt": readable(example.row),
        "response": texts[best],
        "score": round(float(scores[best]), 4),
        "responses": [
            {"response": text, "score": round(float(score), 4), "rank": rank}
            for text, score, rank in zip(texts, scores, example.row.ranks, strict=True)
        ],
    }
