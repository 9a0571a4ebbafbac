"""What FlexAttention does on a GPU, as far as a CPU can show it: it has no gradients here."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from app.trainer.batches import lay_out
from app.trainer.lm import attention
from app.trainer.lm.flex import block_mask, compiled_flex
from tests.trainer.test_families import made
from tests.trainer.test_layouts import example


@pytest.fixture(autouse=True)
def afresh():
    with torch._dynamo.config.patch(recompile_limit=2):  # torch has 8; put back afterwards
        torch._dynamo.utils.counters.clear()
        yield
    compiled_flex.cache_clear()
    torch.compiler.reset()


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
