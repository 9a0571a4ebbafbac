"""On a CUDA device: the same figures as on a CPU, and a run that goes on repeats what it said."""

import copy
import importlib.util
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from app.trainer import lm as models
from app.trainer import losses
from app.trainer.batches import lay_out
from app.trainer.lm import attention
from app.trainer.rollout import Sampling, generate, noise_seed
from tests.trainer.test_families import FAMILIES, OWN_ATTENTION, PADDED, made
from tests.trainer.test_layouts import BATCH, example

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
WIDE = {"hidden_size": 64, "head_dim": 16}  # FlexAttention needs heads of at least 16
KINDS: dict[str, dict[str, Any]] = {
    "sft": {},
    "reward": {},
    "dpo": {},
    "kto": {"loss_type": "kto"},
    "ppo": {"response_length": 8, "num_ppo_epochs": 2},
    "shared": {"response_length": 8, "num_ppo_epochs": 2, "value_model": "shared"},
    "grpo": {"response_length": 8, "algorithm": "grpo", "num_generations": 2},
}
EVEN = ("rewards/accuracies", "eval_rewards/accuracies")  # at the start both sides are alike
STOPS = frozenset(range(0, 60, 12))
EACH = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
def run(train, request):
    """A short training of one of KINDS on a device."""

    def start(name: str, *options: str, device: str = "cuda", **settings: Any) -> Any:
        kind = {"kto": "dpo", "shared": "ppo", "grpo": "ppo"}.get(name, name)
        judged = {}
        if kind == "ppo":
            judged["reward_model_path"] = request.getfixturevalue("judge")
        steps = {"max_steps": 6, "eval_steps": 3, "num_samples": 1}
        steps["lr_scheduler_type"] = "constant"  # else it knows how long the run is
        AcceleratorState._reset_state(reset_partial_state=True)  # it knows one device only
        chosen = steps | KINDS[name] | judged | settings
        found = train(kind, "--device", device, *options, **chosen)
        assert found.code == 0, found.err
        return found

    return start


def logps(model: Any, how: str, *, packed: bool, device: str = "cuda") -> tuple[Any, Any]:
    """Log-probabilities of whole responses, and the gradient of their mean; both on the CPU."""
    own = copy.deepcopy(model).to(device)
    models.choose_attention(how)
    try:
        layout = lay_out(BATCH, packed=packed).to(device)
        flat = models.target_logps(own, layout)
        sums = losses.sum_by(flat, layout.owners, layout.responses)
        sums.mean().backward()
    finally:
        models.choose_attention("auto")
    grads = [p.grad.flatten() for p in own.parameters() if p.grad is not None]
    return sums.detach().cpu(), torch.cat(grads).cpu()


def test_flex_attention_says_the_same_as_the_dense_mask() -> None:
    model = made("llama", **WIDE)
    wanted, gradient = logps(model, "sdpa", packed=True)
    found, other = logps(model, "flex_attention", packed=True)
    assert torch.allclose(found, wanted, atol=1e-3)
    assert torch.nn.functional.cosine_similarity(other, gradient, dim=0) > 0.9999


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("size", [16, 64, 80, 128, 256])
def test_flash_attention_is_found_in_16_bit(size: int, groups: int) -> None:
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        assert attention.has_flash(torch.device("cuda"), size, groups, torch.bfloat16)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - OWN_ATTENTION))
def test_a_family_says_nearly_the_same_in_16_bit(family: str) -> None:
    model = made(family, **WIDE)
    wanted, gradient = logps(model, "auto", packed=True, device="cpu")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        found, other = logps(model, "auto", packed=True)
    assert torch.allclose(found, wanted, rtol=0.05)
    assert torch.nn.functional.cosine_similarity(other, gradient, dim=0) > 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_says_the_same_as_on_a_cpu(family: str) -> None:
    plain = family.startswith("falcon")
    model = made(family) if plain else made(family, **WIDE)
    wanted, gradient = logps(model, "auto", packed=True, device="cpu")
    for how in ("auto", "sdpa"):
        found, other = logps(model, how, packed=True)
        assert torch.allclose(found, wanted, atol=1e-3), how
        assert torch.nn.functional.cosine_similarity(other, gradient, dim=0) > 0.9999, how
    found, other = logps(model, "auto", packed=False)
    assert torch.allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("family", PADDED)
def test_one_that_cannot_be_packed_is_padded(family: str) -> None:
    model = made(family).cuda()
    assert not models.can_pack(model, longest=64)


@EACH
def test_a_run_has_the_figures_of_a_cpu(run, name: str) -> None:
    """In the first steps: what rounds otherwise moves apart, and which of two equals is larger."""
    there = run(name, output="there", max_steps=2).figures(*EVEN)
    here = run(name, device="cpu", output="here", max_steps=2).figures(*EVEN)
    for one, other in zip(there, here, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("bf16", [False, True])
@EACH
def test_a_run_that_goes_on_says_what_it_would_have_said(run, name: str, *, bf16: bool) -> None:
    whole = run(name, output="whole", bf16=bf16, save_steps=3)
    again = run(name, output="again", bf16=bf16, save_steps=3)
    assert again.figures() == whole.figures()
    run(name, output="broken", bf16=bf16, save_steps=3, max_steps=3)
    broken = run(name, "--resume", output="broken", bf16=bf16, save_steps=3)
    assert broken.figures() == whole.figures()


@pytest.mark.parametrize("name", ["sft", "reward", "dpo", "ppo"])
@pytest.mark.parametrize("bits", [32, 4])
def test_adapters(run, name: str, bits: int) -> None:
    """Also with recomputed activations and in 16 bit, as one trains what is large."""
    if bits == 4 and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("needs bitsandbytes")
    small = {"load_in_4bit": True} if bits == 4 else {}
    done = run(name, lora_r=4, bf16=True, gradient_checkpointing=True, **small)
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in done.metrics)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_generation_says_the_same_however_it_is_batched(family: str, *, bf16: bool) -> None:
    lm = made(family, sliding_window=None, **WIDE).cuda()
    prompts = [example(n, 1, seed=n).prompt for n in (3, 9, 17, 4, 30)]
    seeds = [noise_seed(0, i) for i in range(len(prompts))]

    def written(**levers: Any) -> list[list[int]]:
        return generate(lm, prompts, Sampling(24), stop_ids=STOPS, seeds=seeds, bf16=bf16, **levers)

    together = written(batch_size=5)
    for levers in (
        {"pack": 64},
        {"compact": False},
        {"pack": 64, "recorded": False},
        {"roomy": False},
        {"batch_size": 2},
    ):
        other = written(**({"batch_size": 5} | levers))
        alike = sum(a == b for a, b in zip(other, together, strict=True))
        assert alike >= (4 if bf16 else 5), levers


def test_memory_that_runs_out_ends_with_a_sentence(train, micro: str) -> None:
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        run = train("sft", "--device", "cuda", max_steps=2)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert run.code == 3
    assert "Out of memory" in run.err
