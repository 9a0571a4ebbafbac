"""What the rows of a file hold: what they bring, their first as people will see them, oddities."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.corpus.formats.rows import ImportedAnnotation, ImportedTask
from app.corpus.rules import order_in_numbers, prompt_hash
from app.db import JsonObject

SAMPLES = 5
SHOWN_TEXT = 2000  # characters of a text in a sample
SHOWN_TURNS = 6  # of its conversation, the last ones
DISTINCT = 2000  # values that are told apart: a file may have a million tags
SHOWN_VALUES = 12
SHOWN_NAMES = 40
SHOWN_LINES = 10
REMEMBERED = 250_000  # prompts that are remembered to find those that come again
TELLING = 20  # judged rows of which one side may not win all without a word


class Values:
    """How often each value comes, as far as they are few."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.has_more = False

    def add(self, values: Iterable[str | None]) -> None:
        for value in values:
            if value and (value in self.counts or len(self.counts) < DISTINCT):
                self.counts[value] += 1
            elif value:
                self.has_more = True

    def report(self) -> JsonObject:
        shown = sorted(self.counts.items(), key=lambda each: (-each[1], each[0]))[:SHOWN_VALUES]
        return {
            "shown": [[value[:80], count] for value, count in shown],
            "distinct": len(self.counts),
            "has_more": self.has_more,
        }


@dataclass(slots=True)
class Oddity:
    """Something that is no error and perhaps not meant: how many rows, and the first of them."""

    message: str
    rows: int = 0
    lines: list[int] = field(default_factory=list)

    def note(self, line: int) -> None:
        self.rows += 1
        if len(self.lines) < SHOWN_LINES:
            self.lines.append(line)


class Survey:
    """Looks at each good row of a file in turn, in bounded memory."""

    def __init__(self, *, is_source: Callable[[str], bool], allow_ties: bool = True) -> None:
        self._is_source = is_source
        self._allow_ties = allow_ties
        self.samples: list[JsonObject] = []
        self.values = {
            name: Values() for name in ("tags", "sources", "models", "languages", "expertise")
        }
        self.further = Values()
        self.judges = Values()
        self.gold = self.qualification = self.prompts_alone = self.turns = 0
        self._seen: set[bytes] = set()
        self._sides = Counter[str]()
        self._order_tells = False
        self._odd: dict[str, Oddity] = {}

    def add(self, line: int, task: ImportedTask) -> None:
        if len(self.samples) < SAMPLES:
            self.samples.append(sample(line, task))
        self.values["tags"].add(task.tags)
        self.values["sources"].add([task.source])
        self.values["languages"].add([task.language])
        self.values["expertise"].add(task.expertise)
        self.values["models"].add(response.source for response in task.responses)
        self.further.add(task.meta)
        self.judges.add(judgement.annotator for judgement in task.annotations)
        self.prompts_alone += not task.responses
        self.turns += len(task.messages) > 1
        if task.gold is not None:
            self.qualification += task.gold.qualification
            self.gold += not task.gold.qualification
        self._look_for_oddities(line, task)

    def _look_for_oddities(self, line: int, task: ImportedTask) -> None:
        texts = [response.text.strip() for response in task.responses]
        if len(set(texts)) < len(texts):
            self._note("Two responses read the same: they differ in white space or source.", line)
        if not all(texts):
            self._note("A response is empty. People can still rank it below the others.", line)
        if len(self._seen) < REMEMBERED:
            key = prompt_hash(system=task.system, messages=task.messages)[:8]
            if key in self._seen:
                self._note(
                    "The prompt stands in an earlier row, too. Other responses make another task; "
                    "the same ones add their judgements to it.",
                    line,
                )
            self._seen.add(key)
        judges = Counter(judgement.annotator for judgement in task.annotations)
        if any(count > 1 and self._is_source(name) for name, count in judges.items()):
            self._note("A source judges the row more than once. Only its first word counts.", line)
        for judgement in task.annotations:
            self._look_at(line, judgement)
        self._order_tells = self._order_tells or task.order_tells

    def _look_at(self, line: int, judgement: ImportedAnnotation) -> None:
        if len(set(judgement.ranks)) == 1:
            self._sides["tie"] += 1
        elif len(judgement.ranks) == 2:
            self._sides["first" if judgement.ranks[0] == 1 else "second"] += 1
        if len(set(judgement.ranks)) < len(judgement.ranks) and not self._allow_ties:
            self._note("A judgement has a tie, which this project does not let people give.", line)

    def _note(self, message: str, line: int) -> None:
        self._odd.setdefault(message, Oddity(message)).note(line)

    def people(self) -> list[str]:
        return sorted(name for name in self.judges.counts if not self._is_source(name))

    def report(self) -> JsonObject:
        judged = sorted(name for name in self.judges.counts if self._is_source(name))
        return {
            "samples": self.samples,
            "values": {name: values.report() for name, values in self.values.items()},
            "further_keys": self.further.report(),
            "judging_sources": judged[:SHOWN_NAMES],
            "gold": self.gold,
            "qualification": self.qualification,
            "prompts_alone": self.prompts_alone,
            "conversations": self.turns,
            "warnings": [*map(_as_json, self._odd.values()), *self._one_sided(), *self._alike()],
        }

    def _one_sided(self) -> list[JsonObject]:
        """The first one is always better: whoever sees the file's order knows the answer."""
        total = self._sides.total()
        for side in ("first", "second", "tie"):
            if self._order_tells or total < TELLING or self._sides[side] < total:
                continue
            what = "a tie" if side == "tie" else f"for the {side} response"
            message = f"Every judgement of a pair is {what}. Is the file sorted by who won?"
            return [{"message": message, "rows": total, "lines": []}]
        return []

    def _alike(self) -> list[JsonObject]:
        """Names that may be one person: they would become several."""
        spelled: dict[str, list[str]] = {}
        for name in self.people():
            spelled.setdefault(name.casefold(), []).append(name)
        return [
            {
                "message": f"{' and '.join(f'“{name[:80]}”' for name in names)} would be different "
                "people. If they are one, spell the name alike.",
                "rows": 0,
                "lines": [],
            }
            for names in spelled.values()
            if len(names) > 1
        ][:SHOWN_LINES]


def _as_json(oddity: Oddity) -> JsonObject:
    return {"message": oddity.message, "rows": oddity.rows, "lines": oddity.lines}


def sample(line: int, task: ImportedTask) -> JsonObject:
    """A row as people will see it, with long texts cut."""
    hidden = max(len(task.messages) - SHOWN_TURNS, 0)
    made: dict[str, Any] = {
        "line": line,
        "system": _cut(task.system) if task.system else None,
        "hidden_turns": hidden,
        "messages": [
            {"role": message["role"], "content": _cut(message["content"])}
            for message in task.messages[hidden:]
        ],
        "responses": [
            {"text": _cut(response.text), "source": response.source} for response in task.responses
        ],
        "judgements": [
            {
                "by": judgement.annotator[:80],
                "order": order_in_numbers(judgement.ranks),
                "strength": judgement.strength,
            }
            for judgement in task.annotations[:SAMPLES]
        ],
        "more_judgements": max(len(task.annotations) - SAMPLES, 0),
        "gold": None,
    }
    if task.gold is not None:
        made["gold"] = _key(task.gold.prefers, task.gold.equal)
    return made


def _key(prefers: Sequence[Sequence[int]], equal: Sequence[Sequence[int]]) -> str:
    pairs = [f"{i + 1} > {j + 1}" for i, j in prefers] + [f"{i + 1} = {j + 1}" for i, j in equal]
    return ", ".join(pairs[:SHOWN_LINES])


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT].rstrip() + " …"
