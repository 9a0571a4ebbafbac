"""Two rounds on real data: `python -m tests.benchmarks.rounds --data DIR [--steps N --pairs N]`.

PandaLM's test set, where three people judged each pair, is split by prompt: one part is what the
first round learns from, one fits a judge, one is held out. A new model goes twice round the loop
through the services that people use, the second round from the first one's checkpoint.

Nobody is there to judge what the new models write. THE SECOND ROUND AND THE WIN RATE ARE JUDGED BY
A REWARD MODEL that was fitted on human judgements of prompts the rounds never see, with noise, as
three simulated annotators: they say what that judge prefers, not what people prefer. What is human
is the first round's judgements and the held-out pairs on which the reward models are tested.

Two runs print the same, but for the minutes. For that, chance is taken out of two things: the ids
of checkpoints, by which responses name their writer, and the order in which tasks are judged.
"""

import argparse
import gzip
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import event, func, select, update

from app import artifacts
from app.accounts.models import Role, User, UserKind
from app.annotation import service as annotation
from app.annotation.queries import assignment_view
from app.annotation.schemas import JudgementBody
from app.config import settings
from app.corpus.models import Prompt
from app.datasets.models import Snapshot
from app.db import JobState, JsonObject, connect, database_now, transaction
from app.evaluation.models import Evaluation
from app.generation.models import Generation
from app.projects.models import Project
from app.quality.rules.intervals import wilson
from app.rounds import formats, rules
from app.rounds import service as rounds
from app.rounds.models import Round
from app.rounds.schemas import Policy
from app.runs.models import Checkpoint, Run
from app.schema import migrate
from app.tasks import service as tasks
from app.tasks.models import Task
from app.worker.evaluation import evaluate_now
from app.worker.generation import generate_responses
from app.worker.imports import import_file
from app.worker.rounds import look_after_rounds
from app.worker.snapshots import freeze_snapshot
from app.worker.training import train_run
from tests.factories import make_member, make_project, make_user

FILE = "pandalm-3annotators/pairs.jsonl.gz"
PEOPLE = ("annotator1", "annotator2", "annotator3")
JUDGES = ("Simulated: first", "Simulated: second", "Simulated: third")
NOISE = 0.5  # of a simulated annotator, in standard deviations of the judge's scores
PARTS = {"rounds": 0.55, "judge": 0.3, "held out": 0.15}
SEED = 7
STOPPING = threading.Event()


def rows_of(data: Path) -> list[JsonObject]:
    with gzip.open(data / FILE, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def prompt_of(row: JsonObject) -> str:
    return f"{row['instruction']}\n\n{row['input']}".strip()


def part_of(row: JsonObject) -> str:
    """By the prompt, so that no part has seen a prompt of another."""
    place = int(hashlib.sha256(prompt_of(row).encode()).hexdigest()[:8], 16) / 2**32
    for name, share in PARTS.items():
        if place < share:
            return name
        place -= share
    return "held out"


def texts_of(row: JsonObject) -> list[str]:
    """The two responses; a model that said nothing is shown as such."""
    said = (str(row[name]).strip() for name in ("response_1", "response_2"))  # some are `true`
    return [text or "(nothing)" for text in said]


def ranks_of(label: int) -> list[int]:
    return {0: [1, 1], 1: [1, 2], 2: [2, 1]}[label]


def import_rows(project_id: UUID, rows: Sequence[JsonObject], folder: Path) -> None:
    """Pairs with the judgements of their three annotators, in the `touchstone` format."""
    file = folder / f"{project_id}.jsonl"
    lines = [
        {
            "prompt": prompt_of(row),
            "responses": [
                {"text": text, "source": row[name]}
                for text, name in zip(texts_of(row), ("model_1", "model_2"), strict=True)
            ],
            "annotations": [
                {"annotator": name, "ranks": ranks_of(row["labels"][name])} for name in PEOPLE
            ],
        }
        for row in rows
        if len(set(texts_of(row))) == 2
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    done = import_file(project_id=project_id, file=file, by=None)
    assert done.state is JobState.SUCCEEDED, (done.error, done.errors)


def scores_of(
    checkpoint: Checkpoint, rows: Sequence[JsonObject], folder: Path
) -> list[list[float]]:
    """What a reward model gives each response of `{prompt, responses}` rows."""
    file = folder / "to-score.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    with artifacts.local_folder(checkpoint.path) as model:
        said = subprocess.run(
            [sys.executable, "-m", "app.trainer", "score", "--model", str(model), str(file)],
            check=False,
            capture_output=True,
            text=True,
        )
    if said.returncode:
        raise SystemExit(said.stderr)
    return [json.loads(line)["scores"] for line in said.stdout.splitlines()]


class Judge:
    """A reward model and how far its scores spread; simulated annotators hear it with noise."""

    def __init__(self, checkpoint: Checkpoint, rows: Sequence[JsonObject], folder: Path) -> None:
        self.checkpoint, self.folder = checkpoint, folder
        known = [score for scores in scores_of(checkpoint, rows, folder) for score in scores]
        middle = sum(known) / len(known)
        self.spread = (sum((score - middle) ** 2 for score in known) / len(known)) ** 0.5
        self.heard: dict[tuple[str, str], float] = {}

    def worth(self, name: str, prompt: str, text: str) -> float:
        """The score as `name` hears it: always the same for the same text."""
        chance = random.Random(f"{name} {prompt} {text}")
        return self.heard[prompt, text] + chance.gauss(0.0, NOISE * self.spread)

    def hear(self, pairs: Sequence[tuple[str, str]]) -> None:
        new = sorted(set(pairs) - self.heard.keys())
        if new:
            rows = [{"prompt": prompt, "responses": [text]} for prompt, text in new]
            found = scores_of(self.checkpoint, rows, self.folder)
            self.heard |= {pair: scores[0] for pair, scores in zip(new, found, strict=True)}


def work_off(project_id: UUID) -> bool:
    """Carry out what is queued in the project, as workers would; whether there was anything."""
    found = False
    for table, do in (
        (Snapshot, freeze_snapshot),
        (Run, train_run),
        (Generation, generate_responses),
        (Evaluation, evaluate_now),
    ):
        with transaction() as session:
            waiting = session.scalars(
                select(table.id)
                .where(table.project_id == project_id, table.state == JobState.QUEUED)
                .order_by(table.created_at)
            ).all()
        for row_id in waiting:
            do(row_id, stopping=STOPPING)
            found = True
    return found


def set_order(project_id: UUID) -> None:
    """Whose turn a task is hangs on its prompt: a comparison ends by what was judged first."""
    number = func.hashtextextended(func.encode(Prompt.content_hash, "hex"), 0)
    with transaction() as session:
        session.execute(
            update(Task)
            .where(Task.project_id == project_id, Prompt.id == Task.prompt_id)
            .values(random_key=number / 2.0**64 + 0.5)
        )


def let_them_judge(project_id: UUID, judge: Judge) -> int:
    """Each simulated annotator judges what there is for her; how many judgements that were."""
    set_order(project_id)
    done = 0
    for name in JUDGES:
        while True:
            with transaction() as session:
                project = session.get_one(Project, project_id)
                user = session.scalars(select(User).where(User.name == name)).one()
                now = database_now(session)
                claimed = tasks.claim(
                    session, project=project, user=user, now=now, rng=random.Random(0)
                )
                if claimed is None:
                    break
                view = assignment_view(session, assignment=claimed, project=project)
                prompt = str(view.prompt.messages[-1]["content"])
                judge.hear([(prompt, each.text) for each in view.responses])
                order = sorted(
                    view.responses,
                    key=lambda each, prompt=prompt: -judge.worth(name, prompt, each.text),
                )
                annotation.submit(
                    session,
                    assignment=claimed,
                    project=project,
                    user=user,
                    judgement=JudgementBody(ranking=[[each.label] for each in order]),
                    key=f"simulated-{claimed.id}",
                    now=now,
                )
                done += 1
    return done


def once_round(project_id: UUID, judge: Judge | None, by: UUID) -> Round:
    """A round from its beginning to its end."""
    with transaction() as session:
        project = session.get_one(Project, project_id)
        round_id = rounds.open_round(
            session,
            project=project,
            by=session.get_one(User, by),
            now=database_now(session),
        ).id
    while True:
        moved = look_after_rounds()
        worked = work_off(project_id)
        judged = let_them_judge(project_id, judge) if judge else 0
        with transaction() as session:
            round_ = session.get_one(Round, round_id)
            session.expunge(round_)
        if round_.finished_at is not None:
            return round_
        if not (moved or worked or judged):
            raise SystemExit(f"The round stands still at {round_.step}: {round_.error}")


def held_out_accuracy(checkpoint_id: UUID, rows: Sequence[JsonObject], folder: Path) -> str:
    """On pairs of prompts that no round has seen, against the majority of three people."""
    with transaction() as session:
        checkpoint = session.get_one(Checkpoint, checkpoint_id)
        session.expunge(checkpoint)
    votes = [sum({1: 1, 2: -1, 0: 0}[row["labels"][name]] for name in PEOPLE) for row in rows]
    decided = [(row, lean) for row, lean in zip(rows, votes, strict=True) if lean]
    asked = [{"prompt": prompt_of(row), "responses": texts_of(row)} for row, _ in decided]
    scores = scores_of(checkpoint, asked, folder)
    right = sum(
        0.5 if a == b else float((a > b) == (lean > 0))
        for (a, b), (_, lean) in zip(scores, decided, strict=True)
    )
    low, high = wilson(right, len(decided))
    return f"{right / len(decided):.3f} ({low:.3f} to {high:.3f}) of {len(decided)} pairs"


def people_on(rows: Sequence[JsonObject]) -> str:
    """How often one person says what the other two's majority says, where they have one."""
    same = asked = 0
    for row in rows:
        for name in PEOPLE:
            lean = sum(
                {1: 1, 2: -1, 0: 0}[row["labels"][other]] for other in PEOPLE if other != name
            )
            hers = {1: 1, 2: -1, 0: 0}[row["labels"][name]]
            if lean and hers:
                asked, same = asked + 1, same + ((lean > 0) == (hers > 0))
    low, high = wilson(same, asked)
    return f"{same / asked:.3f} ({low:.3f} to {high:.3f})"


def tell(round_: Round, rows: Sequence[JsonObject], folder: Path, minutes: float) -> None:
    told = round_.figures
    skipped = round_.former_checkpoint_id is None
    print(f"\nRound {round_.number}  ({minutes:.1f} minutes)")
    print(f"  judgements                     {told['judgements']}")
    print(f"  agreement α                    {formats.figure(told['agreement'], 3)}")
    print(f"  reward model, its test split   {formats.figure(told.get('accuracy'), 3)}")
    held_out = held_out_accuracy(round_.reward_checkpoint_id, rows, folder)
    print(f"  reward model, held-out people  {held_out}")
    print(f"  preferred to the one before    {formats.figure(told.get('win'), 3)}")
    print(f"  {rules.told(told.get('win'), has_former=not skipped)}")
    print(f"  promoted                       {'yes' if round_.is_promoted else 'no'}")


def name_checkpoints(seed: int) -> None:
    """The same ids in each run."""
    chance = random.Random(seed)

    @event.listens_for(Checkpoint, "init")
    def give(_checkpoint: Checkpoint, _args: object, fields: JsonObject) -> None:
        fields["id"] = UUID(int=chance.getrandbits(128), version=4)


def projects(session_people: Sequence[str]) -> Iterator[tuple[UUID, UUID]]:
    """Two projects, that of the judge and that of the rounds: (project, admin)."""
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        made = [
            make_project(
                session,
                name,
                by=ada,
                overlap_min=3,
                overlap_max=3,
                repeat_rate=0.0,
                allow_ties=True,
            )
            for name in ("Judge", "Rounds")
        ]
        for name in session_people:
            user = make_user(session, name, kind=UserKind.SIMULATED)
            make_member(session, made[1], user, Role.ANNOTATOR)
        ids = [(project.id, ada.id) for project in made]
    yield from ids


def policy_of(steps: int, kinds: Sequence[str], prompts: int) -> Policy:
    given = {kind: {"max_steps": steps, "num_samples": 0} for kind in kinds}
    return Policy.model_validate(
        {
            "generate": {
                "prompts": 100_000, "n": 2, "include_existing": 0, "temperature": 1.0,
                "max_new_tokens": 32,
            },
            "recipe": {"test_share": 0.15},
            "train": {"kinds": kinds, "configs": given},
            "evaluate": {"prompts": prompts, "temperature": 1.0},  # at 0 both often say nothing
        }
    )  # fmt: skip


def run(data: Path, folder: Path, *, steps: int, pairs: int) -> None:
    parts: dict[str, list[JsonObject]] = {name: [] for name in PARTS}
    for row in rows_of(data):
        parts[part_of(row)].append(row)
    parts["rounds"] = parts["rounds"][:pairs]
    parts["judge"] = parts["judge"][:pairs]
    print("PandaLM test set; pairs:", {name: len(part) for name, part in parts.items()})
    print(f"one person and the other two agree on held-out pairs: {people_on(parts['held out'])}")
    name_checkpoints(SEED)
    (judging, ada), (project_id, _) = projects(JUDGES)
    import_rows(judging, parts["judge"], folder)
    import_rows(project_id, parts["rounds"], folder)
    for of, kinds in ((judging, ["sft", "reward"]), (project_id, ["sft", "reward", "dpo"])):
        with transaction() as session:
            rounds.set_policy(
                session,
                project=session.get_one(Project, of),
                policy=policy_of(steps, kinds, prompts=5000),
                by=session.get_one(User, ada),
            )
    judged = once_round(judging, None, ada)
    with transaction() as session:
        checkpoint = session.get_one(Checkpoint, judged.reward_checkpoint_id)
        session.expunge(checkpoint)
    asked = [{"prompt": prompt_of(row), "responses": texts_of(row)} for row in parts["judge"]]
    judge = Judge(checkpoint, asked, folder)
    told = held_out_accuracy(checkpoint.id, parts["held out"], folder)
    print(f"the simulated judge, on held-out people: {told}")
    print(
        "It judges the second round and the win rate: they say what it prefers, not what people do."
    )
    for _ in range(2):
        began = time.monotonic()
        round_ = once_round(project_id, judge, ada)
        tell(round_, parts["held out"], folder, (time.monotonic() - began) / 60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--steps", type=int, default=40, help="of each training")
    parser.add_argument("--pairs", type=int, default=240, help="most of each part")
    given = parser.parse_args()
    if not (given.data / FILE).exists():
        print(f"no {FILE} in {given.data}: name the folder with --data")  # nothing to measure here
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        object.__setattr__(settings, "home", folder)
        from app.postgres import running

        with running(folder) as url:
            engine = connect(url)
            migrate(engine)
            try:
                run(given.data, folder, steps=given.steps, pairs=given.pairs)
            finally:
                engine.dispose()


if __name__ == "__main__":
    main()
