"""Log-probabilities and scores, read from a forward pass over a layout."""

from typing import Any

import torch
from torch import Tensor, nn

from app.trainer import losses
from app.trainer.batches import Example, Layout, lay_out
from app.trainer.dataset import Row
from app.trainer.lm.attention import mask_for


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
    """A sequence-classification model read at given positions instead of by its pad token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, layout: Layout, positions: Tensor) -> Tensor:
        """Scores at flat positions, head in 32 bit: `(positions,)`."""
        peft = hasattr(self.model, "peft_config")
        whole = self.model.get_base_model() if peft else self.model
        hidden = getattr(whole, whole.base_model_prefix)(
            input_ids=layout.input_ids,
            attention_mask=mask_for(whole, layout, positions),
            position_ids=layout.position_ids,
            use_cache=False,
        ).last_hidden_state
        wanted = hidden.reshape(-1, hidden.shape[-1])[positions]
        with torch.autocast(hidden.device.type, enabled=False):
            scores: Tensor = whole.score(wanted.float()).squeeze(-1)
        return scores


def autocast(device: torch.device, *, bf16: bool) -> Any:
    """bfloat16 for the matrix products where wanted; weights and losses stay in 32 bit."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


@torch.no_grad()
def can_pack(model: Any, *, longest: int) -> bool:
    """Whether the model understands a packed layout: tried on a few tokens, against padding."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window and window < longest:
        return False
    top = config.vocab_size - 1
    row = Row("probe", ())
    examples = [
        Example(row, tuple(i % top for i in (3, 1, 4, 1)), ((5 % top, 9 % top), (2, 6 % top, 5))),
        Example(row, (1, 2, 3), ((7 % top, 8 % top, 2),)),
    ]
    outputs = []
    was_training = model.training
    model.eval()
    try:
        for packed in (True, False):
            layout = lay_out(examples, packed=packed).to(model.device)
            read = (
                Scorer(model)(layout, layout.ends)
                if _scores(model)
                else target_logps(model, layout)
            )
            outputs.append(read)
    except (RuntimeError, ValueError, TypeError, NotImplementedError, IndexError):
        if not outputs:
            return False
        raise
    finally:
        model.train(was_training)
    return bool(torch.allclose(outputs[0], outputs[1], atol=1e-3, rtol=1e-3))


def _scores(model: Any) -> bool:
    whole = model.get_base_model() if hasattr(model, "peft_config") else model
    return "SequenceClassification" in type(whole).__name__
