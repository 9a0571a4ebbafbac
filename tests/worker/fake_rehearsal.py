"""Stands in for `python -m app.trainer … --check` and `new`.

`FAKE_REHEARSAL` (JSON) says how it behaves: error and code (it refuses), wait (a file that it
makes; then it runs until it is ended).
"""

import json
import os
import sys
import time
from pathlib import Path

BEHAVIOUR = json.loads(os.environ.get("FAKE_REHEARSAL", "{}"))
REPORT = {
    "ok": True,
    "steps": 30,
    "steps_per_epoch": 6,
    "tokens": 900,
    "notes": ["Left out 1 of 6 rows."],
    "seconds": {"loading": 1.0, "preparing": 0.0, "update": 0.5, "evaluation": 1.0, "total": 17.0},
    "memory": {"device": "cpu", "peak": 10**9, "total": 8 * 10**9},
}


def main() -> int:
    words = sys.argv[1:]
    if words[0] == "new":
        made = Path(words[words.index("--output") + 1])
        made.mkdir()
        (made / "config.json").write_text("{}")
        for step in range(1, 5):
            time.sleep(0.25)
            print(f"new model {step}/4", file=sys.stderr, flush=True)
        return 0
    assert "--check" in words
    if wait := BEHAVIOUR.get("wait"):
        Path(wait).write_text(str(os.getpid()))
        time.sleep(600)
    if BEHAVIOUR.get("error"):
        print(BEHAVIOUR["error"], file=sys.stderr)
        print(json.dumps({"ok": False, "error": BEHAVIOUR["error"]}))
        return int(BEHAVIOUR["code"])
    print("a line of a launcher")
    print(json.dumps(REPORT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
