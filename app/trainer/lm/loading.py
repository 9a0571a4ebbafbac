"""Models from folders and the hub, made safe to train."""

import contextlib
import importlib.util
import json
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)

from app.run_config import RunConfig
from app.trainer.batches import Limits
from app.trainer.failures import BadInput, is_disk_full, is_out_of_memory
from app.trainer.lm.attention import attend_by_tree
from app.trainer.lm.forward import check_causal
from app.trainer.lm.heads import (
    BESIDE,
    PREFERENCE,
    heads_of,
    name_heads,
    read_json,
    with_heads,
)
from app.trainer.lm.norms import fuse_norms
from app.trainer.lm.soundness import refuse_broken

PAD = "<|pad|>"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def locate(name: str, role: str) -> str:
    """A model folder that can be loaded, or a hub id.

    Raises:
        BadInput: saying what is missing in the folder.

    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.startswith((".", "/", "~")) or name.count("/") > 1 or folder.exists():
            raise BadInput(f"The {role} folder {name} does not exist.")
        return name
    folder = folder.resolve()
    if not (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
        raise BadInput(
            f"The {role} folder {name} has no config.json, so it holds no model. "
            "A finished run keeps its model in the folder `model`."
        )
    if not any(folder.glob("*.safetensors")):
        if any(p for pattern in PICKLES for p in folder.glob(pattern)):
            raise BadInput(
                f"The {role} folder {name} has only pickled weights, which can run code when "
                "loaded. Convert them to safetensors where you trust the file: load it with "
                "transformers' from_pretrained and write it with save_pretrained."
            )
        raise BadInput(f"The {role} folder {name} has no *.safetensors weights.")
    for index in folder.glob("*.safetensors.index.json"):
        with _loading(str(folder), role):
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if missing := sorted(shard for shard in shards if not (folder / shard).is_file()):
            raise BadInput(
                f"The {role} folder {name} is half copied: {missing[0]} is missing ({len(missing)} "
                f"of {len(shards)} files of weights). Copy the rest of it."
            )
    return str(folder)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model, a fast one: offsets are needed."""
    files = [f for p in ("*token*", "vocab*", "*.model") for f in Path(name).glob(p)]
    if Path(name).is_dir() and not files:
        raise BadInput(
            f"{name} has no tokenizer (tokenizer.json). Save it beside the weights, with "
            "save_pretrained of the tokenizer."
        )
    with _loading(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise BadInput(f"{name} has no fast tokenizer (tokenizer.json), which is needed here.")
    return tokenizer


def load_lm(name: str, *, role: str = "model", config: RunConfig | None = None) -> Any:
    """A causal language model in 32 bit without dropout; an adapter is merged into its base.

    With `load_in_4bit` in the config of a run its linear layers have 4 bits, for adapters on top.
    """
    path = locate(name, role)
    adapter = _adapter(path)
    base = str(adapter["base_model_name_or_path"]) if adapter else path
    described = _config(base, role)
    if any("SequenceClassification" in a for a in described.architectures or ()) or (
        adapter and adapter.get("task_type") == "SEQ_CLS"
    ):
        raise BadInput(f"{name} is a reward model; a language model is needed here.")

    def load(folder: str, **more: Any) -> Any:
        with _loading(folder, role):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False,
                output_loading_info=True, **more,
            )  # fmt: skip
        lm, info = loaded
        _complete(info, name, role)
        if not lm._supports_default_dynamic_cache():  # noqa: SLF001 - it has no public name
            raise BadInput(
                f"{name} ({described.model_type}) keeps what it has read in a cache of its own, "
                "and cannot write here. Choose a decoder such as Llama, Qwen, Gemma or Mistral."
            )
        refuse_broken(lm, name, role)
        return lm

    return _prepared(load, base, path if adapter else None, config)


def load_reward_model(
    name: str,
    tokenizer: Any,
    *,
    role: str = "model",
    fresh: bool = True,
    heads: Sequence[str] | None = None,
    config: RunConfig | None = None,
) -> Any:
    """A model with one score per sequence, in 32 bit (or as `load_lm`) without dropout.

    A language model gets a new head, drawn from torch's seed, unless `fresh` is off: then only a
    trained reward model will do. `heads` are the outputs to train, else it has those it was saved
    with. The tokenizer gets a pad token of its own where it has none.
    """
    path = locate(name, role)
    adapter = _adapter(path)
    base = str(adapter["base_model_name_or_path"]) if adapter else path
    described = _config(base, role)
    trained = _is_trained(described, adapter)
    if not trained and not fresh:
        raise BadInput(f"{name} is not a reward model: train one with `train reward` first.")
    about = read_json(Path(path) / BESIDE, name) if adapter else {}
    names = tuple(about.pop("heads", ()))
    if not names:
        names = heads_of(described) if trained and not adapter else tuple(heads or (PREFERENCE,))
    if len(names) > 1 and names[0] != PREFERENCE:
        raise BadInput(
            f"{name} has {len(names)} labels; a reward model has one, or one per objective of "
            "which the first is the preference."
        )

    def load(folder: str, **more: Any) -> Any:
        with _loading(folder, role):
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder, num_labels=len(names), dtype=torch.float32, use_safetensors=True,
                trust_remote_code=False, output_loading_info=True, **more,
            )  # fmt: skip
        if not hasattr(model, "score"):
            raise BadInput(
                f"{name} ({described.model_type}) has no score head; use a decoder model."
            )
        # a language model has no head yet; an adapter brings its own
        _complete(info, name, role, but="" if trained and not adapter else "score")
        name_heads(model, names, **about)
        refuse_broken(model, name, role)
        set_pad(tokenizer, model)
        return model

    model = _prepared(load, base, path if adapter else None, config)
    return with_heads(model, heads) if heads else model


def is_reward_model(name: str) -> bool:
    """Whether it has been trained to score, so that it has a head of its own."""
    path = locate(name, "model")
    adapter = _adapter(path)
    base = str(adapter["base_model_name_or_path"]) if adapter else path
    return _is_trained(_config(base, "model"), adapter)


def _is_trained(config: Any, adapter: dict[str, Any] | None) -> bool:
    scores = any("SequenceClassification" in a for a in config.architectures or ())
    return scores or bool(adapter and adapter.get("task_type") == "SEQ_CLS")


def _prepared(
    load: Callable[..., Any], base: str, adapter: str | None, config: RunConfig | None
) -> Any:
    """A loaded model as it is used: an adapter merged in, in 4 bits where wanted, no dropout."""
    bits = four_bit(config)
    if not adapter:
        model = load(base, **bits)
    else:
        model = merged(load(base), adapter)
        if bits:  # from 32 bit once more, because merging into 4 bits would lose of both
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                model = load(folder, **bits)
        model.begun_from_adapter = adapter
    for module in model.modules() if bits else ():
        module.support_avx512bf16_for_cpu = False  # what bitsandbytes packs so rounds once more
    with _loading(base, "model"):
        check_causal(model, base)
    return fuse_norms(attend_by_tree(without_router_loss(without_dropout(model))))


def _adapter(path: str) -> dict[str, Any] | None:
    file = Path(path) / "adapter_config.json"
    if not file.is_file() or (Path(path) / "config.json").is_file():
        return None
    from peft import PeftConfig  # noqa: PLC0415 - only where there is an adapter

    found: dict[str, Any] = PeftConfig.from_pretrained(path).to_dict()
    found["task_type"] = getattr(found["task_type"], "value", found["task_type"])
    locate(str(found["base_model_name_or_path"]), "adapter's base model")
    return found


def merged(model: Any, path: str) -> Any:
    """The model with the adapter of a folder in its weights."""
    from peft import PeftModel  # noqa: PLC0415 - only where there is an adapter

    with _loading(path, "adapter"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft calls what transformers renames
        whole = PeftModel.from_pretrained(model, path).merge_and_unload()
    return whole.requires_grad_(True)  # the adapter had frozen it


def _config(path: str, role: str) -> Any:
    with _loading(path, role):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    if config.is_encoder_decoder:
        raise BadInput(
            f"{path} ({config.model_type}) is an encoder with a decoder, not a decoder alone. "
            "Choose a decoder such as Llama, Qwen, Gemma, Mistral or GPT-2."
        )
    return config


@contextlib.contextmanager
def _loading(name: str, role: str) -> Iterator[None]:
    """Turn what goes wrong while loading into a sentence."""
    try:
        yield
    except Exception as error:  # libraries raise anything for a file that is not sound
        if isinstance(error, BadInput) or is_out_of_memory(error) or is_disk_full(error):
            raise
        if "trust_remote_code" in str(error):
            raise BadInput(
                f"The {role} {name} brings code of its own, which is never run here. Choose a "
                "model of an architecture that transformers knows."
            ) from error
        if Path(name).is_dir():
            reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise BadInput(
                f"The {role} in {name} cannot be loaded: {reason.rstrip(' .:')}. Check that the "
                "folder is whole, or choose another model."
            ) from error
        raise BadInput(
            f"{name} is neither a folder here nor a model in the local cache, and the hub did not "
            "give it. Give the path of a model folder, or make one with `touchstone model new`."
        ) from error


def _complete(info: Any, name: str, role: str, *, but: str = "") -> None:
    """Refuse weights that lack a part (but this one): it would silently be random."""
    missing = sorted(key for key in info["missing_keys"] if not (but and key.startswith(but)))
    if missing:
        raise BadInput(f"The {role} {name} lacks weights, such as {missing[0]}.")


def pick_device(wanted: str) -> torch.device:
    """`auto` is a GPU where there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", wanted):
        raise BadInput(f"--device {wanted}: use auto, cpu, cuda or cuda:N.")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        seen = f"{torch.cuda.device_count() or 'no'} CUDA devices"
        raise BadInput(f"--device {wanted}: torch sees {seen} here; use --device cpu.")
    return device


def set_pad(tokenizer: Any, model: Any) -> None:
    """Give model and tokenizer an explicit pad token that is not the end token."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": PAD})
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.pad_token_id = tokenizer.pad_token_id


def without_dropout(model: Any) -> Any:
    """Preference losses compare log-probabilities: dropout would be noise in them."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attn_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def without_router_loss(model: Any) -> Any:
    """A mixture of experts makes no loss of its routers: no objective here has it as a term.

    Made in every pass it would also refuse packs and cached tokens, whose masks it cannot read.
    """
    for config in (model.config, model.config.get_text_config()):
        if getattr(config, "output_router_logits", False):
            config.output_router_logits = False
    return model


def chooses_experts(model: Any) -> bool:
    """Whether it is a mixture of experts, whose routers are often trained to balance their load."""
    return hasattr(model.config.get_text_config(), "router_aux_loss_coef")


def with_lora(model: Any, config: RunConfig, *, scores: bool) -> Any:
    """The model with fresh adapters, or unchanged when `lora_r` is 0; a score head trains whole."""
    if not config.lora_r:
        return model
    from peft import LoraConfig, TaskType, get_peft_model  # noqa: PLC0415 - only for adapters

    settings = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_target_modules) or "all-linear",
        modules_to_save=["score"] if scores else None,
        task_type=TaskType.SEQ_CLS if scores else TaskType.CAUSAL_LM,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft calls what transformers renames
        warnings.filterwarnings("ignore", "fan_in_fan_out is set")  # by itself, as GPT-2 needs it
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")  # refused below
        tied = None if scores else _tied(model)
        try:
            adapted = get_peft_model(model, settings)
        except ValueError as error:
            raise BadInput(f"lora_target_modules: {error}") from error
    if tied and tied != (model.get_input_embeddings(), model.get_output_embeddings()):
        raise BadInput(
            "lora_target_modules: this model's input and output embeddings are one weight, so that "
            "an adapter of either would change both once it is merged. Leave them out."
        )
    return adapted


def _tied(lm: Any) -> tuple[Any, Any] | None:
    """Its input and output embeddings, where they have one weight."""
    read, written = lm.get_input_embeddings(), lm.get_output_embeddings()
    return (read, written) if written is not None and read.weight is written.weight else None


def four_bit(config: RunConfig | None) -> dict[str, Any]:
    """What loads linear layers in 4 bits (QLoRA's NF4, quantised twice), where it is wanted."""
    if config is None or not config.load_in_4bit:
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BadInput(
            "load_in_4bit needs the package bitsandbytes, which is not installed. Install it "
            "(pip install bitsandbytes), or set load_in_4bit=false."
        )
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if config.bf16 else torch.float32,
        llm_int8_skip_modules=["score", "lm_head"],
    )
    return {"quantization_config": settings}


def limits_of(model: Any) -> Limits:
    """What the model can read; the context is very large where it does not say."""
    config = model.config.get_text_config()
    context = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
    return Limits(context, int(model.get_input_embeddings().weight.shape[0]))
