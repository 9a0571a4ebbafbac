"""The course of a run: which rows come when, where it stands, what it keeps and how it goes on."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator
from safetensors import SafetensorError

from app.run_config import RunConfig, batch_size, total_steps
from app.trainer import lm as models
from app.trainer.batches import Data, Example, Forward, Sampler
from app.trainer.failures import Cancelled
from app.trainer.optimization import Updater, unreached_peak
from app.trainer.run_folder import RunFolder, unreadable


class Beside(Protocol):
    """What goes along with a run and is kept in its checkpoints; `state` is empty at the start."""

    def begin(self, model: Any, state: Mapping[str, Any]) -> None: ...

    def state(self) -> dict[str, Any]: ...


class Course:
    """The plan of a run over its data, and its checkpoints."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        accelerator: Accelerator,
        data: Data,
        model: Any,
        *,
        each: int = 1,
        start: Mapping[str, str] | None = None,
    ) -> None:
        """Plan it; a row makes `each` examples of a batch, `start` names more that it begins from.

        A run that is resumed must begin from the same.
        """
        processes = accelerator.num_processes
        self.folder, self.data = folder, data
        self.sampler = Sampler(
            [example.length for example in data.train],
            batch=batch_size(config, processes) // each,
            seed=config.seed,
            shuffle=config.shuffle,
            group=config.group_by_length,
        )
        self.steps = total_steps(config, len(data.train), processes=processes)
        folder.describe_data(data.figures, data.sentences)
        folder.plan(
            total_steps=self.steps,
            steps_per_epoch=self.sampler.steps_per_epoch,
            start={
                "model": models.fingerprint(model),
                "data": data.fingerprint(),
                "set of judgements": data.judgements(),
                **(start or {}),
            },
        )
        if models.chooses_experts(model):
            folder.note(
                "This model chooses among experts. A loss that balances their load "
                "(router_aux_loss_coef) is not part of this training."
            )
        packable = folder.packs(models.can_pack(model, longest=config.max_length))
        self.forward = Forward.of(
            config,
            accelerator.device,
            packable=packable,
            keeps_scores=models.keeps_scores(model),
            token=models.bytes_of_token(model, config),
        )

    def indices(self, step: int) -> list[int]:
        """Which rows make update `step`, counted from 1."""
        return self.sampler.batch(step - 1)

    def batch(self, step: int) -> list[Example]:
        return [self.data.train[i] for i in self.indices(step)]

    @contextlib.contextmanager
    def steps_left(
        self,
        model: Any,
        tokenizer: Any,
        updater: Updater,
        *,
        beside: Beside | None = None,
        save: Callable[..., None] = models.save,
        load: Callable[[Any, Path], None] = models.load_weights,
    ) -> Iterator[range]:
        """The updates still to make, from the last checkpoint on; a cancelled run saves one more.

        `save` and `load` are for what is more than one model.

        Raises:
            BadInput: when the checkpoint is of another model or other data, or cannot be read.

        """
        self.updater, self.beside = updater, beside
        self.write = partial(save, model, tokenizer)
        done, state = 0, dict[str, Any]()
        if found := self.folder.load_checkpoint():
            done, checkpoint, state = found
            try:
                load(model, checkpoint / "model")
            except (OSError, SafetensorError) as error:
                raise unreadable(checkpoint) from error
            updater.load(state)
        elif sentence := unreached_peak(self.folder.config, self.steps):
            self.folder.warn(1, sentence)
        if beside:
            beside.begin(model, state)
        try:
            yield range(done + 1, self.folder.total_steps + 1)
        except Cancelled:
            self._save(self.folder.step)
            raise

    def log(self, step: int, metrics: dict[str, float], *, last: bool = False) -> None:
        """Record a finished update, and save where that is due or the run ends early."""
        self.folder.log(step, metrics)
        if last or self.folder.save_due(step):
            self._save(step)

    def _save(self, step: int) -> None:
        state = self.updater.state() | {"sampler": self.sampler.state(step)}
        state |= self.beside.state() if self.beside else {}
        self.folder.save_checkpoint(step, lambda path: self.write(path / "model"), state)

    def save_model(
        self, write: Callable[[Path], None] | None = None, *, base: str, dataset: Path
    ) -> None:
        """The model as the last update left it."""
        self.folder.save_model(write or partial(self.write, final=True), base=base, dataset=dataset)
