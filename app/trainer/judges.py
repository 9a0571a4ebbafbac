"""What a policy is rewarded by: a reward model, several of them, or a Python function."""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from app.run_config import MonitorSettings, PpoConfig
from app.trainer import lm as models
from app.trainer.batches import Example, beyond
from app.trainer.chat import BadConversation, ChatFormat
from app.trainer.failures import BadInput, Failure
from app.trainer.rollout import RewardModel


class Judge(Protocol):
    """Gives a number to each answer, and says how strange it is, where it knows."""

    def read(self, answered: Sequence[Example]) -> tuple[Tensor, Tensor | None]: ...


class ModelJudge:
    """A reward model before the answers of a policy: by its tokens where both share them."""

    def __init__(self, reward: RewardModel, chat: ChatFormat) -> None:
        self.reward, self.chat = reward, chat
        self.shares_tokens = reward.shares_tokens(chat)

    def read(self, answered: Sequence[Example]) -> tuple[Tensor, Tensor | None]:
        """Scores `(episodes,)`, and distances from the training data where they are stored.

        Raises:
            BadInput: at an answer that it cannot read.

        """
        read = [self._whole(e) if self.shares_tokens else self._in_words(e) for e in answered]
        limits = models.limits_of(self.reward.model)
        for example in read:
            if reason := beyond(limits, example):
                raise self._cannot_read(example, reason)
        return self.reward.read(read)

    def _whole(self, answer: Example) -> Example:
        """With what the template writes behind a finished reply."""
        response = answer.responses[0]
        if response[-1] not in self.chat.stop_ids:
            return answer
        return replace(answer, responses=(response + tuple(self.chat.tail_ids),))

    def _in_words(self, answer: Example) -> Example:
        said = {"role": "assistant", "content": self.chat.decode(answer.responses[0])}
        try:
            return self.reward.encode(replace(answer.row, replies=((said,),)))
        except BadConversation as error:
            raise self._cannot_read(answer, str(error)) from error

    def _cannot_read(self, answer: Example, reason: str) -> BadInput:
        return BadInput(
            f"The reward model cannot read an answer to {answer.row.where}: {reason}. Choose "
            "another reward model, lower max_length, or leave such prompts out."
        )


class FunctionJudge:
    """A function of the user's: `f(prompts, responses)` → a number for each response."""

    def __init__(self, name: str, chat: ChatFormat) -> None:
        self.name, self.chat = name, chat
        self.function = load_function(name)

    def read(self, answered: Sequence[Example]) -> tuple[Tensor, Tensor | None]:
        prompts = [[dict(m) for m in answer.row.prompt] for answer in answered]  # its own to change
        responses = [self.chat.decode(answer.responses[0]) for answer in answered]
        try:
            found = [float(score) for score in self.function(prompts, responses)]
        except Failure:
            raise
        except Exception as error:  # whatever the code of somebody else raises
            raise self._wrong(f"raised {type(error).__name__}: {error}") from error
        if len(found) != len(responses):
            raise self._wrong(f"returned {len(found)} numbers for {len(responses)} responses")
        scores = torch.tensor(found, dtype=torch.float32)
        if not scores.isfinite().all():  # or too large for 32 bit
            raise self._wrong("returned something that is not a finite number")
        return scores, None

    def _wrong(self, what: str) -> BadInput:
        return BadInput(f"The reward function {self.name} {what}. Mend it, then --resume.")


def load_function(name: str) -> Callable[..., Any]:
    """`package.module:function`, from what is installed or from the current folder.

    Raises:
        BadInput: naming it, when it cannot be had.

    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise BadInput(f"reward_function {name}: write it as package.module:function.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that a file of this folder hides no library
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may raise anything while it loads
        raise BadInput(
            f"The reward function {name} cannot be loaded ({type(error).__name__}: {error}). Its "
            "module must be installed, on PYTHONPATH, or in the current folder."
        ) from error
    if not callable(found):
        raise BadInput(f"The reward function {name} is no function.")
    return found


@dataclass(frozen=True)
class Verdict:
    """What the judges make of some answers."""

    members: Tensor  # (members, episodes): scores as they came
    watched: Tensor | None = None  # (episodes,) of the model that is not trained on
    distance: Tensor | None = None  # (episodes,) from the first model's training data


class Judges:
    """All that judge in a run: those that are rewarded, and one that may only watch."""

    def __init__(self, rewarding: Sequence[Judge], watching: Judge | None = None) -> None:
        self.rewarding, self.watching = list(rewarding), watching

    @property
    def models(self) -> list[RewardModel]:
        """The reward models among those that reward."""
        return [judge.reward for judge in self.rewarding if isinstance(judge, ModelJudge)]

    @property
    def longest(self) -> int:
        """Tokens of a prompt and its answer that all can read who share the policy's tokens."""
        return min(
            (
                models.limits_of(judge.reward.model).context - len(judge.chat.tail_ids)
                for judge in (*self.rewarding, self.watching)
                if isinstance(judge, ModelJudge) and judge.shares_tokens
            ),
            default=sys.maxsize,
        )

    def read(self, answered: Sequence[Example]) -> Verdict:
        found = [judge.read(answered) for judge in self.rewarding]
        watched, strange = self.watching.read(answered) if self.watching else (None, None)
        distance = found[0][1] if found[0][1] is not None else strange
        return Verdict(torch.stack([scores for scores, _ in found]), watched, distance)

    def settle(self, device: torch.device) -> None:
        """Go where they will read, once nothing else is made of their weights."""
        for judge in (*self.rewarding, self.watching):
            if isinstance(judge, ModelJudge):
                judge.reward.settle(device)

    def fingerprint(self) -> str:
        return " ".join(models.fingerprint(reward.model) for reward in self.models)


def aggregate(scores: Tensor, how: str = "mean", coef: float = 1.0) -> Tensor:
    """One score from an ensemble's: `(members, episodes)` → `(episodes,)`.

    worst: the lowest (worst-case optimisation, Coste et al. 2023); lower_bound: mean - coef · σ
    over the members.
    """
    if how == "worst":
        return scores.amin(0)
    mean = scores.mean(0)
    return mean - coef * scores.std(0, correction=0) if how == "lower_bound" else mean


# -- loading ----------------------------------------------------------------------------------


def load_judges(config: PpoConfig, chat: ChatFormat) -> Judges:
    """Those that the settings name.

    Raises:
        BadInput: when none is named, or one cannot be used.

    """
    watched = config.monitor_reward_model_path
    watcher = load_judge(watched, chat, config) if watched else None
    if config.reward_function:
        return Judges([FunctionJudge(config.reward_function, chat)], watcher)
    named = members_of(config.reward_model_path or "")
    if not named:
        raise BadInput("PPO needs a reward model: set reward_model_path to its folder.")
    members = [load_judge(name, chat, config) for name in named]
    if config.reward_hold_out:
        if len(members) < 2 or watcher:
            raise BadInput(
                "reward_hold_out keeps back one member of an ensemble: reward_model_path must name "
                "two or more, and monitor_reward_model_path none."
            )
        watcher = members.pop()
    return Judges(members, watcher)


def watching(config: MonitorSettings, chat: ChatFormat, device: torch.device) -> ModelJudge | None:
    """The reward model that only watches, where one is named."""
    name = config.monitor_reward_model_path
    if not name or config.monitor_action == "off":
        return None
    judge = load_judge(name, chat, config)
    judge.reward.settle(device)
    return judge


def load_judge(name: str, chat: ChatFormat, config: Any) -> ModelJudge:
    """A trained reward model, frozen; `config` says how long its reading may be."""
    path = models.locate(name, "reward model")
    tokenizer = models.load_tokenizer(path)
    loaded = models.load_reward_model(name, tokenizer, role="reward model", fresh=False)
    limit = min(config.max_length, models.limits_of(loaded).context)
    reward = RewardModel(
        loaded,
        tokenizer,
        max_tokens=max(limit, 1024),
        bf16=config.bf16,
        familiarity=models.Familiarity.load(Path(path)),
    )
    return ModelJudge(reward, chat)


def members_of(names: str) -> list[str]:
    """The models that a setting names: one, several with commas, or the members of an ensemble."""
    given = [name for part in names.split(",") if (name := part.strip())]
    return [member for name in given for member in models.member_folders(name)]
