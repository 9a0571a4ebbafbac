"""The loop: generate → score → penalise → advantages → update, until steps or KL budget end."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from app.run_config import PpoConfig
from app.trainer import lm as models
from app.trainer.batches import Example, encode_prompt, read_examples
from app.trainer.chat import ChatFormat, readable
from app.trainer.course import Course
from app.trainer.dataset import prompt_row
from app.trainer.failures import BadInput
from app.trainer.judges import Judges, ModelJudge, load_judges
from app.trainer.monitors import take_up
from app.trainer.optimization import Updater, seed_everything
from app.trainer.ppo.episodes import Episode, Play, PolicyAndValue
from app.trainer.ppo.limits import Limits
from app.trainer.ppo.shaping import Shaping, adapt, objective
from app.trainer.ppo.updating import update
from app.trainer.run_folder import RunFolder

EVAL_PROMPTS = 64  # most prompts answered in one evaluation
EVALUATION, REFERENCE = 1, 2  # streams of sampling noise beside that of training (0)

# Bradley & Terry's model leaves the level open, so that each member comes to one of its own.
LEVELS = (
    "The reward models are compared as they are, each with a level of its own, so that the lowest "
    "may always be the same one: set score_normalization=model or reference."
)


def train(
    config: PpoConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Raise the reward model's score of what the policy says, at a price per nat of drift."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    bare = models.load_lm(model, config=config)
    chat = ChatFormat(tokenizer, bare)
    chat.tell_ends(bare)
    judges = load_judges(config, chat)
    compares = config.reward_aggregation != "mean" and len(judges.models) > 1
    if compares and config.score_normalization == "none":
        folder.note(LEVELS)
    value = value_model(config, model, judges, chat, folder)
    context = min(config.max_length, models.limits_of(bare).context, judges.longest)
    data = read_examples(
        dataset,
        config,
        purpose="ppo",
        to_row=prompt_row,
        encode=partial(encode_prompt, chat=chat, longest=context - config.response_length),
        limits=models.limits_of(bare),
    )
    course = Course(
        config,
        folder,
        accelerator,
        data,
        bare,
        each=config.group,
        start={"reward model": judges.fingerprint()},
    )
    reference = None if config.lora_r else copy.deepcopy(bare).eval().requires_grad_(False)
    policy = models.with_lora(bare, config, scores=False)
    trained = PolicyAndValue(policy, value, critic=config.algorithm == "ppo")
    updater = Updater(accelerator, trained, config, course.steps)
    judges.settle(accelerator.device)
    if reference is not None:
        reference.to(accelerator.device)
        if config.bf16:
            models.halve_frozen(reference)
    play = Play(config, accelerator, updater, reference, judges, chat, course.forward)
    shaping = Shaping(config.kl_coef)
    limits = Limits(config, updater.bare, play)
    held_out = (data.test or data.train)[:EVAL_PROMPTS]

    kept = Kept(shaping, limits, folder, lambda: normalise(shaping, play, data.train, config))
    with course.steps_left(
        updater.bare, tokenizer, updater, beside=kept, save=save_models, load=load_models
    ) as steps:
        for step in steps:
            began = time.perf_counter()
            episodes = play.episodes(
                course.batch(step), stream=0, number=step, group=config.group, learning=True
            )
            metrics = objective(episodes, shaping, config)
            metrics |= limits.look(episodes, step, folder, kl=metrics["objective/kl_exact"])
            if not limits.exceeded:
                metrics |= update(
                    episodes, shaping, config, updater, course.forward, step, play.kept
                )
                adapt(shaping, config, metrics["objective/kl"], len(episodes))
            tokens = sum(e.example.length for e in episodes)
            metrics["tokens_per_second"] = tokens / (time.perf_counter() - began)
            metrics["episode"] = float(course.sampler.seen(step) * config.group)
            if limits.exceeded or folder.eval_due(step):
                shown = play.episodes(held_out, stream=EVALUATION, number=0)
                limits.check(evaluation(shown)["eval_objective/kl"], step)
                if limits.exceeded:
                    limits.put_back()
                    folder.stop_here(step, limits.why, limits.sentence)
                    shown = play.episodes(held_out, stream=EVALUATION, number=0)
                metrics |= evaluation(shown)
                folder.sample(step, [sample(e, chat) for e in shown[: config.num_samples]])
            course.log(step, metrics, last=limits.exceeded)
            if limits.exceeded:
                break
    course.save_model(base=model, dataset=dataset)


class Kept:
    """What stands in a checkpoint beside the models: how scores are shaped, and the limits."""

    def __init__(
        self, shaping: Shaping, limits: Limits, folder: RunFolder, first: Callable[[], None]
    ) -> None:
        self.shaping, self.limits, self.folder, self.first = shaping, limits, folder, first

    def begin(self, _model: Any, state: Mapping[str, Any]) -> None:
        """Go on where a checkpoint left off, or do what comes `first`."""
        if not state:
            self.first()
            return
        vars(self.shaping).update(state["shaping"])
        self.limits.last_good.load(state["within"])
        take_up(self.limits.watch, self.folder, state.get("watch", {}))

    def state(self) -> dict[str, Any]:
        return {
            "shaping": vars(self.shaping),
            "within": self.limits.last_good.state(),
            "watch": self.limits.watch.state(),
        }


# -- setting up -------------------------------------------------------------------------------


def value_model(
    config: PpoConfig, model: str, judges: Judges, chat: ChatFormat, folder: RunFolder
) -> models.Scorer | None:
    """The value model, which starts as a copy of the reward model; None where there is no such."""
    if config.algorithm != "ppo" or config.value_model == "shared":
        return None
    first = judges.rewarding[0]
    if isinstance(first, ModelJudge) and first.shares_tokens:
        start = copy.deepcopy(first.reward.model).requires_grad_(True)
    else:
        if isinstance(first, ModelJudge):
            folder.note("The reward model has other tokens; values start from the policy instead.")
        start = models.load_reward_model(model, copy.deepcopy(chat.tokenizer))
        nn.init.zeros_(start.score.weight)
    return models.Scorer(models.with_lora(start, config, scores=True))


def normalise(shaping: Shaping, play: Play, prompts: Sequence[Example], config: PpoConfig) -> None:
    """Set the scale of scores, so that `kl_coef` means the same whatever the reward model.

    Raises:
        BadInput: where a reward model is to say its scale, and does not know it.

    """
    if config.score_normalization == "model":
        stored = [reward.model.config for reward in play.judges.models]
        if not all(hasattr(found, "score_std") for found in stored):
            raise BadInput(
                "The reward model stores no figures of its scores, as score_normalization=model "
                "needs them. Choose reference or none."
            )
        shaping.mean = [float(found.score_mean) for found in stored]
        shaping.std = [float(found.score_std) for found in stored]
    elif config.score_normalization == "reference":
        episodes = play.episodes(prompts[:EVAL_PROMPTS], stream=REFERENCE, number=0)
        scores = torch.tensor([e.members for e in episodes])
        shaping.mean = scores.mean(0).tolist()
        # a reward that says the same of all (yet) is on no scale: a first success would be huge
        shaping.std = [std if std > 1e-6 else 1.0 for std in scores.std(0, correction=0).tolist()]


def evaluation(episodes: Sequence[Episode]) -> dict[str, float]:
    """Means over held-out prompts, answered with the same noise each time; KL is the exact one."""
    count = len(episodes)
    return {
        "eval_objective/scores": sum(e.score for e in episodes) / count,
        "eval_objective/kl": sum(e.drift for e in episodes) / count,
        "eval_tokens/response_length": sum(e.actions for e in episodes) / count,
    }


def sample(episode: Episode, chat: ChatFormat) -> dict[str, Any]:
    return {
        "prompt": readable(episode.example.row.prompt),
        "response": chat.decode(episode.example.responses[0]),
        "score": round(episode.score, 4),
        "kl": round(episode.drift, 4),
        "ended": episode.ended,
    }


def save_models(
    module: PolicyAndValue, tokenizer: Any, folder: Path, *, final: bool = False
) -> None:
    """The policy into the folder; in a checkpoint also what foresees values, beside it."""
    models.save(module.policy, tokenizer, folder, final=final)
    if final:
        return
    if module.value is not None:
        models.save(module.value.model, tokenizer, folder.parent / "value")
    elif module.head is not None:
        head = models.gathered(dict(module.head.state_dict()))
        if models.is_main():
            torch.save(head, folder.parent / "value_head.pt")


def load_models(module: PolicyAndValue, folder: Path) -> None:
    """Put back what a checkpoint holds."""
    models.load_weights(module.policy, folder)
    if module.value is not None:
        models.load_weights(module.value.model, folder.parent / "value")
    elif module.head is not None:
        file = folder.parent / "value_head.pt"  # may be of a GPU that is not here
        head = torch.load(file, map_location="cpu", weights_only=True)
        models.put(head, module.head.state_dict())
