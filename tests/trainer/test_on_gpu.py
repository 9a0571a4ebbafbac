"""What a run does with a GPU, as far as a CPU can show it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import LlamaConfig, LlamaForCausalLM

from app.run_config import PpoConfig, SftConfig
from app.trainer import lm as models
from app.trainer.batches import Forward
from app.trainer.optimization import random_state, set_random_state
from app.trainer.ppo.training import load_models, save_models
from app.trainer.processes import start_processes
from tests.trainer.test_families import made


@pytest.fixture
def gpus(monkeypatch) -> list[torch.Tensor]:
    """The states of chance of eight GPUs, of which the run has the first; then those it set."""
    states = [torch.tensor([number], dtype=torch.uint8) for number in range(8)]
    given: list[torch.Tensor] = []
    for name, does in {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "get_rng_state_all": lambda: states,
        "get_rng_state": lambda: states[0],
        "set_rng_state_all": given.extend,
        "set_rng_state": given.append,
    }.items():
        monkeypatch.setattr(torch.cuda, name, does)
    return given


def test_a_run_can_go_on_where_there_are_fewer_gpus(gpus: list[torch.Tensor]) -> None:
    set_random_state(random_state())
    assert [int(state) for state in gpus] == [0]


@pytest.mark.usefixtures("gpus")
def test_a_run_on_the_cpu_leaves_the_gpu_alone(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert "cuda" not in random_state()


def test_a_checkpoint_of_a_gpu_is_read_on_a_cpu(stage, tmp_path: Path, monkeypatch) -> None:
    play, _ = stage(value_model="shared")
    trained = play.updater.bare
    torch.nn.init.constant_(trained.head.weight, 0.5)
    tokenizer = play.chat.tokenizer
    with monkeypatch.context() as there:
        there.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:0")
        save_models(trained, tokenizer, tmp_path / "model")
    torch.nn.init.zeros_(trained.head.weight)
    load_models(trained, tmp_path / "model")
    assert (trained.head.weight == 0.5).all()


@pytest.fixture
def memory(monkeypatch) -> None:
    """A GPU of 80 GB."""
    told = SimpleNamespace(total_memory=80 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: told)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(("family", "tokens"), [("llama", 32768), ("gemma2", 1024)])
def test_packs_are_short_where_a_model_keeps_all_scores(family: str, tokens: int) -> None:
    """Gemma 2 in packs of 8192 tokens keeps eight times 8192² scores in each of its layers."""
    keeps = models.keeps_scores(made(family))
    config, device = SftConfig(), torch.device("cuda")
    assert Forward.of(config, device, packable=True, keeps_scores=keeps).max_tokens == tokens
    assert Forward.of(config, device, packable=False, keeps_scores=keeps).max_tokens == 32768


@pytest.mark.usefixtures("memory")
def test_a_pass_fits_into_the_memory_of_a_gpu() -> None:
    """Of a model like Llama 2 7B a token takes some ten megabytes, most of it recomputed or not."""
    shape = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32)
    with torch.device("meta"):
        large = LlamaForCausalLM(shape)
    device, tokens = torch.device("cuda"), []
    for config in (
        SftConfig(bf16=True),
        SftConfig(bf16=False),
        SftConfig(bf16=True, gradient_checkpointing=True),
        PpoConfig(bf16=True, reward_model_path="judge"),
    ):
        token = models.bytes_of_token(large, config)
        tokens.append(Forward.of(config, device, packable=True, token=token).max_tokens)
    assert tokens == [3072, 2048, 32768, 1024]


def test_the_second_gpu_is_called_so(monkeypatch) -> None:
    """By its number: accelerate compares it with where a model in 4 bits was loaded."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        assert start_processes(torch.device("cuda:1")).device == torch.device("cuda:1")
        assert chosen == [torch.device("cuda:1")]
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
