"""TRL's side, run by the Python of its environment: `python theirs.py JOB.json`."""

import json
import sys
from pathlib import Path

import datasets
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from turns import Turns

COLUMNS = {
    "preference": ["prompt", "chosen", "rejected"],
    "sft": ["messages"],
    "prompts": ["prompt"],
}


class StepEnded(TrainerCallback):
    def __init__(self, turns):
        self.turns = turns

    def on_step_end(self, _args, _state, _control, **_more):
        self.turns.step_ended()


def preferences(job, rows, callbacks):
    import trl

    name = {"sft": "SFT", "reward": "Reward", "dpo": "DPO"}[job["kind"]]
    loader = AutoModelForSequenceClassification if name == "Reward" else AutoModelForCausalLM
    return getattr(trl, f"{name}Trainer")(
        model=loader.from_pretrained(job["model"], dtype=torch.float32),
        args=getattr(trl, f"{name}Config")(output_dir=job["output"], **job["settings"]),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        callbacks=callbacks,
    )


def ppo(job, rows, callbacks):
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    rows = rows.map(
        lambda row: {
            "input_ids": tokenizer.apply_chat_template(
                row["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False
            )
        },
        remove_columns=["prompt"],
    )

    def scorer():
        return AutoModelForSequenceClassification.from_pretrained(job["judge"])

    def policy():
        return AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)

    trainer = PPOTrainer(
        args=PPOConfig(output_dir=job["output"], **job["settings"]),
        processing_class=tokenizer,
        model=policy(),
        ref_model=policy(),
        reward_model=scorer(),
        value_model=scorer(),
        train_dataset=rows,
        eval_dataset=rows.select(range(8)),
        callbacks=callbacks,
    )
    trainer.dataloader = torch.utils.data.DataLoader(
        trainer.train_dataset,
        batch_size=job["settings"]["per_device_train_batch_size"],
        collate_fn=trainer.data_collator,
    )
    trainer.log = lambda _metrics: None
    return trainer


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.backends.cuda.enable_cudnn_sdp(False)  # plans for every width: its warm-up would not end
    torch.set_num_threads(job["threads"])
    callbacks = [StepEnded(Turns(job["steps"]))]
    file = str(Path(job["data"]) / job["config"] / "train.jsonl.gz")
    rows = datasets.load_dataset("json", data_files=file, split="train")
    rows = rows.select_columns(COLUMNS[job["config"]])
    make = ppo if job["kind"] == "ppo" else preferences
    make(job, rows, callbacks).train()


if __name__ == "__main__":
    main()
