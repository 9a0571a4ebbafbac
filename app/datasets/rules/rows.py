"""The rows of every config, from all settled tasks of one prompt."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from app.datasets.rules.comparisons import (
    Comparison,
    Ranks,
    Settled,
    rank_groups,
    strict_rankings,
)
from app.datasets.rules.identity import drawn_first, normalised
from app.datasets.rules.transcripts import (
    Refusal,
    refusal,
    reply_refusal,
    reply_transcript,
    transcript,
)

Row = dict[str, Any]
Messages = list[dict[str, str]]


class Dedup(StrEnum):
    """Which texts are the same."""

    EXACT = "exact"
    NORMALISED = "normalised"  # but for case and white space


class WeightBy(StrEnum):
    """Whose rows have weights that sum to one."""

    TASK = "task"
    PROMPT = "prompt"


class ConfigName(StrEnum):
    """The configs of a dataset folder, the one that `load_dataset` should take first."""

    PREFERENCE = "preference"
    HH_RLHF = "hh-rlhf"
    RANKING = "ranking"
    UNPAIRED = "unpaired"
    RATINGS = "ratings"
    SFT = "sft"
    PROMPTS = "prompts"


class Candidate(NamedTuple):
    """A response: its id is the SHA-256 of (prompt, text, source).

    turns: more than one where the text is several turns with their role markers between.
    """

    id: str
    text: str
    turns: int = 1


class TaskRows(NamedTuple):
    """What one task gives: everything in the order of response ids.

    settled: None where its consensus is not wanted; comparisons: pairs taken from it;
    ratings: criterion → mean per response, None where nobody rated it; raters: people who did.
    """

    responses: Sequence[Candidate]
    n_annotators: int
    settled: Settled | None = None
    comparisons: Sequence[Comparison] = ()
    ratings: Mapping[str, Sequence[float | None]] = MappingProxyType({})
    raters: Sequence[int] = ()
    rewrites: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A comparison that a format cannot hold."""

    config: ConfigName
    prompt_id: str
    chosen_id: str
    rejected_id: str
    reason: Refusal


@dataclass(slots=True)
class PromptRows:
    """The rows of one prompt by config, sorted, none empty; and what did not become a row."""

    rows: dict[ConfigName, list[Row]]
    refused: list[RefusedRow]
    dropped: dict[str, int]


class _Pair(NamedTuple):
    chosen: Candidate
    rejected: Candidate
    comparison: Comparison
    task: int

    @property
    def ids(self) -> tuple[str, str]:
        return self.chosen.id, self.rejected.id


def prompt_rows(
    *,
    prompt_id: str,
    messages: Messages,
    tasks: Sequence[TaskRows],
    keep_ties: bool,
    strength_levels: int | None,
    max_pairs: int | None,
    seed: int,
    wanted: Collection[ConfigName] = tuple(ConfigName),
    dedup: Dedup = Dedup.EXACT,
    weight_by: WeightBy = WeightBy.TASK,
) -> PromptRows:
    """All rows of a prompt. `messages` begins with the system prompt where there is one.

    strength_levels: of the margin, None for margins of 0; max_pairs: most comparisons of the
    prompt, drawn by content, None for all; wanted: the configs to make rows for.
    """
    dropped: dict[str, int] = {}
    refused: list[RefusedRow] = []
    if len(tasks) > 1:
        tasks = sorted(tasks, key=lambda task: [response.id for response in task.responses])
    key = _same if dedup is Dedup.EXACT else normalised
    pairs = _distinct(_pairs(tasks), dropped, key)
    if max_pairs is not None and len(pairs) > max_pairs:
        dropped["max_pairs_per_prompt"] = len(pairs) - max_pairs
        pairs = sorted(pairs, key=lambda pair: drawn_first(pair.ids, seed=seed))[:max_pairs]
    pairs.sort(key=lambda pair: pair.ids)
    rows: dict[ConfigName, list[Row]] = {}
    for config in wanted:
        match config:
            case ConfigName.PREFERENCE:
                made = _preferences(prompt_id, messages, pairs, strength_levels, weight_by)
            case ConfigName.HH_RLHF:
                made, refused = _transcripts(prompt_id, messages, pairs)
            case ConfigName.RANKING:
                made = _rankings(
                    prompt_id, messages, tasks, keep_ties=keep_ties, weight_by=weight_by
                )
            case ConfigName.UNPAIRED:
                made = _unpaired(messages, pairs, key)
            case ConfigName.RATINGS:
                made = _ratings(messages, tasks)
            case ConfigName.SFT:
                best = sorted(_by_key(_best_texts(tasks), key).values())
                made = [{"messages": [*messages, *_reply(text)]} for text in best]
            case ConfigName.PROMPTS:
                made = [{"prompt": messages}]
        if made:
            rows[config] = made
    return PromptRows(rows=rows, refused=refused, dropped=dropped)


def _same(text: str) -> str:
    return text


def _reply(text: str) -> Messages:
    return [{"role": "assistant", "content": text}]


def _pairs(tasks: Sequence[TaskRows]) -> Iterator[_Pair]:
    for number, task in enumerate(tasks):
        for comparison in task.comparisons:
            yield _Pair(
                chosen=task.responses[comparison.chosen],
                rejected=task.responses[comparison.rejected],
                comparison=comparison,
                task=number,
            )


def _distinct(
    pairs: Iterable[_Pair], dropped: dict[str, int], key: Callable[[str], str]
) -> list[_Pair]:
    """Each pair of texts once: the one with most votes; where as many say the opposite, none.

    Texts with one `key` are the same.
    """
    same: dict[tuple[str, str], list[_Pair]] = {}
    for pair in pairs:
        one, other = key(pair.chosen.text), key(pair.rejected.text)
        if one == other:
            dropped["identical_texts"] = dropped.get("identical_texts", 0) + 1
        else:
            same.setdefault((one, other) if one < other else (other, one), []).append(pair)
    kept = []
    for rivals in same.values():
        if len(rivals) == 1:
            kept += rivals
            continue
        most = max(rival.comparison.votes for rival in rivals)
        best = [rival for rival in rivals if rival.comparison.votes == most]
        if len({key(rival.chosen.text) for rival in best}) == 1:
            kept.append(min(best, key=lambda rival: (-rival.comparison.p, rival.ids)))
            surplus = len(rivals) - 1
            reason = "duplicate"
        else:
            surplus = len(rivals)
            reason = "contradiction"
        if surplus:
            dropped[reason] = dropped.get(reason, 0) + surplus
    return kept


def _preferences(
    prompt_id: str,
    messages: Messages,
    pairs: Sequence[_Pair],
    strength_levels: int | None,
    weight_by: WeightBy,
) -> list[Row]:
    taken: dict[int, int] = {}
    for pair in pairs:
        taken[pair.task] = taken.get(pair.task, 0) + 1
    if weight_by is WeightBy.PROMPT:
        taken = dict.fromkeys(taken, len(pairs))
    return [
        {
            "prompt": messages,
            "chosen": _reply(pair.chosen.text),
            "rejected": _reply(pair.rejected.text),
            "margin": _margin(pair.comparison.strength, strength_levels),
            "weight": 1 / taken[pair.task],
            "p": pair.comparison.p,
            "strength": pair.comparison.strength,
            "agreement": pair.comparison.agreement,
            "n_annotators": pair.comparison.votes,
            "prompt_id": prompt_id,
            "chosen_id": pair.chosen.id,
            "rejected_id": pair.rejected.id,
        }
        for pair in pairs
    ]


def _margin(strength: float | None, levels: int | None) -> float:
    return strength / levels if levels and strength is not None else 0.0


def _transcripts(
    prompt_id: str, messages: Messages, pairs: Sequence[_Pair]
) -> tuple[list[Row], list[RefusedRow]]:
    rows, refused = [], []
    of_prompt = refusal(messages, is_followed=True)
    beginning = "" if of_prompt else transcript(messages)
    for pair in pairs:
        reason = of_prompt or _refused(pair.chosen) or _refused(pair.rejected)
        if reason is None:
            rows.append(
                {
                    "chosen": beginning + reply_transcript(pair.chosen.text),
                    "rejected": beginning + reply_transcript(pair.rejected.text),
                }
            )
        else:
            refused.append(RefusedRow(ConfigName.HH_RLHF, prompt_id, *pair.ids, reason))
    return rows, refused


def _refused(response: Candidate) -> Refusal | None:
    return reply_refusal(response.text, turns=response.turns)


def _rankings(
    prompt_id: str,
    messages: Messages,
    tasks: Sequence[TaskRows],
    *,
    keep_ties: bool,
    weight_by: WeightBy,
) -> list[Row]:
    if weight_by is WeightBy.PROMPT:
        given = [task for task in tasks if any(_rankings_of(task, keep_ties=keep_ties))]
        sharing = max(1, len(given))
    else:
        sharing = 1
    rows = [
        {"prompt": messages, **ranking, "prompt_id": prompt_id, "response_ids": ids}
        for task in tasks
        for ids, ranking in _rankings_of(task, keep_ties=keep_ties, sharing=sharing)
    ]
    rows.sort(key=itemgetter("response_ids"))
    return rows


def _rankings_of(
    task: TaskRows, *, keep_ties: bool, sharing: int = 1
) -> Iterator[tuple[list[str], Row]]:
    """(response ids, row). Without ties a ranking becomes as many strict ones as it needs.

    sharing: tasks that a weight of one is for.
    """
    if task.settled is None:
        return
    ranks: Ranks = task.settled.ranks
    everyone = tuple(range(len(ranks)))
    if keep_ties or len(set(ranks)) == len(ranks):
        chosen_sets = [everyone]
    else:
        chosen_sets = [tuple(sorted(strict)) for strict in strict_rankings(ranks)]
    for numbers in chosen_sets:
        present = sorted({ranks[number] for number in numbers})
        own = ranks if numbers == everyone else [present.index(ranks[n]) + 1 for n in numbers]
        yield (
            [task.responses[number].id for number in numbers],
            {
                "responses": [_reply(task.responses[number].text) for number in numbers],
                "ranks": list(own),
                "weight": 1 / (len(chosen_sets) * sharing),
                "agreement": task.settled.agreement,
                "n_annotators": task.n_annotators,
            },
        )


def _unpaired(messages: Messages, pairs: Sequence[_Pair], key: Callable[[str], str]) -> list[Row]:
    """Each response once, where all its comparisons agree on whether it is the better one."""
    better = _by_key((pair.chosen.text for pair in pairs), key)
    worse = _by_key((pair.rejected.text for pair in pairs), key)
    once = [(text, True) for same, text in better.items() if same not in worse]
    once += [(text, False) for same, text in worse.items() if same not in better]
    return [
        {"prompt": messages, "completion": _reply(text), "label": is_better}
        for text, is_better in sorted(once)
    ]


def _by_key(texts: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    """One text of those that are the same, always the same one."""
    if key is _same:
        return {text: text for text in texts}
    found: dict[str, str] = {}
    for text in texts:
        same = key(text)
        found[same] = min(text, found.get(same, text))
    return found


def _ratings(messages: Messages, tasks: Sequence[TaskRows]) -> list[Row]:
    found = []
    for task in tasks:
        for number, raters in enumerate(task.raters):
            if raters:
                means = {key: values[number] for key, values in task.ratings.items()}
                found.append((task.responses[number], means, raters))
    found.sort(key=lambda item: (item[0].id, -item[2], str(item[1])))
    return [
        {
            "prompt": messages,
            "response": _reply(response.text),
            "ratings": means,
            "n_annotators": raters,
        }
        for response, means, raters in found
    ]


def _best_texts(tasks: Sequence[TaskRows]) -> set[str]:
    """What people wrote themselves, else the response that no other equals."""
    texts: set[str] = set()
    for task in tasks:
        if task.rewrites:
            texts.update(task.rewrites)
        elif task.settled is not None:
            best = rank_groups(task.settled.ranks)[0]
            if len(best) == 1:
                texts.add(task.responses[best[0]].text)
    return texts
