"""A tiny world for the trainer: data with a rule, a model with two layers, commands in-process."""

import json
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs the train extra")

from app.run_config import PpoConfig  # noqa: E402
from app.trainer import lm as models  # noqa: E402
from app.trainer import ppo  # noqa: E402
from app.trainer.__main__ import main  # noqa: E402
from app.trainer.batches import Example, Forward, encode_prompt  # noqa: E402
from app.trainer.chat import ChatFormat  # noqa: E402
from app.trainer.dataset import Row  # noqa: E402
from app.trainer.failures import signals  # noqa: E402
from app.trainer.judges import load_judges  # noqa: E402
from app.trainer.new_model import Size, make_lm, make_tokenizer, read_documents  # noqa: E402
from app.trainer.optimization import Updater  # noqa: E402
from app.trainer.processes import start_processes  # noqa: E402
from tests.trainer import manners  # noqa: E402

MICRO = Size(vocabulary=400, hidden=32, layers=2, heads=2, inner=64, steps=0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread, and nothing left behind of signals that a test asked the trainer to hear."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    signals.came = False
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def none_left_at_work() -> Iterator[None]:
    """A process that a test began ends with it, however that ends: it would slow down all others.

    Without this one that hears SIGTERM late would also be waited for when all tests are done.
    """
    before = set(multiprocessing.active_children())
    yield
    for process in set(multiprocessing.active_children()) - before:
        process.kill()
        process.join(60)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return manners.write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder with every config but ranking: 24 training and 8 test prompts."""
    return manners.write_dataset(tmp_path_factory.mktemp("data"), train=24, test=8)


@pytest.fixture(scope="session")
def rankings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rankings")
    return manners.write_dataset(folder, ("ranking",), train=24, test=8)


@pytest.fixture(scope="session")
def tokenizer(corpus: Path) -> Any:
    return make_tokenizer(read_documents(corpus), MICRO.vocabulary)


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> str:
    """The folder of an untrained two-layer language model."""
    folder = tmp_path_factory.mktemp("micro")
    torch.manual_seed(0)
    make_lm(MICRO, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@dataclass
class Run:
    """What a training left behind."""

    code: int
    folder: Path
    out: str
    err: str

    def read(self, name: str) -> list[dict]:
        file = self.folder / name
        return [json.loads(line) for line in file.read_text().splitlines()]

    @property
    def metrics(self) -> list[dict]:
        return self.read("metrics.jsonl")

    @property
    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())

    def figures(self, *without: str) -> list[dict]:
        """The metrics but for what depends on the clock."""
        skip = {"time", "tokens_per_second", *without}
        return [{k: v for k, v in row.items() if k not in skip} for row in self.metrics]


@pytest.fixture
def train(
    tmp_path: Path, data: Path, micro: str, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Run one training in this process: `train("sft", max_steps=3)`."""

    def run(
        kind: str,
        *options: str,
        dataset: Path = data,
        model: str = micro,
        output: Path | str = "run",
        **settings: Any,
    ) -> Run:
        folder = tmp_path / output
        short = {"max_new_tokens": 8} if kind in ("sft", "dpo") else {}  # of samples and monitors
        chosen = {"learning_rate": 1e-3, **short, **settings}
        pairs = [part for k, v in chosen.items() for part in ("--set", f"{k}={v}")]
        capfd.readouterr()
        folders = ["--dataset", str(dataset), "--model", model, "--output", str(folder)]
        code = main([kind, *folders, *pairs, *options])
        captured = capfd.readouterr()
        return Run(code, folder, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory, data: Path, micro: str) -> str:
    """The folder of a reward model that has seen a few pairs."""
    folder = tmp_path_factory.mktemp("judge") / "run"
    command = ["reward", "--dataset", str(data), "--model", micro, "--output", str(folder)]
    assert main([*command, "--set", "max_steps=6", "--set", "learning_rate=3e-3"]) == 0
    return str(folder / "model")


@pytest.fixture
def ensemble(judge: str, tmp_path: Path) -> Path:
    """A folder as `train reward` writes one: member 0 itself, and each member below it."""
    folder = tmp_path / "ensemble"
    shutil.copytree(judge, folder)
    for number in range(3):
        member = folder / f"member-{number}"
        shutil.copytree(judge, member)
        loaded = models.load_reward_model(judge, models.load_tokenizer(judge), fresh=False)
        with torch.no_grad():
            loaded.score.weight *= 1 + number  # they disagree about everything but 0
        loaded.save_pretrained(member)
    members = [f"member-{number}" for number in range(3)]
    (folder / "ensemble.json").write_text(json.dumps({"members": members}))
    return folder


@pytest.fixture
def stage(micro: str, judge: str, tokenizer: Any) -> Callable[..., tuple[ppo.Play, list[Example]]]:
    """A policy, its frozen start and a reward model, ready to play, and six prompts."""

    def build(**settings: Any) -> tuple[ppo.Play, list[Example]]:
        given = {
            "response_length": 10, "temperature": 0.8, "learning_rate": 1e-3,
            "reward_model_path": judge,
        }  # fmt: skip
        config = PpoConfig(**(given | settings))
        torch.manual_seed(0)
        chat = ChatFormat(tokenizer)
        policy = models.with_lora(models.load_lm(micro), config, scores=False)
        reference = None if config.lora_r else models.load_lm(micro)
        judges, value = load_judges(config, chat), None
        if config.algorithm == "ppo" and config.value_model == "separate":
            start = load_judges(config, chat).models[0].model.requires_grad_(True)
            value = models.Scorer(models.with_lora(start, config, scores=True))
        accelerator = start_processes(torch.device("cpu"))
        trained = ppo.PolicyAndValue(policy, value, critic=config.algorithm == "ppo")
        updater = Updater(accelerator, trained, config, 10)
        forward = Forward(packed=True, max_tokens=512, bf16=False)
        play = ppo.Play(config, accelerator, updater, reference, judges, chat, forward)
        encode = partial(encode_prompt, chat=chat, longest=200)
        rows = [Row("made", tuple(manners.ask(p))) for p in manners.prompts()[:6]]
        return play, [encode(row) for row in rows]

    return build
