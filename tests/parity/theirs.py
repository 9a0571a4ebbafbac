"""TRL's side, run by the Python of its environment: `python theirs.py JOB.json`.

Trains every case of the job with TRL's own trainers and writes `theirs.json` beside it: the
versions, and per case the loss of each step. The gradient of the first step goes into
`CASE.safetensors`.
"""

import gc
import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

import datasets
import torch
import trl
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)


class FirstGradient(TrainerCallback):
    """Keeps the gradient of the first step."""

    def __init__(self, file):
        self.file = file

    def on_pre_optimizer_step(self, _args, state, _control, model=None, **_more):
        if state.global_step == 0:
            grads = {
                name.removeprefix("model."): p.grad.clone()
                for name, p in model.named_parameters()
                if p.grad is not None
            }
            save_file(grads, self.file)


def rows_of(folder, config, drop=()):
    file = str(folder / config / "train.jsonl.gz")
    rows = datasets.load_dataset("json", data_files=file, split="train")
    kept = {
        "preference": ["prompt", "chosen", "rejected", "margin"],
        "sft": ["messages"],
        "unpaired": ["prompt", "completion", "label"],
        "prompts": ["prompt"],
    }[config]
    return rows.select_columns([name for name in kept if name not in drop])


def losses_of(case, world, output):
    settings = dict(case["settings"])
    rows = rows_of(world / "data", case["config"], settings.pop("drop", ()))
    start = str(world / case["start"])
    loader = (
        AutoModelForSequenceClassification if case["start"] == "judge" else AutoModelForCausalLM
    )
    more = {}
    if case["trainer"] == "KTO":
        more["ref_model"] = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    package = importlib.import_module("trl.experimental.cpo") if case["trainer"] == "CPO" else trl
    trainer = getattr(package, f"{case['trainer']}Trainer")(
        model=loader.from_pretrained(start, dtype=torch.float32),
        args=getattr(package, f"{case['trainer']}Config")(output_dir=str(output), **settings),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(start),
        callbacks=[FirstGradient(output / f"{case['name']}.safetensors")],
        **more,
    )
    if case["trainer"] == "KTO":
        # Which other response stands for "any response" is a choice: take the next row's.
        ids = trainer.train_dataset["completion_ids"]
        others = [ids[(i + 1) % len(ids)] for i in range(len(ids))]
        rows = trainer.train_dataset.remove_columns("KL_completion_ids")
        trainer.train_dataset = rows.add_column("KL_completion_ids", others)
    found = []
    compute = trainer.compute_loss

    def recorded(*args, **kwargs):
        loss = compute(*args, **kwargs)
        found.append(float(loss))
        return loss

    trainer.compute_loss = recorded
    trainer.train()
    return found


def ppo(job, world, output):
    """PPO on responses that are given, in their order: sampling noise is not what is compared."""
    from trl.experimental import ppo as package
    from trl.experimental.ppo import ppo_trainer

    tokenizer = AutoTokenizer.from_pretrained(world / "model", padding_side="left")
    given = iter(job["responses"])

    def answered(policy, queries, _size, pad, config):
        said = next(given)
        width = max(map(len, said))
        rows = [row + [pad] * (width - len(row)) for row in said]
        both = torch.cat([queries, torch.tensor(rows)], 1)
        logits = ppo_trainer.forward(policy, both, pad).logits[:, queries.shape[1] - 1 : -1]
        return both, logits / config.temperature

    ppo_trainer.batch_generation = answered
    rows = rows_of(world / "data", "prompts").map(
        lambda row: {
            "input_ids": tokenizer.apply_chat_template(
                row["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False
            )
        },
        remove_columns=["prompt"],
    )

    def scorer():
        return AutoModelForSequenceClassification.from_pretrained(world / "judge", num_labels=1)

    def policy():
        return AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32)

    trainer = package.PPOTrainer(
        args=package.PPOConfig(output_dir=str(output), **job["settings"]),
        processing_class=tokenizer,
        model=policy(),
        ref_model=policy(),
        reward_model=scorer(),
        value_model=scorer(),
        train_dataset=rows,
        eval_dataset=rows.select(range(8)),
    )
    size = job["settings"]["per_device_train_batch_size"]
    trainer.dataloader = torch.utils.data.DataLoader(
        trainer.train_dataset, batch_size=size, collate_fn=trainer.data_collator
    )
    logged = []
    trainer.log = logged.append
    trainer.train()
    return logged


def main():
    file = Path(sys.argv[1])
    job = json.loads(file.read_text())
    world, output = Path(job["world"]), file.parent
    torch.set_num_threads(1)
    names = ("trl", "torch", "transformers", "accelerate", "datasets")
    found = {"versions": {name: version(name) for name in names}}
    if "responses" in job:
        found["ppo"] = ppo(job, world, output)
    else:
        found["losses"] = {}
        for case in job["cases"]:
            found["losses"][case["name"]] = losses_of(case, world, output)
            gc.collect()
    (output / "theirs.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
