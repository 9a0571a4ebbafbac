"""The model card: what a finished model is, written for people and for the hub's metadata."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # a folder is no name for the hub to read
NAMES = {
    "sft": "supervised fine-tuning",
    "reward": "reward model",
    "dpo": "direct preference optimisation",
    "ppo": "proximal policy optimisation",
    "rloo": "REINFORCE leave-one-out",
    "grpo": "group relative policy optimisation",
}


def model_card(
    kind: str,
    *,
    base: str,
    dataset: str,
    metrics: Mapping[str, float],
    settings: Mapping[str, Any],
    sentences: Iterable[str] = (),
) -> str:
    """Markdown with a YAML head (JSON values, which YAML reads)."""
    adapter = bool(settings.get("lora_r"))
    scores, method = kind == "reward", str(settings.get("algorithm", kind))
    head: dict[str, Any] = {
        **({"base_model": base} if HUB_ID.fullmatch(base) else {}),
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-classification" if scores else "text-generation",
        "tags": ["touchstone", "reward-model" if scores else method]
        + (["lora"] if adapter else []),
    }
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---", ""]
    lines += [
        f"# {base.rstrip('/').rsplit('/', 1)[-1]}: {NAMES[method]}",
        "",
        f"Trained from `{base}` on the dataset `{dataset}` by Touchstone ({NAMES[method]}).",
        "",
    ]
    if scores:
        lines += [
            "One score per conversation: `AutoModelForSequenceClassification` with one label, or",
            "one per objective, the preference first. A higher score means that people would",
            "rather have this response; only differences between responses to one prompt mean",
            "anything.",
            "",
        ]
    if told := [f"- {sentence}" for sentence in sentences]:
        lines += ["## How good it is", "", *told, ""]
    lines += ["## Figures at the end", "", "| figure | value |", "|---|---|"]
    lines += [f"| {name} | {value:.6g} |" for name, value in sorted(metrics.items())]
    lines += ["", "## Settings", "", "| setting | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in sorted(settings.items())]
    return "\n".join(lines) + "\n"
