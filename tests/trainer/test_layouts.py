"""How rows become forward passes: packed, padded and alone give the same figures."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import Example, Forward, Sampler, lay_out, pieces
from app.trainer.dataset import Row

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


def llama() -> LlamaForCausalLM:
    torch.manual_seed(1)
    return models.without_dropout(LlamaForCausalLM(LlamaConfig(**SMALL)))


def example(prompt: int, *responses: int, seed: int = 0) -> Example:
    generator = torch.Generator().manual_seed(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, 60, (count,), generator=generator).tolist())

    return Example(Row("made", ()), ids(prompt), tuple(ids(r) for r in responses))


BATCH = [example(5, 3, 7, seed=1), example(9, 2, seed=2), example(1, 4, 4, 1, seed=3)]


def logps(model, examples: list[Example], *, packed: bool) -> torch.Tensor:
    layout = lay_out(examples, packed=packed)
    with torch.no_grad():
        flat = models.target_logps(model, layout)
    return losses.sum_by(flat, layout.owners, layout.responses)


def logps_alone(model, examples: list[Example]) -> list[float]:
    """One response at a time through the plain forward: the statement to compare with."""
    found = []
    for e in examples:
        for response in e.responses:
            ids = torch.tensor([e.prompt + response])
            with torch.no_grad():
                table = model(input_ids=ids).logits.log_softmax(-1)[0]
            places = range(len(e.prompt), ids.shape[1])
            found.append(sum(table[t - 1, ids[0, t]].item() for t in places))
    return found


@pytest.mark.parametrize("attention", ["tree", "dense mask"])
def test_a_row_in_a_pack_knows_nothing_of_its_neighbours(attention: str) -> None:
    """Neither its loss nor its gradient changes with what lies before and behind it."""
    own = example(4, 6, seed=7)
    found = []
    for others in ([example(5, 9, seed=8), example(2, 3, 8, seed=9)], [example(11, 1, seed=10)]):
        model = llama()
        if attention == "tree":
            model = models.attend_by_tree(model)
        pack = [others[0], own, *others[1:]]
        layout = lay_out(pack, packed=True)
        place = len(others[0].responses)
        loss = models.target_logps(model, layout)[layout.owners == place].sum()
        loss.backward()
        grads = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((loss.item(), grads))
    alone = llama()
    models.target_logps(alone, lay_out([own], packed=False)).sum().backward()
    expected = torch.cat([p.grad.flatten() for p in alone.parameters()])
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for _, grads in found:
        assert torch.allclose(grads, expected, atol=1e-5)


def test_a_short_window_is_kept_in_a_pack() -> None:
    torch.manual_seed(1)
    model = MistralForCausalLM(MistralConfig(**SMALL, sliding_window=8)).eval()
    assert models.can_pack(model, longest=64)
    assert model.config.sliding_window == 8  # as it was
    alone = logps_alone(model, BATCH)
    assert logps(model, BATCH, packed=True).tolist() == pytest.approx(alone, abs=2e-4)
    model.config.sliding_window = None
    assert logps_alone(model, BATCH) != pytest.approx(alone, abs=2e-4)  # it is felt here


def test_model_that_ignores_the_mask_is_not_packed() -> None:
    class Blind(LlamaForCausalLM):
        def forward(self, attention_mask=None, **others):
            mask = (
                attention_mask if attention_mask is not None and attention_mask.ndim == 2 else None
            )
            return super().forward(attention_mask=mask, **others)

    assert not models.can_pack(Blind(LlamaConfig(**SMALL)), longest=64)


def test_prompt_is_laid_out_once_when_packed() -> None:
    packed, padded = lay_out(BATCH, packed=True), lay_out(BATCH, packed=False)
    assert packed.tokens == sum(e.size for e in BATCH) == 36
    assert padded.input_ids.shape == (6, 12)
    assert packed.targets.tolist() == padded.targets.tolist()
    assert packed.owners.tolist() == padded.owners.tolist()
    assert packed.columns.tolist() == padded.columns.tolist()


def test_masked_tokens_are_no_targets_and_a_first_token_without_a_prompt_is_none() -> None:
    row = Row("made", ())
    masked = Example(row, (1, 2), ((3, 4, 5, 6),), ((True, False, False, True),))
    bare = Example(row, (), ((7, 8, 9),), ((True, True, True),))
    for packed in (True, False):
        layout = lay_out([masked, bare], packed=packed)
        assert layout.targets.tolist() == [3, 6, 8, 9]
        assert layout.columns.tolist() == [0, 3, 1, 2]
    assert (masked.targets, bare.targets) == (2, 2)


class TestPieces:
    def test_every_example_is_in_exactly_one_piece_and_none_is_too_large(self) -> None:
        examples = [example(3 + i % 5, 2 + i % 7, seed=i) for i in range(23)]
        for packed in (True, False):
            groups = list(pieces(examples, Forward(packed=packed, max_tokens=40, bf16=False)))
            assert sorted(i for group in groups for i in group) == list(range(23))
            for group in groups:
                assert lay_out([examples[i] for i in group], packed=packed).tokens <= 40

    def test_an_example_larger_than_the_limit_goes_alone(self) -> None:
        examples = [example(3, 2), example(30, 30), example(3, 2)]
        groups = list(pieces(examples, Forward(packed=True, max_tokens=16, bf16=False)))
        assert groups == [[1], [0, 2]]


class TestSampler:
    def given(self, **changes) -> Sampler:
        settings = {"batch": 4, "seed": 1, "shuffle": True, "group": False}
        return Sampler(list(range(10, 33)), **(settings | changes))

    def test_every_epoch_visits_every_example_once_in_another_order(self) -> None:
        sampler = self.given()
        epochs = [[i for s in range(6) for i in sampler.batch(6 * e + s)] for e in range(3)]
        assert all(sorted(epoch) == list(range(23)) for epoch in epochs)
        assert epochs[0] != epochs[1] != epochs[2]

    def test_any_step_can_be_asked_for_first(self) -> None:
        in_order = [self.given().batch(step) for step in range(20)]
        sampler = self.given()
        assert [sampler.batch(step) for step in reversed(range(20))] == in_order[::-1]

    def test_without_shuffling_rows_come_as_they_stand(self) -> None:
        sampler = self.given(shuffle=False, group=True)
        assert [sampler.batch(s) for s in (0, 5, 6)] == [[0, 1, 2, 3], [20, 21, 22], [0, 1, 2, 3]]

    def test_grouped_batches_hold_like_lengths(self) -> None:
        lengths = [i * 37 % 101 for i in range(200)]
        spread = {}
        for group in (False, True):
            sampler = Sampler(lengths, batch=8, seed=0, shuffle=True, group=group)
            batches = [sampler.batch(s) for s in range(25)]
            assert sorted(i for b in batches for i in b) == list(range(200))
            spread[group] = sum(
                max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches
            )
        assert spread[True] < spread[False] / 4

    def test_visited_is_what_the_steps_use(self) -> None:
        sampler = self.given()
        assert sampler.visited(2) == sorted(sampler.batch(0) + sampler.batch(1))
        assert sampler.visited(7) == list(range(23))
