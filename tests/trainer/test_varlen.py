"""Packs as segments for FlashAttention, which no CPU has: a plain form stands in for it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from app.trainer import lm as models
from app.trainer.batches import lay_out
from app.trainer.lm import attention, varlen
from app.trainer.lm.varlen import Copied, Segments, segments_of
from tests.trainer.test_families import OWN_ATTENTION, SPARSE, made, read
from tests.trainer.test_layouts import BATCH, example

CPU = torch.device("cpu")


def plainly(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    window: int | None,
    scaling: float | None,
) -> Tensor:
    """As FlashAttention 2 defines it: the last query of a segment sees up to its last key."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    parts = []
    for (a, b), (c, d) in zip(
        segments.queries.unfold(0, 2, 1), segments.keys.unfold(0, 2, 1), strict=True
    ):
        q, k, v = (x.transpose(0, 1) for x in (query[a:b], key[c:d], value[c:d]))
        behind = torch.arange(d - c - (b - a), d - c)[:, None] - torch.arange(d - c)
        seen = (behind >= 0) & (behind < (window or d - c))
        scores = q @ k.transpose(1, 2) * (scaling or query.shape[2] ** -0.5)
        parts.append((scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v).transpose(0, 1))
    return torch.cat(parts)


@pytest.fixture
def with_lines(monkeypatch) -> None:
    monkeypatch.setattr(varlen, "flash", plainly)
    monkeypatch.setattr(attention, "_kind", lambda _model, _layout: "varlen")


@SPARSE
def test_lines_are_the_dense_mask(family: str, request) -> None:
    """Forked and plain examples, windows, fewer heads of keys: outputs and gradients."""
    model = made(family)
    wanted = read(model, lay_out(BATCH, packed=True))
    request.getfixturevalue("with_lines")
    for one, other in zip(read(model, lay_out(BATCH, packed=True)), wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.usefixtures("with_lines")
@pytest.mark.parametrize("family", sorted(OWN_ATTENTION))
def test_a_model_with_attention_of_its_own_keeps_it(family: str) -> None:
    model = made(family)
    mask = models.mask_for(model, lay_out(BATCH, packed=True), torch.arange(3))
    assert not hasattr(mask, "segments")


def test_a_first_response_is_a_line_with_its_prompt() -> None:
    """Only what follows copies the keys of the prompt."""
    layout = lay_out([example(5, 3, 7, 2), example(9, 2), example(4)], packed=True)
    assert layout.segments == (
        (0, 0, 0, 8), (0, 5, 8, 15), (0, 5, 15, 17), (17, 17, 17, 28), (28, 28, 28, 32),
    )  # fmt: skip
    segments = segments_of(layout.segments, CPU)
    assert segments.queries.tolist() == [0, 8, 15, 17, 28, 32]
    assert segments.keys.tolist() == [0, 8, 20, 27, 38, 42]
    assert (segments.most_queries, segments.most_keys) == (11, 12)
    assert segments.seen is not None
    assert segments.copies is not None
    assert segments.seen[8:20].tolist() == [*range(5), *range(8, 15)]
    assert segments.copies[2].tolist() == [2, 10, 22]
    assert segments.copies[30].tolist() == [40, 42, 42]


def test_without_forks_nothing_is_copied() -> None:
    apart = [replace(e, responses=(r,)) for e in BATCH for r in e.responses]
    segments = segments_of(lay_out(apart, packed=True).segments, CPU)
    assert segments.seen is None
    assert torch.equal(segments.queries, segments.keys)


def test_the_gradient_of_copies() -> None:
    segments = segments_of(lay_out(BATCH, packed=True).segments, CPU)
    given = torch.randn(int(segments.queries[-1]), 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: Copied.apply(x, segments.seen, segments.copies), given
    )


def test_it_is_not_tried_in_32_bit() -> None:
    assert not attention.has_flash(CPU, 64, 1, torch.float32)


def test_it_is_not_for_values_of_another_size_than_keys(monkeypatch) -> None:
    """As DeepSeek has them."""
    monkeypatch.setattr(attention, "has_flash", lambda *_given: True)
    device, model = torch.device("cuda"), made("llama")
    assert attention.flash_suits(model, device)
    model.config.v_head_dim = 4
    assert not attention.flash_suits(model, device)


@pytest.mark.usefixtures("with_lines")
@pytest.mark.parametrize("groups", [1, 4])
def test_it_is_found_and_one_that_computes_something_else_is_not(monkeypatch, groups: int) -> None:
    attention.has_flash.cache_clear()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert attention.has_flash(CPU, 64, groups, torch.bfloat16)
    assert torch.equal(torch.get_rng_state(), before)  # the seed of the run is left alone
    attention.has_flash.cache_clear()
    monkeypatch.setattr(varlen, "flash", lambda *given: plainly(*given) * 1.1)
    assert not attention.has_flash(CPU, 64, groups, torch.bfloat16)
    attention.has_flash.cache_clear()
