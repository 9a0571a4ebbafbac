"""Each lever changes what is computed, never what comes out."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from app.run_config import parse_config
from app.trainer import lm as models
from app.trainer.batches import Forward, lay_out, pieces
from app.trainer.lm import attention, last_layer, norms
from app.trainer.optimization import recompute
from tests.trainer.test_families import BATCH, FAMILIES, made, read

MLP = pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
APART = Forward(packed=True, max_tokens=10**6, bf16=False, share_prompt=False)


@pytest.fixture(autouse=True)
def as_usual() -> Iterator[None]:
    yield
    models.choose_last_layer(sparse=True)


def fed(model: Any) -> list[int]:
    """How many tokens each feed-forward part gets from now on."""
    stack = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    seen: list[int] = []
    for layer in stack:
        first = next(m for m in layer.mlp.modules() if not any(m.children()))
        first.register_forward_pre_hook(lambda _m, given: seen.append(given[0].shape[-2]))
    return seen


# -- the prompt of many responses ---------------------------------------------------------------


def test_a_prompt_before_each_response_reads_the_same() -> None:
    model = made("llama")
    shared, gradient = read(model, lay_out(BATCH, packed=True))
    apart = APART.lay_out(BATCH)
    logps, other = read(model, apart)
    assert torch.allclose(logps, shared, atol=1e-4)
    assert torch.allclose(other, gradient, atol=1e-4)
    assert not any(forks for _, _, forks in apart.spans)
    assert apart.tokens == sum(len(e.prompt) + len(r) for e in BATCH for r in e.responses)


def test_masked_tokens_stay_masked_where_prompts_are_repeated() -> None:
    masked = [e.__class__(e.row, e.prompt, e.responses, tuple(
        tuple(c % 2 == 0 for c in range(len(r))) for r in e.responses)) for e in BATCH]  # fmt: skip
    shared, apart = lay_out(masked, packed=True), APART.lay_out(masked)
    for name in ("targets", "owners", "columns"):
        assert getattr(shared, name).tolist() == getattr(apart, name).tolist()


def test_pieces_count_repeated_prompts() -> None:
    limit = APART.size(BATCH[0]) + 1
    small = Forward(packed=True, max_tokens=limit, bf16=False, share_prompt=False)
    groups = list(pieces([BATCH[0], BATCH[0]], small))
    assert [len(g) for g in groups] == [1, 1]
    assert APART.size(BATCH[0]) == small.lay_out([BATCH[0]]).tokens


# -- the last layer -----------------------------------------------------------------------------


@MLP
def test_the_last_layer_feeds_forward_only_what_is_read(family: str) -> None:
    model = made(family)
    layout = lay_out(BATCH, packed=True)
    found: list[tuple[Tensor, Tensor]] = []
    for sparse in (True, False):
        models.choose_last_layer(sparse=sparse)
        found.append(read(model, layout))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    models.choose_last_layer(sparse=True)
    seen = fed(model)
    read(model, layout)
    *before, last = seen
    assert set(before) == {layout.tokens}
    assert last == layout.sources.unique().numel() < layout.tokens


@MLP
def test_attention_of_the_last_layer_answers_few_places_alone(family: str, monkeypatch) -> None:
    asked: list[int] = []
    real = attention.F.scaled_dot_product_attention

    def attend(query: Tensor, *given: Any, **named: Any) -> Tensor:
        asked.append(query.shape[2])
        return real(query, *given, **named)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", attend)
    model = made(family, AutoModelForSequenceClassification, pad_token_id=0, num_labels=1)
    layout = lay_out(BATCH, packed=True)
    models.Scorer(model)(layout, layout.ends)
    *before, last = (asked[i : i + len(BATCH)] for i in range(0, len(asked), len(BATCH)))
    assert all(found == [end - start for start, end, _ in layout.spans] for found in before)
    assert last == [len(example.responses) for example in BATCH]


def test_what_one_model_leaves_unread_is_no_other_models_matter() -> None:
    """OPT has no part named `mlp` to heed a note; Falcon's ALiBi never asks for one."""
    layout = lay_out(BATCH, packed=False)
    falcon = made("falcon")
    found, _ = read(falcon, layout)
    read(made("opt"), lay_out(BATCH, packed=True))
    again, _ = read(falcon, layout)
    assert again.tolist() == found.tolist()


@MLP
def test_scores_of_a_pack_need_one_token_a_response(family: str) -> None:
    model = made(family, AutoModelForSequenceClassification, pad_token_id=0, num_labels=1)
    scorer, layout = models.Scorer(model), lay_out(BATCH, packed=True)
    models.choose_last_layer(sparse=False)
    wanted = scorer(layout, layout.ends)
    models.choose_last_layer(sparse=True)
    seen = fed(model)
    assert torch.allclose(scorer(layout, layout.ends), wanted, atol=1e-6)
    assert seen[-1] == layout.responses


def test_activations_that_are_recomputed_leave_out_the_same() -> None:
    model, layout = made("llama"), lay_out(BATCH, packed=True)
    _, wanted = read(model, layout)
    recompute(model)
    model.train()
    seen = fed(model)
    model.zero_grad()
    logps = models.target_logps(model, layout)
    with torch.no_grad():  # the note of another pass must not reach the recomputation
        models.target_logps(model, lay_out(BATCH[:1], packed=True))
    sums = torch.zeros(layout.responses).index_add(0, layout.owners, logps)
    sums.mean().backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.allclose(found, wanted, atol=1e-5)
    assert seen.count(layout.sources.unique().numel()) == 2


def test_a_copied_model_reads_by_its_own_notes() -> None:
    model = made("llama")
    other = copy.deepcopy(model)
    layout = lay_out(BATCH, packed=True)
    models.target_logps(model, layout)
    seen = fed(other)
    plain = other(input_ids=layout.input_ids, use_cache=False).logits
    assert seen[-1] == plain.shape[1] == layout.tokens


def test_a_model_built_otherwise_is_left_alone() -> None:
    bare = torch.nn.Linear(2, 2)
    bare.config = made("llama").config
    last_layer.cut_last_layer(bare)
    assert not bare._forward_hooks


# -- bfloat16 on a CPU --------------------------------------------------------------------------


def test_attention_of_a_pack_stays_in_32_bit(monkeypatch) -> None:
    kinds: list[torch.dtype] = []
    real = attention.F.scaled_dot_product_attention

    def attend(query: Tensor, *given: Any, **named: Any) -> Tensor:
        kinds.append(query.dtype)
        assert not torch.is_autocast_enabled("cpu")
        return real(query, *given, **named)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", attend)
    model = made("llama")
    with models.autocast(torch.device("cpu"), bf16=True):
        models.target_logps(model, lay_out(BATCH, packed=True))
    assert set(kinds) == {torch.float32}


@pytest.mark.parametrize("family", [name for name in FAMILIES if "falcon" not in name])
def test_frozen_matrices_in_16_bit_say_the_same_to_the_bit(family: str) -> None:
    model = made(family).requires_grad_(False)
    layout = lay_out(BATCH, packed=models.can_pack(model, longest=64))
    with models.autocast(torch.device("cpu"), bf16=True):
        wanted = models.target_logps(model, layout)
        found = models.target_logps(models.halve_frozen(model), layout)
    assert found.tolist() == wanted.tolist()
    assert torch.bfloat16 in {weight.dtype for weight in model.parameters()}


def test_adapters_on_frozen_matrices_in_16_bit_get_the_same_gradients() -> None:
    config = parse_config("ppo", {"lora_r": 4, "bf16": True})
    found = []
    for halved in (False, True):
        torch.manual_seed(0)
        model = models.with_lora(
            made("llama", AutoModelForSequenceClassification, pad_token_id=0), config, scores=True
        )
        torch.manual_seed(1)
        for weight in model.parameters():
            if weight.requires_grad:  # adapters begin at 0
                torch.nn.init.normal_(weight, std=0.1)
        if halved:
            models.halve_frozen(model)
        scorer, layout = models.Scorer(model), lay_out(BATCH, packed=True)
        with models.autocast(torch.device("cpu"), bf16=True):
            scorer(layout, layout.ends).sum().backward()
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        assert {weight.dtype for weight in trained} == {torch.float32}
        found.append([weight.grad.tolist() for weight in trained])
    assert found[0] == found[1]
    kept = {name for name, weight in model.named_parameters() if weight.dtype == torch.float32}
    assert any("score.original_module" in name for name in kept)


def test_a_frozen_matrix_that_is_an_embedding_stays_as_it_is() -> None:
    tied = models.halve_frozen(made("llama", tie_word_embeddings=True).requires_grad_(False))
    assert tied.lm_head.weight.dtype == tied.model.norm.weight.dtype == torch.float32
    assert tied.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    trained = models.halve_frozen(made("llama"))
    assert {weight.dtype for weight in trained.parameters()} == {torch.float32}


# -- norms in one operation ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "count"), [("llama", 5), ("qwen3", 9), ("mistral", 5), ("gemma", 0), ("gpt2", 0)]
)
def test_a_fused_norm_is_that_of_the_model(family: str, count: int, monkeypatch) -> None:
    model, other = made(family), made(family)
    for norm in [m for m in model.modules() if type(m).__name__.endswith("RMSNorm")]:
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
    other.load_state_dict(model.state_dict())
    fused = copy.deepcopy(models.fuse_norms(other))
    layout = lay_out(BATCH, packed=True)
    asked: list[Tensor] = []
    monkeypatch.setattr(norms, "_applies", lambda given: asked.append(given) or True)
    for one, two in zip(read(fused, layout), read(model, layout), strict=True):
        assert torch.allclose(one, two, atol=1e-5)
    assert len(asked) == count
    assert fused.state_dict().keys() == model.state_dict().keys()


# -- compiled parts -----------------------------------------------------------------------------


@MLP
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch looks at all of a tensor
def test_compiled_parts_say_the_same(family: str) -> None:
    """Torch's own graphs of the parts, without the machine code of which it makes them faster."""
    model, parts = made(family), made(family)
    compiled: list[Any] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        compiled.append(graph)
        return graph

    models.compile_parts(parts, backend=backend)
    try:
        for packed in (True, False):
            layout = lay_out(BATCH, packed=packed)
            for one, other in zip(read(parts, layout), read(model, layout), strict=True):
                assert torch.allclose(one, other, atol=1e-6)
        assert compiled
        assert parts.state_dict().keys() == model.state_dict().keys()
    finally:
        torch.compiler.reset()
