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
from app.trainer.lm.last_layer import choose_last_layer
from app.trainer.lm.loading import (
    fingerprint,
    limits_of,
    load_lm,
    load_reward_model,
    load_tokenizer,
    load_weights,
    locate,
    pick_device,
    save,
    set_pad,
    with_lora,
    without_dropout,
)

__all__ = [
    "Scorer",
    "attend_by_tree",
    "autocast",
    "can_pack",
    "choose_attention",
    "choose_last_layer",
    "fingerprint",
    "limits_of",
    "load_lm",
    "load_reward_model",
    "load_tokenizer",
    "load_weights",
    "locate",
    "pick_device",
    "save",
    "set_pad",
    "target_logits",
    "target_logps",
    "target_states",
    "with_lora",
    "without_dropout",
]
