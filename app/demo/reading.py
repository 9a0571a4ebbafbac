"""What the simulated annotators make of a text that nobody wrote for the demo.

They cannot read. Of the demo's own texts they are told how good each is; of what a model writes
they see only what can be counted, and that is all their judgement of it means: known words,
words of the question, a sensible length, no repetition, an end. It is a stand-in for people, good
enough to turn the loop, and no evidence that a model writes well.
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
COMMON = frozenset(
    WORD.findall(
        "a an and are as at be but by can do does for from had has have how i in is it its me my "
        "not of on or our she he so some that the their them they this to was we were what when "
        "where which who why will with you your"
    )
)
SENSIBLE = (12, 80)  # words: fewer say little, more than that is not what was asked for
BEST = 0.7  # of a text they cannot read; the demo's own good ones are at 0.75 and above
ENDS = (".", "!", "?", "…", "”", '"', ")")


@dataclass(frozen=True, slots=True)
class Read:
    """The parts of the judgement, each 0–1."""

    known: float  # share of words that occur in the demo's texts
    on_topic: float  # share of the question's words that are taken up
    length: float
    fresh: float  # 1 less the share of three-word phrases that stand there already
    ended: float

    @property
    def quality(self) -> float:
        """0 to `BEST`; worth little where few words are known or it repeats itself."""
        worth = 0.35 * self.known + 0.3 * self.on_topic + 0.2 * self.length + 0.15 * self.ended
        return round(BEST * worth * self.fresh * (0.4 + 0.6 * self.known), 4)

    @property
    def note(self) -> str:
        """In a few words, what tells most: for a rationale."""
        if self.length == 0:
            return "says next to nothing"
        if self.fresh < 0.7:
            return "repeats itself"
        if self.known < 0.7:
            return "uses words that are none"
        if self.on_topic >= 0.5:
            return "stays with the question"
        return "has little to do with the question" if self.on_topic < 0.2 else "is about the topic"


def words_of(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]


def read(text: str, *, prompt: str, known: Collection[str]) -> Read:
    """Count what can be counted; `known`: the words of the demo's own texts."""
    words = words_of(text)
    if not words:
        return Read(0.0, 0.0, 0.0, 1.0, 0.0)
    asked = set(words_of(prompt)) - COMMON
    phrases = Counter(zip(words, words[1:], words[2:], strict=False))
    again = sum(number - 1 for number in phrases.values())
    return Read(
        known=sum(word in known for word in words) / len(words),
        on_topic=len(asked & set(words)) / len(asked) if asked else 0.5,
        length=_length(len(words)),
        fresh=1 - again / max(1, phrases.total()),
        ended=float(text.rstrip().endswith(ENDS)),
    )


def _length(words: int) -> float:
    few, many = SENSIBLE
    if words < few:
        return words / few if words >= 3 else 0.0
    return 1.0 if words <= many else max(0.0, 1 - (words - many) / (2 * many))
