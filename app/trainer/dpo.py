"""Direct preference optimisation on pairs and rankings, and KTO on single responses."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from app.run_config import DpoConfig
from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import (
    Example,
    Forward,
    Sampler,
    batch_size,
    encode_responses,
    read_examples,
)
from app.trainer.chat import ChatFormat
from app.trainer.dataset import comparison_row, unpaired_row
from app.trainer.failures import Cancelled
from app.trainer.optimization import Updater, seed_everything, total_steps
from app.trainer.reference import cached_logps, content_key, sequence_logps
from app.trainer.rollout import Sampling, generate, noise_seed, readable
from app.trainer.run_folder import RunFolder


def train(
    config: DpoConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Raise the chosen responses over the rejected, measured against the frozen start."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    chat = ChatFormat(tokenizer)
    bare = models.load_lm(model)
    kto = config.loss_type == "kto"
    data = read_examples(
        dataset,
        config,
        purpose="kto" if kto else "dpo",
        to_row=unpaired_row if kto else comparison_row,
        encode=partial(encode_responses, chat=chat, ties="drop"),
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

    # The model is still the reference here: read its log-probabilities once, before it moves.
    bare.to(accelerator.device)

    def reference(examples: Sequence[Example], name: str) -> list[Tensor]:
        key = content_key(bare, examples, forward)
        # the others wait meanwhile, so they cannot be asked whether to stop
        check = folder.check if accelerator.num_processes == 1 else None
        compute = partial(sequence_logps, bare, examples, forward, check=check)
        with accelerator.main_process_first():
            file = folder.path / "reference" / f"{name}.safetensors"
            return cached_logps(file, key, examples, compute)

    visited = sampler.visited(steps)
    used = [data.train[i] for i in visited]
    references = dict(zip(visited, reference(used, "train"), strict=True))
    test_references = reference(data.test, "test")
    others = mismatched(data.train, config.max_length) if kto else []
    if kto:
        used = [others[i] for i in visited]
        other_references = dict(zip(visited, reference(used, "mismatched"), strict=True))

    policy = models.with_lora(bare, config, scores=False)
    updater = Updater(accelerator, policy, config, steps)
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
            indices = sampler.batch(step - 1)
            batch = [data.train[i] for i in indices]
            weight = sum(weight_of(example, config) for example in batch) or 1.0
            z0 = 0.0
            if kto:
                policy_logps = sequence_logps(policy, [others[i] for i in indices], forward)
                drift = [
                    p - other_references[i] for p, i in zip(policy_logps, indices, strict=True)
                ]
                z0 = max(0.0, float(torch.cat(drift).mean()))
            sums: dict[str, Any] = dict.fromkeys(("loss", "tokens", *FIGURES), 0.0)
            for examples, places, scale in updater.pieces(batch, forward):
                layout = forward.lay_out(examples).to(accelerator.device)
                with models.autocast(accelerator.device, bf16=forward.bf16):
                    logps = models.target_logps(updater.model, layout)
                sequence = losses.sum_by(logps, layout.owners, layout.responses)
                frozen = torch.cat([references[indices[i]] for i in places]).to(sequence.device)
                loss, figures = batch_loss(examples, sequence, frozen, config, z0=z0)
                updater.backward(loss / weight * scale)
                if scale:
                    sums["loss"] += loss.detach() / weight
                    sums["tokens"] += layout.tokens
                    for name, value in figures.items():
                        sums[name] += value
            totals = updater.total(sums)
            metrics = {
                "loss": totals["loss"],
                **named(totals),
                **({"kl": z0} if kto else {}),
                **updater.step(step, totals["loss"]),
                "tokens_per_second": totals["tokens"] / (time.perf_counter() - began),
            }
            if folder.eval_due(step):
                metrics |= evaluate(policy, data.test, test_references, config, forward)
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


def weight_of(example: Example, config: DpoConfig) -> float:
    return example.row.weight if config.use_weights else 1.0


def mismatched(examples: Sequence[Example], max_length: int) -> list[Example]:
    """Each prompt with the response to another one, the next in the file that fits (KTO)."""
    count = len(examples)
    found = []
    for i, example in enumerate(examples):
        room = max_length - len(example.prompt)
        after = (examples[(i + k) % count] for k in range(1, count))
        other = next(
            (e for e in after if e.prompt != example.prompt and len(e.responses[0]) <= room),
            examples[(i + 1) % count],
        )
        found.append(replace(example, responses=(other.responses[0][:room],)))
    return found


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
        return kto_loss(examples, logps, reference, config, z0=z0)
    first, second, weights, lengths = [], [], [], []
    start = 0
    for example in examples:
        pairs = losses.comparisons_of(example.row.ranks, ties="drop")
        for i, j, _ in pairs:
            first.append(start + i)
            second.append(start + j)
            weights.append(weight_of(example, config) / len(pairs))
        lengths += [len(response) for response in example.responses]
        start += len(example.responses)
    ratios = logps - reference
    sizes = ratios.new_tensor(lengths)
    each = losses.dpo(
        ratios[first],
        ratios[second],
        beta=config.beta,
        loss_type=config.loss_type,
        label_smoothing=config.label_smoothing,
        lengths=(sizes[first], sizes[second]),
    )
    rewards = config.beta * ratios.detach()
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


def kto_loss(
    examples: Sequence[Example],
    logps: Tensor,
    reference: Tensor,
    config: DpoConfig,
    *,
    z0: float,
) -> tuple[Tensor, dict[str, Any]]:
    """As `batch_loss`, on single responses; accuracy compares every good with every bad one."""
    good = torch.tensor([example.row.label for example in examples], device=logps.device)
    ratios = logps - reference
    each = losses.kto(
        ratios,
        good,
        ratios.new_tensor(z0),
        beta=config.beta,
        desirable_weight=config.desirable_weight,
        undesirable_weight=config.undesirable_weight,
    )
    weights = each.new_tensor([weight_of(example, config) for example in examples])
    rewards, own = config.beta * ratios.detach(), logps.detach()
    delta = rewards[good][:, None] - rewards[~good]
    figures = {
        "chosen": rewards[good].sum(),
        "rejected": rewards[~good].sum(),
        "chosen_logps": own[good].sum(),
        "rejected_logps": own[~good].sum(),
        "chosen_count": int(good.sum()),
        "rejected_count": int((~good).sum()),
        "right": ((delta > 0).float() + 0.5 * (delta == 0)).sum(),
        "pairs": delta.numel(),
    }
    return (each * weights).sum(), figures


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
    policy: Any,
    test: Sequence[Example],
    references: Sequence[Tensor],
    config: DpoConfig,
    forward: Forward,
) -> dict[str, float]:
    """Loss, implicit rewards and accuracy on the test split (KTO's loss at z0 = 0)."""
    if not test:
        return {}
    logps = torch.cat(sequence_logps(policy, test, forward))
    loss, figures = batch_loss(test, logps, torch.cat(list(references)), config)
    weight = sum(weight_of(example, config) for example in test) or 1.0
    means = named({name: float(value) for name, value in figures.items()})
    return {"eval_loss": float(loss) / weight} | {f"eval_{k}": v for k, v in means.items()}


def samples(
    policy: Any, chat: ChatFormat, examples: Sequence[Example], config: DpoConfig
) -> list[dict[str, Any]]:
    """Responses of the policy to a few prompts, beside those the dataset compares."""
    shown = list(examples[: config.num_samples])
    if not shown:
        return []
    responses = generate(
        policy,
        [example.prompt for example in shown],
        Sampling(config.max_new_tokens, config.temperature),
        stop_ids=chat.stop_ids,
        seeds=[noise_seed(config.seed, i) for i in range(len(shown))],
        batch_size=len(shown),
        bf16=config.bf16,
    )
    rows = []
    for example, response in zip(shown, responses, strict=True):
        row: dict[str, Any] = {"prompt": readable(example.row), "response": chat.decode(response)}
        if example.row.ranks:
            best = min(range(len(example.responses)), key=example.row.ranks.__getitem__)
            row["chosen"] = chat.decode(example.responses[best])
        rows.append(row)
    return rows
