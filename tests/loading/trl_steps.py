"""One training step of each of TRL's trainers on a dataset folder, as it is.

Run by the Python of an environment that has TRL: `python trl_steps.py FOLDER MODEL`. Prints one
JSON object: the versions, and per trainer what it was given and the loss of its step.
"""

import json
import sys
import tempfile
from importlib.metadata import version

import datasets
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

try:
    from trl import KTOConfig, KTOTrainer
except ImportError:
    from trl.experimental.kto import KTOConfig, KTOTrainer

TRAINERS = {
    "reward": (RewardTrainer, RewardConfig, "preference"),
    "dpo": (DPOTrainer, DPOConfig, "preference"),
    "sft": (SFTTrainer, SFTConfig, "sft"),
    "kto": (KTOTrainer, KTOConfig, "unpaired"),
}


def step(kind: str, folder: str, model: str) -> dict[str, object]:
    trainer_class, config_class, config = TRAINERS[kind]
    rows = datasets.load_dataset(folder, config, split="train")
    tokenizer = AutoTokenizer.from_pretrained(model)
    if kind == "reward":
        lm = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
    else:
        lm = AutoModelForCausalLM.from_pretrained(model)
    more = {"ref_model": AutoModelForCausalLM.from_pretrained(model)} if kind == "kto" else {}
    with tempfile.TemporaryDirectory() as output:
        trainer = trainer_class(
            model=lm,
            args=config_class(
                output_dir=output,
                max_steps=1,
                per_device_train_batch_size=4,
                report_to=[],
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=rows,
            processing_class=tokenizer,
            **more,
        )
        result = trainer.train()
    return {"rows": len(rows), "columns": rows.column_names, "loss": result.training_loss}


def main() -> None:
    folder, model = sys.argv[1:]
    names = ("trl", "torch", "transformers", "datasets")
    said: dict[str, object] = {"versions": {name: version(name) for name in names}}
    for kind in TRAINERS:
        said[kind] = step(kind, folder, model)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
