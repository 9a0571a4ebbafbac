"""Time and memory of comparing two large snapshots: `python -m tests.benchmarks.comparing`.

Two folders of `--pairs` pairs of about 1 kB (`preference` and `hh-rlhf`), of which a share differs.
The comparison runs in a process of its own. Then rows from the middle of a file are read, and the
judgements behind one prompt. Prints; asserts nothing.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from app.datasets.formats.blocks import lines, rows_of_prompt
from app.datasets.formats.files import data_files
from app.datasets.formats.folder import judgements_of, lineage, local_folder
from app.datasets.formats.manifest import lineage_file, write_manifest
from app.datasets.formats.prompt_ids import id_of_messages
from app.datasets.rules.identity import Split
from app.datasets.rules.rows import ConfigName
from app.datasets.schemas import FileFormat, Recipe
from app.datasets.service.comparing import compare

WORDS = ("the", "model", "answers", "each", "question", "with", "care", "and", "some", "detail")


def text(rng: random.Random, size: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(size // 6))


def make(folder: Path, *, pairs: int, share: float, file_format: FileFormat) -> None:
    """A folder of pairs; a `share` of them is reversed, moved or not there."""
    rng = random.Random(1)
    pool = [text(rng, 400) for _ in range(200)]
    prompts = []
    for number in range(pairs):
        messages = [{"role": "user", "content": f"{number} {pool[number % 200][:250]}"}]
        prompts.append((id_of_messages(messages), messages, number))
    prompts.sort(key=lambda each: each[0])
    folder.mkdir()
    written = []
    with (
        lineage_file(folder / ".lineage") as behind,
        data_files(folder, file_format=file_format, criteria=()) as files,
    ):
        for prompt_id, messages, number in prompts:
            luck = int(prompt_id[:8], 16) / 2**32
            if luck < share / 4:
                continue
            split = Split.TEST if int(prompt_id[8:16], 16) % 10 == 0 else Split.TRAIN
            ids = [sha256(f"{number}-{side}".encode()).hexdigest() for side in (0, 1)]
            texts = [f"{pool[(number * 7 + side) % 200]} {number}" for side in (0, 1)]
            if luck < share / 2:
                ids.reverse()
                texts.reverse()
            elif luck < share * 3 / 4:
                split = Split.TRAIN
            chosen, rejected = ([{"role": "assistant", "content": each}] for each in texts)
            row = {
                "prompt": messages, "chosen": chosen, "rejected": rejected, "margin": 0.0,
                "weight": 1.0, "p": 1.0, "strength": None, "agreement": 1.0, "n_annotators": 3,
                "prompt_id": prompt_id, "chosen_id": ids[0], "rejected_id": ids[1],
            }  # fmt: skip
            files.add(ConfigName.PREFERENCE, split, row)
            start = f"\n\nHuman: {messages[0]['content']}\n\nAssistant: "
            pair = {"chosen": start + texts[0], "rejected": start + texts[1]}
            files.add(ConfigName.HH_RLHF, split, pair)
            origins = [
                (str(UUID(int=number * 8 + vote)), f"annotator-{vote}", 1) for vote in range(3)
            ]
            behind.add(prompt_id, origins)
        written = files.close()
        body = {
            "recipe": Recipe().as_json(), "counts": {}, "quality": {},
            "files": [
                {
                    "path": file.path, "bytes": (folder / file.path).stat().st_size,
                    "rows": file.rows, "config": file.config, "split": file.split,
                }
                for file in written
            ],
        }  # fmt: skip
        about = {
            "created_at": "2026-01-01T00:00:00Z",
            "project": {"id": "p", "name": "p"},
            "annotators": ["annotator-0", "annotator-1", "annotator-2"],
            "sources": [],
        }
        write_manifest(folder / "manifest.json", body=body, about=about, lineage=behind)


def peak_memory() -> float:
    """MB of this process alone: `ru_maxrss` would begin with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def child(before: Path, after: Path, output: Path) -> None:
    begun, cpu = time.perf_counter(), time.process_time()
    summary = compare(local_folder(before), local_folder(after), output=output)
    wall, own = time.perf_counter() - begun, time.process_time() - cpu
    memory = peak_memory()
    kinds = summary["configs"]["preference"]
    told = ", ".join(f"{kinds[kind]:,} {kind}" for kind in ("same", "changed", "came", "went"))
    print(f"  compared: {wall:.1f} s wall {own:.1f} s cpu {memory:.0f} MB peak: {told}")
    folder = local_folder(before)
    file = folder.file(ConfigName.PREFERENCE, Split.TRAIN)
    assert file is not None
    for name in ("first time", "again"):
        begun = time.process_time()
        next(lines(folder, file, start=file.rows // 2))
        print(f"  a row from the middle, {name}: {1000 * (time.process_time() - begun):.0f} ms")
    its = next(its for number, (its, _) in enumerate(lineage(folder)) if number == 1000)
    begun = time.process_time()
    found = judgements_of(folder, its), rows_of_prompt(folder, file, its)
    took = 1000 * (time.process_time() - begun)
    print(f"  {len(found[0])} judgements and {len(found[1])} row of a prompt: {took:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=333_333)
    parser.add_argument("--format", default="jsonl")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*map(Path, arguments.child))
        return
    with tempfile.TemporaryDirectory(prefix="touchstone-comparing-") as name:
        folder = Path(name)
        kind = FileFormat(arguments.format)
        make(folder / "before", pairs=arguments.pairs, share=0.0, file_format=kind)
        for number, share in enumerate((0.0, 0.05, 1.0)):
            make(folder / f"after-{number}", pairs=arguments.pairs, share=share, file_format=kind)
            print(f"{arguments.pairs:,} pairs, {share:.0%} different", flush=True)
            given = [str(folder / each) for each in ("before", f"after-{number}", f"out-{number}")]
            (folder / f"out-{number}").mkdir()
            command = [sys.executable, "-m", "tests.benchmarks.comparing", "--child", *given]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
