"""Supervised fine-tuning: learn to say what the assistant says in the dataset."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from app.run_config import SftConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import (
    Example,
    Forward,
    encode_conversation,
    read_examples,
)
from app.trainer.chat import ChatFormat
from app.trainer.course import Course
from app.trainer.dataset import sft_row
from app.trainer.optimization import Updater, seed_everything
from app.trainer.processes import read
from app.trainer.rollout import Sampling, answers
from app.trainer.run_folder import RunFolder


def train(
    config: SftConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Minimise -log p of every assistant token, each token of a batch with equal weight."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    policy = models.with_lora(models.load_lm(model, config=config), config, scores=False)
    chat = ChatFormat(tokenizer, policy)
    chat.tell_ends(policy)
    data = read_examples(
        dataset,
        config,
        purpose="sft",
        to_row=sft_row,
        encode=partial(encode_conversation, chat=chat),
        limits=models.limits_of(policy),
    )
    if chat.rewritten:
        folder.note(
            f"{chat.rewritten} earlier turns of the assistant are not learned from: the chat "
            "template writes them differently afterwards (it may leave out thoughts)."
        )
    course = Course(config, folder, accelerator, data, policy)
    updater = Updater(accelerator, policy, config, course.steps)
    with course.steps_left(policy, tokenizer, updater) as steps:
        for step in steps:
            metrics = update(course.batch(step), updater, course.forward, step)
            if folder.eval_due(step):
                metrics |= evaluate(policy, data.test, course.forward, accelerator)
                shown = samples(policy, chat, data.test or data.train, config, accelerator)
                folder.sample(step, shown)
            course.log(step, metrics)
    course.save_model(base=model, dataset=dataset)


def update(
    batch: Sequence[Example], updater: Updater, forward: Forward, step: int
) -> dict[str, float]:
    """One step on the mean over all targets of the batch → figures for the log."""
    began = time.perf_counter()
    device = updater.accelerator.device
    count = sum(example.targets for example in batch)
    sums: dict[str, Any] = {"loss": 0.0, "right": 0.0, "tokens": 0}
    for examples, _, scale in updater.pieces(batch, forward):
        layout = forward.lay_out(examples).to(device)
        with models.autocast(device, bf16=forward.bf16):
            logits = models.target_logits(updater.model, layout).float()
        loss = -losses.logps_of(logits, layout.targets).sum() / count
        updater.backward(loss * scale)
        if scale:
            sums["loss"] += loss.detach()
            sums["right"] += (logits.detach().argmax(-1) == layout.targets).sum()
            sums["tokens"] += layout.tokens
    totals = updater.total(sums)
    return {
        "loss": totals["loss"],
        "mean_token_accuracy": totals["right"] / count,
        **updater.step(step, totals["loss"]),
        "tokens_per_second": totals["tokens"] / (time.perf_counter() - began),
    }


@torch.no_grad()
def evaluate(
    policy: Any, test: Sequence[Example], forward: Forward, accelerator: Accelerator
) -> dict[str, float]:
    """Mean loss and accuracy over all assistant tokens of the test split."""
    if not test:
        return {}
    policy.eval()
    said = read(accelerator, test, forward, partial(hits, policy, forward))
    policy.train()
    logps, right = torch.stack(said).double().sum(0).tolist()
    count = sum(example.targets for example in test)
    return {"eval_loss": -logps / count, "eval_mean_token_accuracy": right / count}


@torch.no_grad()
def hits(policy: Any, forward: Forward, examples: Sequence[Example]) -> list[Tensor]:
    """Log-probability of what is said, and how many tokens of it are the likeliest: `(2,)` each."""
    layout = forward.lay_out(examples).to(policy.device)
    with models.autocast(policy.device, bf16=forward.bf16):
        logits = models.target_logits(policy, layout).float()
    logps = losses.logps_of(logits, layout.targets)
    right = (logits.argmax(-1) == layout.targets).float()
    each = torch.stack([logps, right], dim=1)
    return list(losses.sum_by(each, layout.owners, layout.responses).cpu())


def samples(
    policy: Any,
    chat: ChatFormat,
    examples: Sequence[Example],
    config: SftConfig,
    accelerator: Accelerator,
) -> list[dict[str, Any]]:
    """Greedy continuations of a few prompts, beside what the dataset says."""
    shown = [e for e in examples if e.prompt][: config.num_samples]
    sampling = Sampling(config.max_new_tokens, temperature=0)
    responses = answers(policy, chat, shown, sampling, accelerator, seed=0, bf16=config.bf16)
    return [
        {
            "prompt": chat.decode(example.prompt),
            "response": chat.decode(response),
            "reference": chat.decode(example.responses[0]),
        }
        for example, response in zip(shown, responses, strict=True)
    ]
