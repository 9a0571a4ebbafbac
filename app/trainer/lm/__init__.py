"""Models: loading and saving them safely, reading log-probabilities and scores from a layout."""

from app.trainer.lm.attention import attend_by_tree, choose_attention
from app.trainer.lm.forward import (
    Scorer,
    autocast,
    can_pack,
    target_logits,
    target_logps,
    target_states,
)
from app.trainer.lm.loading import (
    limits_of,
    load_lm,
    load_reward_model,
    load_tokenizer,
    locate,
    pick_device,
    set_pad,
    with_lora,
    without_dropout,
)
from app.trainer.lm.saving import fingerprint, load_weights, save
from app.trainer.lm.sharding import (
    copied,
    gathered,
    is_main,
    put,
    scattered,
    shard,
    sharding_wanted,
    synchronise,
    whole,
)

__all__ = [
    "Scorer",
    "attend_by_tree",
    "autocast",
    "can_pack",
    "choose_attention",
    "copied",
    "fingerprint",
    "gathered",
    "is_main",
    "limits_of",
    "load_lm",
    "load_reward_model",
    "load_tokenizer",
    "load_weights",
    "locate",
    "pick_device",
    "put",
    "save",
    "scattered",
    "set_pad",
    "shard",
    "sharding_wanted",
    "synchronise",
    "target_logits",
    "target_logps",
    "target_states",
    "whole",
    "with_lora",
    "without_dropout",
]
