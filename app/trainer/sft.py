"""Supervised fine-tuning: learn to say what the assistant says in the dataset."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from app.run_config import SftConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import (
    Example,
    Forward,
    Sampler,
    batch_size,
    encode_conversation,
    lay_out,
    pieces,
    read_examples,
)
from app.trainer.chat import ChatFormat
from app.trainer.dataset import sft_row
from app.trainer.failures import Cancelled
from app.trainer.optimization import Updater, seed_everything, total_steps
from app.trainer.rollout import Sampling, generate
from app.trainer.run_folder import RunFolder


def train(
    config: SftConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Minimise -log p of every assistant token, each token of a batch with equal weight."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    chat = ChatFormat(tokenizer)
    policy = models.with_lora(models.load_lm(model), config, scores=False)
    data = read_examples(
        dataset,
        config,
        purpose="sft",
        to_row=sft_row,
        encode=partial(encode_conversation, chat=chat),
        limits=models.limits_of(policy),
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
        start={"model": models.fingerprint(policy), "data": data.fingerprint()},
    )
    updater = Updater(accelerator, policy, config, steps)
    packable = folder.packs(models.can_pack(policy, longest=config.max_length))
    forward = Forward.of(config, accelerator.device, packable=packable)

    done = 0
    if found := folder.load_checkpoint():
        done, checkpoint, state = found
        models.load_weights(policy, checkpoint / "model")
        updater.load(state)

    def save(step: int) -> None:
        state = updater.state() | {"sampler": sampler.state(step)}
        folder.save_checkpoint(
            step, lambda path: models.save(policy, tokenizer, path / "model"), state
        )

    try:
        for step in range(done + 1, steps + 1):
            began = time.perf_counter()
            batch = [data.train[i] for i in sampler.batch(step - 1)]
            count = sum(example.targets for example in batch)
            sums: dict[str, Any] = {"loss": 0.0, "right": 0.0, "tokens": 0}
            for examples, _, scale in updater.pieces(batch, forward):
                layout = lay_out(examples, packed=forward.packed).to(accelerator.device)
                with models.autocast(accelerator.device, bf16=forward.bf16):
                    logits = models.target_logits(updater.model, layout).float()
                loss = -losses.logps_of(logits, layout.targets).sum() / count
                updater.backward(loss * scale)
                if scale:
                    sums["loss"] += loss.detach()
                    sums["right"] += (logits.detach().argmax(-1) == layout.targets).sum()
                    sums["tokens"] += layout.tokens
            totals = updater.total(sums)
            metrics = {
                "loss": totals["loss"],
                "mean_token_accuracy": totals["right"] / count,
                **updater.step(step, totals["loss"]),
                "tokens_per_second": totals["tokens"] / (time.perf_counter() - began),
            }
            if folder.eval_due(step):
                metrics |= evaluate(policy, data.test, forward)
                folder.sample(step, samples(policy, chat, data.test or data.train, config))
            folder.log(step, metrics)
            if folder.save_due(step):
                save(step)
    except Cancelled:
        save(folder.step)
        raise
    folder.save_model(
        lambda path: models.save(policy, tokenizer, path), base=model, dataset=dataset
    )


@torch.no_grad()
def evaluate(policy: Any, test: Sequence[Example], forward: Forward) -> dict[str, float]:
    """Mean loss and accuracy over all assistant tokens of the test split."""
    if not test:
        return {}
    policy.eval()
    loss, right, count = 0.0, 0, 0
    for group in pieces(test, forward):
        layout = lay_out([test[i] for i in group], packed=forward.packed).to(policy.device)
        with models.autocast(policy.device, bf16=forward.bf16):
            logits = models.target_logits(policy, layout).float()
        loss -= float(losses.logps_of(logits, layout.targets).sum())
        right += int((logits.argmax(-1) == layout.targets).sum())
        count += layout.targets.numel()
    policy.train()
    return {"eval_loss": loss / count, "eval_mean_token_accuracy": right / count}


def samples(
    policy: Any, chat: ChatFormat, examples: Sequence[Example], config: SftConfig
) -> list[dict[str, Any]]:
    """Greedy continuations of a few prompts, beside what the dataset says."""
    shown = [e for e in examples if e.prompt][: config.num_samples]
    if not shown:
        return []
    responses = generate(
        policy,
        [example.prompt for example in shown],
        Sampling(config.max_new_tokens, temperature=0),
        stop_ids=chat.stop_ids,
        seeds=[0] * len(shown),
        batch_size=len(shown),
        bf16=config.bf16,
    )
    return [
        {
            "prompt": chat.decode(example.prompt),
            "response": chat.decode(response),
            "reference": chat.decode(example.responses[0]),
        }
        for example, response in zip(shown, responses, strict=True)
    ]
