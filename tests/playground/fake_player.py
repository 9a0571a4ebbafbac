"""Stands in for `python -m app.trainer play`: does what a message says, without torch.

slow: a token every 10 ms until it is stopped. die: the process is killed after the first token.
retire: it ends itself after the order, as one that was idle. Else three words.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TOKEN = {"logp": -0.5, "rank": 1, "top": [["egg", -0.5]]}
loaded: list[str] = []


def tell(folder: Path, key: str, event: str, **more: object) -> None:
    with (folder / "said.jsonl").open("a") as said:
        said.write(json.dumps({"key": key, "event": event} | more) + "\n")


def write(folder: Path, item: dict) -> Iterator[None]:
    """One answer, a token at each step."""
    key, message = item["key"], item["messages"][-1]["content"]
    if item["id"] not in loaded:
        assert Path(item["folder"]).is_dir()  # only of what is loaded no folder is given
        loaded.append(item["id"])
        tell(folder, key, "loading")
    words, why = [], "length" if message == "slow" else "end"
    for number in range(1000 if message == "slow" else 3):
        if (folder / f"stop-{key}").exists():
            why = "stopped"
            break
        words.append(f"egg {number} ")
        tell(folder, key, "tokens", text=words[-1], tokens=[TOKEN | {"text": words[-1]}])
        if message == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        yield
    text = "".join(words).strip()
    tell(folder, key, "end", why=why, text=text, perplexity=1.65, seconds=0.1)


def read(folder: Path, item: dict) -> None:
    if item["kind"] == "score":
        tell(folder, item["key"], "score", scores=float(len(item["text"])))
    else:
        token = TOKEN | {"text": item["text"]}
        tell(folder, item["key"], "reading", tokens=[token], perplexity=2.0)


inbox = os.fdopen(os.open(sys.argv[2], os.O_RDONLY))
for line in inbox:
    folder = Path(line.strip())
    order = json.loads((folder / "order.json").read_text())
    growing = [write(folder, item) for item in order["write"]]
    while growing:
        time.sleep(0.01)
        growing = [each for each in growing if next(each, each) is None]
    for item in order["read"]:
        read(folder, item)
    tell(folder, "", "done", loaded=loaded)
    if any(item["messages"][-1]["content"] == "retire" for item in order["read"]):
        sys.exit(0)
