"""Which prompts a recipe takes, and which responses of their tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.datasets.rules.comparisons import Ranks, Vote
from app.datasets.rules.judged import JudgedPrompt, JudgedTask, Judgement


@dataclass(frozen=True, slots=True)
class Choice:
    """Empty means any. flagged: ids of responses; languages: in small letters."""

    tags: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    min_characters: int = 0
    flagged: frozenset[str] = frozenset()

    @property
    def is_of_prompts(self) -> bool:
        return bool(self.tags or self.sources or self.languages)

    @property
    def is_of_responses(self) -> bool:
        return bool(self.flagged or self.min_characters)

    def refuses(self, prompt: JudgedPrompt) -> str | None:
        """Why a prompt is left out (a key of `counts.REASONS`), or None when it is taken."""
        if self.sources and prompt.source not in self.sources:
            return "other_source"
        if self.tags and self.tags.isdisjoint(prompt.tags):
            return "other_tag"
        if self.languages and self.languages.isdisjoint(_tongues(prompt.language)):
            return "other_language"
        return None

    def leaves_out(self, task: JudgedTask) -> dict[int, str]:
        """The responses that are not taken, by number, and why."""
        found = {}
        for number, response in enumerate(task.responses):
            if response.id in self.flagged:
                found[number] = "flagged"
            elif len(response.text.strip()) < self.min_characters:
                found[number] = "short"
        return found


def _tongues(language: str | None) -> set[str]:
    """`pt-BR` is Brazilian Portuguese, and Portuguese."""
    whole = (language or "").lower()
    return {whole, whole.partition("-")[0]}


def only(task: JudgedTask, kept: Sequence[int]) -> JudgedTask:
    """The task as if the other responses had never been there: the order of the rest stays."""
    return JudgedTask(
        id=task.id,
        responses=[task.responses[number] for number in kept],
        judgements=[_of(judgement, kept) for judgement in task.judgements],
        adjudicated=None if task.adjudicated is None else _ranks(task.adjudicated, kept),
    )


def _of(judgement: Judgement, kept: Sequence[int]) -> Judgement:
    ratings = judgement.ratings
    if ratings is not None:
        ratings = {
            key: [values[number] for number in kept if number < len(values)]
            for key, values in ratings.items()
        }
    vote = Vote(_ranks(judgement.vote.ranks, kept), judgement.vote.strength)
    return judgement._replace(vote=vote, ratings=ratings)


def _ranks(ranks: Ranks, kept: Sequence[int]) -> Ranks:
    left = [ranks[number] for number in kept]
    return tuple(1 + sum(other < rank for other in left) for rank in left)
