"""The training of a reward model, top to bottom."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from app.run_config import RewardConfig, score_weights
from app.trainer import lm as models
from app.trainer.batches import Data, Example, Forward, encode_responses, read_examples
from app.trainer.chat import ChatFormat
from app.trainer.course import Course
from app.trainer.dataset import comparison_row
from app.trainer.failures import BadInput
from app.trainer.optimization import Updater, seed_everything
from app.trainer.reward import evaluating, members
from app.trainer.reward.evaluating import Judged, add_figures, pair_figures
from app.trainer.reward.members import Members
from app.trainer.reward.objectives import Shares, by_example, losses_of
from app.trainer.reward.ratings import Ratings, Scale
from app.trainer.reward.report import evaluation, pairs_of, worst
from app.trainer.reward.sentences import in_words
from app.trainer.run_folder import RunFolder


def train(
    config: RewardConfig, dataset: Path, model: str, folder: RunFolder, accelerator: Accelerator
) -> None:
    """Minimise the weighted mean over tasks; all responses of a task are scored in one pass."""
    seed_everything(config.seed)
    tokenizer = models.load_tokenizer(models.locate(model, "model"))
    ratings = Ratings(dataset, config.objectives) if config.objectives else None
    criteria, scale = (ratings.criteria, ratings.scale) if ratings else ((), Scale())
    judges = members.begin(model, tokenizer, config, (models.PREFERENCE, *criteria))
    chat = ChatFormat(tokenizer)
    data = read_examples(
        dataset,
        config,
        purpose="reward",
        to_row=ratings.to_row if ratings else comparison_row,
        encode=partial(encode_responses, chat=chat, ties=config.ranking_ties),
        limits=models.limits_of(judges[0]),
        more=ratings.left if ratings else lambda _split: (),
    )
    course = Course(config, folder, accelerator, data, judges[0])
    forward = course.forward.shared_by(len(judges))
    described = partial(describe, judges, config, criteria, scale)
    described()
    ensemble = Members([models.with_lora(judge, config, scores=True) for judge in judges])
    updater = Updater(accelerator, ensemble, config, course.steps)
    counts = members.how_often(config, len(data.train)).to(accelerator.device)
    judge = partial(evaluating.judge, ensemble, forward=forward, accelerator=accelerator)
    judged: list[Judged] = []

    with course.steps_left(
        ensemble, tokenizer, updater, save=members.save, load=members.load
    ) as steps:
        for step in steps:
            batch = course.batch(step)
            shares = Shares.of(batch, counts[:, course.indices(step)], scale, config)
            metrics = update(batch, shares, scale, config, updater, forward, step)
            if folder.eval_due(step):
                judged = judge(data.test)
                metrics |= evaluating.figures(judged, config, scale, judges[0].config)
                shown = [task for task in judged if task.example.row.ranks][: config.num_samples]
                folder.sample(
                    step, [evaluating.sample(task, chat, scale, criteria) for task in shown]
                )
            course.log(step, metrics)
    judged = judged or judge(data.test)
    about = conclude(judged, scale, criteria, folder)
    described(normalisation(judged or judge(some_of(data, config)), judges[0], bool(data.test)))

    def write(path: Path) -> None:
        members.save(ensemble, tokenizer, path, final=True, **about)
        if few := config.familiarity_samples:
            first = models.Scorer(ensemble.judges[0])
            with updater.whole():
                seen, unseen = (
                    models.features_of(first, rows[:few], forward)
                    for rows in (data.train, data.test)
                )
            if models.is_main():
                known = models.Familiarity.of(seen, unseen)
                for place in {path, members.places(path, len(judges))[0]}:
                    known.save(place)  # of the first member, which is also the folder itself

    course.save_model(write, base=model, dataset=dataset)


def update(
    batch: Sequence[Example],
    shares: Shares,
    scale: Scale,
    config: RewardConfig,
    updater: Updater,
    forward: Forward,
    step: int,
) -> dict[str, float]:
    """One step of every member on the whole batch → figures for the log."""
    began, device = time.perf_counter(), updater.accelerator.device
    sums: dict[str, Any] = dict.fromkeys(
        ("loss", "ratings", "right", "margin", "pairs", "tokens"), 0.0
    )
    scores: list[Tensor] = []
    for examples, places, scale_up in updater.pieces(batch, forward):
        layout = forward.lay_out(examples).to(device)
        with models.autocast(device, bf16=forward.bf16):
            heads = updater.model(layout, layout.ends)  # (responses, members, heads)
        compared, rated = heads.new_zeros(heads.shape[1]), heads.new_zeros(heads.shape[1])
        for place, (example, own) in zip(places, by_example(examples, heads), strict=True):
            outputs = own.transpose(0, 1)  # (members, responses, heads)
            parts = losses_of(example, outputs, place, shares, scale, config)
            compared, rated = compared + parts[0], rated + parts[1]
            if scale_up:
                add_figures(sums, example, outputs[..., 0].detach())
        # the sum: members share no trained weight, so each gets the gradient of its own
        updater.backward((compared + config.ratings_coef * rated).sum() * scale_up)
        if scale_up:
            sums["loss"] += compared.detach().mean()
            sums["ratings"] += rated.detach().mean()
            sums["tokens"] += layout.tokens
            scores.append(heads[..., 0].detach().flatten())
    totals = updater.total(sums)
    return {
        "loss": totals["loss"] + config.ratings_coef * totals["ratings"],
        **({"ratings_loss": totals["ratings"]} if config.objectives else {}),
        **pair_figures(totals),
        **updater.spread(scores),
        **updater.step(step, totals["loss"] + totals["ratings"]),
        "tokens_per_second": totals["tokens"] / (time.perf_counter() - began),
    }


def describe(
    judges: Sequence[Any],
    config: RewardConfig,
    criteria: Sequence[str],
    scale: Scale,
    scores: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write into each model its outputs, what its score is made of, and its scale.

    Raises:
        BadInput: where the score is to be made of what is no output.

    """
    names = (models.PREFERENCE, *criteria)
    try:
        weights = score_weights(config, criteria)
    except ValueError as error:
        raise BadInput(f"Settings: score_weights: {error}") from error
    about: dict[str, Any] = {}
    if criteria:
        about["score_weights"] = [weights.get(name, 0.0) for name in names]
        about["rating_means"], about["rating_stds"] = list(scale.means), list(scale.stds)
    for judge, own in zip(judges, scores or [{}] * len(judges), strict=True):
        models.name_heads(judge, names, **about, **own)


def some_of(data: Data, config: RewardConfig) -> list[Any]:
    """Training rows that stand in for a test split that is not there."""
    return data.train[: config.max_eval_samples or None]


def normalisation(judged: Sequence[Judged], judge: Any, tested: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    """The scale of each member's score, over responses of the test split, else of training rows.

    Pairs say nothing of the level of scores, so that every member comes to a level of its own.
    """
    return [
        {"score_mean": mean, "score_std": std, "score_of": "test" if tested else "train"}
        for mean, std in map(evaluating.mean_and_std, evaluating.scores_of(judged, judge.config).T)
    ]


def conclude(
    judged: Sequence[Judged], scale: Scale, criteria: Sequence[str], folder: RunFolder
) -> dict[str, Any]:
    """Say and keep how good it is → what the folder of an ensemble says of its members."""
    found = evaluation(judged, scale, criteria)
    if not found:
        return {}
    found["sentences"] = in_words(found)
    folder.extra["evaluation"] = found
    folder.keep("worst.jsonl", worst(pairs_of(judged)))
    for sentence in found["sentences"].values():
        folder.say(sentence)
    ensemble = found.get("ensemble")
    return {"disagreement": ensemble["disagreement"]} if ensemble else {}
