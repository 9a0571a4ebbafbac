"""A small world with a rule that can be learned: polite beats rude, then shorter beats longer.

Written for the tests; every sentence is made from the lists below.
"""

import gzip
import json
import random
from pathlib import Path

TOPICS = [
    "bread", "tea", "rain", "bikes", "maps", "bees", "clocks", "soup", "kites", "stars",
    "trees", "boats", "shoes", "lamps", "books", "songs", "paint", "salt", "snow", "wool",
    "keys", "doors", "stairs", "gardens", "apples", "ducks", "trains", "stones", "hats", "glue",
]  # fmt: skip
QUESTIONS = [
    "How do I choose {}?", "What is good about {}?", "Tell me about {}.", "Where do I find {}?",
    "Can you help me with {}?", "Why do people like {}?",
]  # fmt: skip
POLITE = ["Thank you for asking.", "Certainly, with pleasure.", "Of course, glad to help."]
RUDE = ["What a dull question.", "Go away.", "You should know that."]
FACTS = [
    "Look at {} in good light.", "Most shops have {}.", "Ask a friend about {}.",
    "Old {} can be fine too.", "Begin with plain {}.", "Take your time with {}.",
]  # fmt: skip


def prompts(seed: int = 0) -> list[str]:
    every = [question.format(topic) for topic in TOPICS for question in QUESTIONS]
    random.Random(seed).shuffle(every)
    return every


def reply(rng: random.Random, topic: str, *, polite: bool, facts: int) -> str:
    opening = rng.choice(POLITE if polite else RUDE)
    said = rng.sample(FACTS, facts)
    return " ".join([opening, *(fact.format(topic) for fact in said)])


def topic_of(prompt: str) -> str:
    return next(topic for topic in TOPICS if topic in prompt)


def goodness(text: str) -> tuple[int, int]:
    """What the rule prefers, as a sortable value."""
    return int(any(text.startswith(opening) for opening in POLITE)), -len(text)


def ask(prompt: str) -> list[dict]:
    return [{"role": "user", "content": prompt}]


def say(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


def replies(rng: random.Random, prompt: str, count: int) -> list[str]:
    kinds = [(polite, facts) for polite in (True, False) for facts in (1, 3)]
    chosen = rng.sample(kinds, count)
    return [reply(rng, topic_of(prompt), polite=p, facts=f) for p, f in chosen]


def rows(config: str, split: list[str], seed: int = 1) -> list[dict]:
    rng = random.Random(seed)
    made = []
    for prompt in split:
        if config == "prompts":
            made.append({"prompt": ask(prompt)})
        elif config == "sft":
            text = reply(rng, topic_of(prompt), polite=rng.random() < 0.5, facts=rng.choice([1, 3]))
            made.append({"messages": ask(prompt) + say(text)})
        elif config == "ranking":
            texts = replies(rng, prompt, 4)
            order = sorted({goodness(t) for t in texts}, reverse=True)
            made.append(
                {
                    "prompt": ask(prompt),
                    "responses": [say(t) for t in texts],
                    "ranks": [order.index(goodness(t)) + 1 for t in texts],
                    "weight": 1.0,
                }
            )
        else:
            worse, better = sorted(replies(rng, prompt, 2), key=goodness)
            if config == "preference":
                pair = {"prompt": ask(prompt), "chosen": say(better), "rejected": say(worse)}
                made.append(pair | {"margin": 0.0, "weight": 1.0, "p": 1.0})
            elif config == "hh-rlhf":
                head = f"\n\nHuman: {prompt}\n\nAssistant: "
                made.append({"chosen": head + better, "rejected": head + worse})
            elif config == "unpaired":
                made.append({"prompt": ask(prompt), "completion": say(better), "label": True})
                made.append({"prompt": ask(prompt), "completion": say(worse), "label": False})
    return made


def write_split(folder: Path, config: str, split: str, made: list[dict]) -> None:
    (folder / config).mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / config / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in made)


def write_dataset(
    folder: Path,
    configs: tuple[str, ...] = ("sft", "preference", "prompts", "unpaired"),
    *,
    train: int = 120,
    test: int = 40,
    rounds: int = 1,
) -> Path:
    """Train and test on different prompts; `rounds` draws other responses to the same prompts."""
    every = prompts()
    for config in configs:
        made = [r for k in range(rounds) for r in rows(config, every[:train], seed=1 + k)]
        write_split(folder, config, "train", made)
        write_split(folder, config, "test", rows(config, every[train : train + test], seed=99))
    return folder


def write_corpus(file: Path) -> Path:
    """Conversations for a model from scratch: good and bad manners alike."""
    rng = random.Random(5)
    with file.open("w", encoding="utf-8") as stream:
        for prompt in prompts() * 4:
            text = reply(rng, topic_of(prompt), polite=rng.random() < 0.5, facts=rng.choice([1, 3]))
            stream.write(json.dumps({"messages": ask(prompt) + say(text)}) + "\n")
    return file
