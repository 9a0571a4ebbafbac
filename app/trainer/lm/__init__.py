"""Models: loading and saving them safely, reading log-probabilities and scores from a layout."""

from app.trainer.lm.attention import attend_by_tree, choose_attention, keeps_scores, mask_for
from app.trainer.lm.cache import Line, has_room, roomy_cache, settle, write_at
from app.trainer.lm.compiling import compile_parts
from app.trainer.lm.familiarity import Familiarity, features_of, pooled
from app.trainer.lm.forward import (
    Scorer,
    autocast,
    bytes_of_token,
    can_pack,
    outputs_of,
    target_logits,
    target_logps,
    target_states,
)
from app.trainer.lm.frozen import halve_frozen
from app.trainer.lm.heads import (
    ENSEMBLE,
    PREFERENCE,
    heads_of,
    member_folders,
    name_heads,
    new_head,
    score_of,
)
from app.trainer.lm.last_layer import choose_last_layer
from app.trainer.lm.loading import (
    chooses_experts,
    is_reward_model,
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
from app.trainer.lm.norms import choose_norms, fuse_norms
from app.trainer.lm.recording import can_record, record
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
    "ENSEMBLE",
    "PREFERENCE",
    "Familiarity",
    "Line",
    "Scorer",
    "attend_by_tree",
    "autocast",
    "bytes_of_token",
    "can_pack",
    "can_record",
    "choose_attention",
    "choose_last_layer",
    "choose_norms",
    "chooses_experts",
    "compile_parts",
    "copied",
    "features_of",
    "fingerprint",
    "fuse_norms",
    "gathered",
    "halve_frozen",
    "has_room",
    "heads_of",
    "is_main",
    "is_reward_model",
    "keeps_scores",
    "limits_of",
    "load_lm",
    "load_reward_model",
    "load_tokenizer",
    "load_weights",
    "locate",
    "mask_for",
    "member_folders",
    "name_heads",
    "new_head",
    "outputs_of",
    "pick_device",
    "pooled",
    "put",
    "record",
    "roomy_cache",
    "save",
    "scattered",
    "score_of",
    "set_pad",
    "settle",
    "shard",
    "sharding_wanted",
    "synchronise",
    "target_logits",
    "target_logps",
    "target_states",
    "whole",
    "with_lora",
    "without_dropout",
    "write_at",
]
