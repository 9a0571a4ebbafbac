"""What FlexAttention does on a GPU, as far as a CPU can show it: it has no gradients here."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_mask

from app.trainer.batches import lay_out
from app.trainer.lm import attention
from app.trainer.lm.flex import block_mask, compiled_flex
from tests.trainer.test_families import made
from tests.trainer.test_layouts import example

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def afresh():
    with torch._dynamo.config.patch(recompile_limit=2):  # torch has 8; put back afterwards
        torch._dynamo.utils.counters.clear()
        yield
    attention.works.cache_clear()
    compiled_flex.cache_clear()
    torch.compiler.reset()


def by_mask(
    query: Tensor, key: Tensor, value: Tensor, block: BlockMask, scaling: float | None = None
) -> Tensor:
    """As FlexAttention does it, rounding in another order."""
    mask = create_mask(block.mask_mod, 1, 1, *block.seq_lengths, device="cpu")
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[3] ** -0.5)
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ value


def cruder(*given: Tensor | BlockMask | float | None) -> Tensor:
    return by_mask(*given) * 1.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [16, 64, 80])
def test_it_is_found_whatever_pass_asks_first(monkeypatch, dtype: torch.dtype, size: int) -> None:
    monkeypatch.setattr(attention, "by_blocks", by_mask)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert attention.works("flex", CPU, size, 1, dtype)


def test_one_that_computes_something_else_is_not_taken(monkeypatch) -> None:
    monkeypatch.setattr(attention, "by_blocks", cruder)
    assert not attention.works("flex", CPU, 64, 2, torch.bfloat16)


def test_trying_it_draws_nothing_from_the_seed_of_the_run() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert not attention.works("flex", CPU, 64, 1, torch.float32)  # no gradients on a CPU
    assert torch.equal(torch.get_rng_state(), before)


def test_a_window_is_not_compiled_into_it(monkeypatch) -> None:
    """A number that is not always the same would be one that the compiled rule cannot read."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    attend = compiled_flex()
    layout = lay_out([example(90, 40, 50, seed=s) for s in range(2)], packed=True)
    width = layout.tokens
    for window in (5, 40, 100):
        block = block_mask(layout.tree, layout.position_ids[0], window)
        given = torch.randn(3, 1, 2, width, 16)
        positions = layout.position_ids[0]
        near = layout.attention_mask & (positions[:, None] - positions < window)
        dense = F.scaled_dot_product_attention(*given, attn_mask=near)
        assert torch.allclose(attend(*given, block_mask=block), dense, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_it_stays_compiled_for_many_models(monkeypatch) -> None:
    """Without, it warns that all of the scores are computed: here an error."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    attend = compiled_flex()
    for heads in range(1, 5):
        layout = lay_out([example(60, 20 * heads, 30)], packed=True)
        block = block_mask(layout.tree, layout.position_ids[0])
        attend(*torch.randn(3, 1, heads, layout.tokens, 16), block_mask=block)


def test_two_models_that_read_a_layout_each_have_what_suits_them(monkeypatch) -> None:
    """As the policy and the value model of PPO; what both can use is made once."""
    wide, narrow = made("llama", head_dim=16), made("llama")
    kinds = {wide: "flex", narrow: "dense"}
    monkeypatch.setattr(attention, "_kind", lambda model, _layout: kinds[model])
    layout = lay_out([example(9, 4, 5)], packed=True)
    masks = [attention.mask_for(lm, layout, layout.sources) for lm in (wide, narrow, wide)]
    assert masks[0].block is masks[2].block
    assert not hasattr(masks[1], "block")
    assert torch.equal(masks[1], layout.attention_mask)
