"""Log-probabilities and scores, read from a forward pass over a layout."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from app.run_config import RunConfig
from app.trainer import losses
from app.trainer.batches import Example, Forward, Layout, lay_out, pieces
from app.trainer.dataset import Row
from app.trainer.failures import BadInput
from app.trainer.lm.attention import mask_for
from app.trainer.lm.heads import score_of


def target_logits(lm: Any, layout: Layout) -> Tensor:
    """Logits that predict the layout's targets, and only those: `(targets, vocabulary)`."""
    keep, index = _wanted(layout)
    logits: Tensor = _outputs(lm, layout, keep).logits
    return logits[0] if index is None else logits[index]


def target_states(lm: Any, layout: Layout) -> tuple[Tensor, Tensor]:
    """The same with what the output layer read: `(targets, vocabulary)`, `(targets, hidden)`."""
    keep, index = _wanted(layout)
    read: list[Tensor] = []
    hook = lm.get_output_embeddings().register_forward_pre_hook(
        lambda _module, inputs: read.append(inputs[0])
    )
    try:
        logits = _outputs(lm, layout, keep).logits
    finally:
        hook.remove()
    if index is None:
        return logits[0], read[0][0]
    return logits[index], read[0][index]


def _wanted(layout: Layout) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """The columns to keep, and each source's row and place among them; None: just as they come."""
    rows, width = layout.input_ids.shape
    if rows == 1:
        return layout.sources, None
    keep, index = torch.unique(layout.sources % width, return_inverse=True)
    return keep, (layout.sources // width, index)


def _outputs(lm: Any, layout: Layout, keep: Tensor) -> Any:
    return lm(
        input_ids=layout.input_ids,
        attention_mask=mask_for(lm, layout, layout.sources),
        position_ids=layout.position_ids,
        logits_to_keep=keep,
        use_cache=False,
    )


def target_logps(lm: Any, layout: Layout) -> Tensor:
    """Log p of each target in 32 bit: `(targets,)`."""
    return losses.logps_of(target_logits(lm, layout), layout.targets)


class Scorer(nn.Module):
    """A sequence-classification model read at given positions instead of by its pad token.

    `apart` gives every output of the model for itself instead of the score made of them.
    """

    def __init__(self, model: Any, *, apart: bool = False) -> None:
        super().__init__()
        self.model, self.apart = model, apart

    def forward(self, layout: Layout, positions: Tensor) -> Tensor:
        """Scores at flat positions, head in 32 bit: `(positions,)`; apart `(positions, heads)`."""
        return self.scores_at(self.states(layout, positions), positions)

    def states(self, layout: Layout, read_at: Tensor) -> Tensor:
        """What the trunk makes of each token, in flat order: `(tokens, hidden)`.

        It will be read at the flat positions `read_at` alone.
        """
        whole = self._whole()
        hidden: Tensor = getattr(whole, whole.base_model_prefix)(
            input_ids=layout.input_ids,
            attention_mask=mask_for(whole, layout, read_at),
            position_ids=layout.position_ids,
            use_cache=False,
        ).last_hidden_state
        return hidden.reshape(-1, hidden.shape[-1])

    def scores_at(self, states: Tensor, positions: Tensor) -> Tensor:
        whole = self._whole()
        with torch.autocast(states.device.type, enabled=False):
            heads: Tensor = whole.score(states[positions].float())
        # no view: FSDP hangs its hook on what it returns
        return heads if self.apart else score_of(heads, whole.config).clone()

    def _whole(self) -> Any:
        return self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model


@torch.no_grad()
def outputs_of(scorer: Any, examples: Sequence[Example], forward: Forward) -> list[Tensor]:
    """What a scorer says of every response of each example: `(responses, …)`, on the CPU."""
    was_training, device = scorer.training, next(scorer.parameters()).device
    scorer.eval()
    found: dict[int, Tensor] = {}
    for group in pieces(examples, forward):
        own = [examples[i] for i in group]
        layout = forward.lay_out(own).to(device)
        with autocast(device, bf16=forward.bf16):
            said = scorer(layout, layout.ends).cpu()
        parts = said.split([len(example.responses) for example in own])
        found |= dict(zip(group, parts, strict=True))
    scorer.train(was_training)
    return [found[i] for i in range(len(examples))]


def autocast(device: torch.device, *, bf16: bool) -> Any:
    """bfloat16 for the matrix products where wanted; weights and losses stay in 32 bit."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def bytes_of_token(model: Any, config: RunConfig) -> float:
    """About what a token takes in memory from its pass until its gradients are made."""
    shape = model.config.get_text_config()
    hidden, layers = shape.hidden_size, shape.num_hidden_layers
    inner = getattr(shape, "intermediate_size", None) or 4 * hidden
    layer = (48 * hidden + 12 * inner) * (1.0 if config.bf16 else 1.5)
    kept = 4 * hidden * layers + layer if config.gradient_checkpointing else layer * layers
    logits = 0 if gives_scores(model) else 10 * shape.vocab_size
    return float(kept + logits)


# Windows that other models count by the place in the line, where a pack has them elsewhere.
BY_PLACE = ("window_size", "attention_window", "local_attention", "attention_chunk_size")


@torch.no_grad()
def can_pack(model: Any, *, longest: int) -> bool:
    """Whether the model understands a packed layout: tried on a few tokens, against padding.

    A window shorter than the `longest` example is tried as one of three tokens, so that it is felt.
    """
    config = model.config.get_text_config()
    if any(isinstance(getattr(config, name, None), int) for name in BY_PLACE):
        return False
    window = getattr(config, "sliding_window", None)
    top = config.vocab_size - 1
    row = Row("probe", ())
    examples = [
        Example(row, tuple(i % top for i in (3, 1, 4, 1)), ((5 % top, 9 % top), (2, 6 % top, 5))),
        Example(row, (1, 2, 3), ((7 % top, 8 % top, 2),)),
    ]
    read = {}
    was_training = model.training
    model.eval()
    try:
        if window and window < longest:
            config.sliding_window = 3
        for packed in (False, True):
            layout = lay_out(examples, packed=packed).to(model.device)
            read[packed] = (
                Scorer(model)(layout, layout.ends)
                if gives_scores(model)
                else target_logps(model, layout)
            )
    except (RuntimeError, ValueError, TypeError, KeyError, NotImplementedError, IndexError) as e:
        if read:
            return False
        raise BadInput(
            f"A {config.model_type} model cannot be read by this trainer: {e}. Choose a decoder "
            "such as Llama, Qwen, Gemma, Mistral or GPT-2."
        ) from e
    finally:
        if window:
            config.sliding_window = window
        model.train(was_training)
    return bool(torch.allclose(read[True], read[False], atol=1e-3, rtol=1e-3))


@torch.no_grad()
def check_causal(model: Any, name: str) -> None:
    """Refuse a model whose states change with what comes later: an encoder would see its targets.

    Raises:
        BadInput: with the kind of model that is wanted.

    """
    body = getattr(model, model.base_model_prefix)
    top = model.config.get_text_config().vocab_size - 1
    lines = torch.tensor([[3, 1, 4, 1, 5], [3, 1, 4, 1, 2]]).remainder(top).to(model.device)
    was_training = model.training
    model.eval()
    before = body(input_ids=lines).last_hidden_state[:, :4]
    model.train(was_training)
    if not torch.allclose(before[0], before[1], atol=1e-3, rtol=1e-3, equal_nan=True):
        raise BadInput(
            f"{name} ({model.config.model_type}) is an encoder: it reads what comes later. Choose "
            "a decoder such as Llama, Qwen, Gemma, Mistral or GPT-2."
        )


def gives_scores(model: Any) -> bool:
    """Whether it is a reward model, with or without an adapter."""
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    return "SequenceClassification" in type(whole).__name__
