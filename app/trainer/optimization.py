"""What every loop needs around its loss: one update, and the random state."""

import contextlib
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedModel, get_scheduler

from app.run_config import RunConfig
from app.trainer import lm as models
from app.trainer.batches import Example, Forward
from app.trainer.failures import BadInput, Diverged
from app.trainer.lm.soundness import first_broken
from app.trainer.processes import put_together, shared_pieces, total


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries draw from the global state
    torch.manual_seed(seed)


def make_optimizer(model: Any, config: RunConfig) -> torch.optim.AdamW:
    """AdamW; matrices decay, biases and norms do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,  # one pass over each weight and its moments
    )


def warmup_of(config: RunConfig, steps: int) -> int:
    """Updates in which the learning rate rises, of so many."""
    return config.warmup_steps or math.ceil(config.warmup_ratio * steps)


def unreached_peak(config: RunConfig, steps: int) -> str:
    """A sentence where the learning rate rises, from 0, to the end of the run; else ""."""
    warmup = warmup_of(config, steps)
    if steps > warmup:
        return ""
    name = "warmup_steps" if config.warmup_steps else "warmup_ratio"
    return (
        f"The learning rate rises from 0 in the first {warmup} updates and the run has {steps}: it "
        f"comes to {(steps - 1) / warmup:.0%} of learning_rate ({config.learning_rate:g}). Lower "
        f"{name}, or train for longer."
    )


@contextlib.contextmanager
def in_order(*, wanted: bool) -> Iterator[None]:
    """Gradients inside add up in the same order every time, where that is wanted.

    Nothing else in a training adds up in any order; the whole of it so would be slower.

    Raises:
        BadInput: where the model has an operation that cannot.

    """
    if not wanted:
        yield
        return
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" in str(error):
            raise BadInput(
                "This model has a gradient that adds up in another order every time. "
                f"Set deterministic=false. ({str(error).splitlines()[0]})"
            ) from error
        raise
    finally:
        torch.use_deterministic_algorithms(False)


def can_repeat() -> None:
    """Let a GPU compute the same again: said before it is first used."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    aid: Any = torch.utils.deterministic
    aid.fill_uninitialized_memory = False  # for debugging, and takes time


def recompute(model: Any) -> None:
    """Drop activations and compute them again for the gradient (called differently until 5.20)."""
    name = "activation_checkpointing_enable"
    enable = getattr(model, name, None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


class Updater:
    """A model being trained: gradients over pieces of a batch, clipped steps, and its state."""

    def __init__(self, accelerator: Accelerator, model: Any, config: RunConfig, steps: int) -> None:
        self.accelerator, self.config = accelerator, config
        if config.gradient_checkpointing:
            for part in model.modules():
                if isinstance(part, PreTrainedModel):
                    recompute(part)
        if config.torch_compile:
            models.compile_parts(model)
        self.bare = model.to(accelerator.device)
        self.parts: list[Any] = model.parts() if hasattr(model, "parts") else [model]
        self.sharded = models.sharding_wanted()
        if self.sharded:
            models.shard(*self.parts)
            self.model, self.optimizer = self.bare, make_optimizer(self.bare, config)
        else:
            optimizer = make_optimizer(self.bare, config)
            self.model, self.optimizer = accelerator.prepare(self.bare, optimizer)
            if config.bf16:  # shards cannot hold two types
                models.halve_frozen(self.bare)
        self.model.train()
        inner = getattr(self.optimizer, "optimizer", self.optimizer)  # inside accelerate's
        self.schedule: Any = get_scheduler(
            config.lr_scheduler_type, inner, warmup_of(config, steps), steps
        )

    def pieces(
        self, batch: Sequence[Example], forward: Forward
    ) -> Iterator[tuple[list[Example], list[int], float]]:
        """The share of this process in forward-sized pieces: examples, places in the batch, scale.

        A loss term that is a share of the whole batch's mean is to be multiplied by `scale`, which
        undoes the average over processes; they exchange gradients once, after the last piece. A
        process without examples gets one at scale 0, because all must take part; with sharded
        weights also one with fewer pieces than another does.
        """
        every = self.accelerator.num_processes
        shares = shared_pieces(batch, every, forward)
        own = shares[self.accelerator.process_index]
        least = max(map(len, shares)) if self.sharded else 1
        spare = [own[-1] if own else [0]] * max(0, least - len(own))
        groups = [(group, 0.0) for group in spare] + [(group, float(every)) for group in own]
        for number, (places, scale) in enumerate(groups, 1):
            with self._exchange(wanted=number == len(groups)):
                yield [batch[i] for i in places], places, scale

    @contextlib.contextmanager
    def _exchange(self, *, wanted: bool) -> Iterator[None]:
        """Whether the backward pass inside adds up gradients over processes."""
        if self.sharded:
            models.synchronise(*self.parts, wanted=wanted)
        with contextlib.ExitStack() as stack:
            if not (wanted or self.sharded):
                stack.enter_context(self.accelerator.no_sync(self.model))
            yield

    def whole(self) -> Any:
        """All weights in this process, for what each does at its own pace."""
        return models.whole(*self.parts)

    def backward(self, term: Tensor) -> None:
        on_gpu = self.accelerator.device.type == "cuda"
        with in_order(wanted=on_gpu and self.config.deterministic):
            self.accelerator.backward(term)

    def step(self, number: int, loss: float, *, advance: bool = True) -> dict[str, float]:
        """Clip and step → `{learning_rate, grad_norm}`; `advance` moves the schedule on.

        Raises:
            Diverged: when loss or gradient is not a number; the weights stay as they were.

        """
        norm = self._clip()
        rate = float(self.schedule.get_last_lr()[0])
        if not (math.isfinite(norm) and math.isfinite(loss)):
            raise Diverged(
                f"Not a number at step {number}: loss {loss:g}, gradient norm {norm:g}. Lower "
                f"learning_rate (now {self.config.learning_rate:g}), add warmup_steps"
                + ("" if self.config.max_grad_norm else ", clip with max_grad_norm=1")
                + (", set bf16=false" if self.config.bf16 else "")
                + ", or look for broken texts in the data."
            )
        self.optimizer.step()
        if advance:
            self.schedule.step()
        self.optimizer.zero_grad()
        return {"learning_rate": rate, "grad_norm": norm}

    def _clip(self) -> float:
        """The norm of the gradient; of an ensemble each member's alone, and their mean."""
        parts = getattr(self.bare, "members", None) or [self.bare]
        norms = []
        for part in parts:
            trained = [p for p in part.parameters() if p.requires_grad]
            limit = self.config.max_grad_norm or math.inf
            norm = self.accelerator.clip_grad_norm_(trained, limit)
            norms.append(float(models.gathered(norm)))
        return sum(norms) / len(norms)

    def total(self, sums: Mapping[str, Any]) -> dict[str, float]:
        """Add figures over processes, in one exchange."""
        return total(self.accelerator, sums)

    def spread(self, scores: Sequence[Tensor]) -> dict[str, float]:
        """`min_reward`, `mean_reward`, `max_reward` over all processes."""
        nothing = torch.full((1,), float("nan"), device=self.accelerator.device)
        own = torch.cat(list(scores)) if scores else nothing
        if self.accelerator.num_processes > 1:
            own = self.accelerator.pad_across_processes(own, pad_index=float("nan"))
            own = self.accelerator.gather(own)
            own = own[~own.isnan()]
        return {
            "min_reward": float(own.min()),
            "mean_reward": float(own.mean()),
            "max_reward": float(own.max()),
        }

    def state(self) -> dict[str, Any]:
        """Optimiser, schedule and random state, as plain values and tensors: of all processes.

        Raises:
            Diverged: when the last update left weights that are not numbers: not worth keeping.

        """
        if broken := first_broken(self.bare):
            raise Diverged(
                f"The weights are not numbers any more ({broken}). Lower learning_rate (now "
                f"{self.config.learning_rate:g}), or add warmup_steps."
            )
        return {
            "optimizer": models.gathered(self.optimizer.state_dict()),
            "scheduler": self.schedule.state_dict(),
            "random": put_together(
                self.accelerator, [self.accelerator.process_index], [random_state()]
            ),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        moments = {
            i: {k: models.scattered(v, weights[i]) if v.ndim else v for k, v in own.items()}
            for i, own in state["optimizer"]["state"].items()
        }
        self.optimizer.load_state_dict(state["optimizer"] | {"state": moments})
        self.schedule.load_state_dict(state["scheduler"])
        drawn = state["random"]
        each = drawn if isinstance(drawn, list) else [drawn]  # an older run kept the first alone
        set_random_state(each[self.accelerator.process_index % len(each)])
        follow(self.schedule)


def follow(schedule: Any) -> None:
    """Take the rate of the next update from the schedule of this run, which may be longer now."""
    rates = [
        base * share(schedule.last_epoch)
        for base, share in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule._last_lr = rates  # noqa: SLF001 - as its own `step` does


def random_state() -> dict[str, Any]:
    """Python's, numpy's and torch's state, in types that load without pickled code."""
    drawn: Any = np.random.get_state()  # noqa: NPY002
    name, keys, position, has_gauss, gauss = drawn
    version, words, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "python": [version, list(words), gauss_next],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # of the GPU in use; a run on the CPU leaves all alone
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words), gauss_next))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"])
