"""Simulated people who judge through the real claims and submissions, and what comes of it."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.annotation import service as annotation
from app.annotation.schemas import JudgementBody
from app.db import database_now, transaction
from app.projects.models import Project
from app.quality.rules.dawid_skene import FIRST, SECOND, dawid_skene
from app.tasks import service as tasks
from app.tasks.models import Assignment, GoldKey, Task, TaskKind
from tests.factories import make_many_tasks, make_member, make_project, make_user

AGREEMENT = 0.63  # of two people, as in published preference data (63–80 % on decided pairs)
GUESSER, GOLD_GAP = 0.05, 2.5  # the skill of who guesses; gold is easier than most pairs
BATCH = 50  # judgements per transaction: nobody waits for them here


@dataclass(frozen=True, slots=True)
class Overlap:
    least: int
    most: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """votes: (task, person, answer), of ordinary tasks, as they came; gold: how many of gold."""

    votes: list[tuple[int, int, int]]
    gold: int

    def first(self, overlap: int) -> "Judged":
        """As if the overlap had been smaller: the first so many votes of each task.

        Gold is taken to shrink as the votes do. It is denser for newcomers, so less would rather
        have more of it: the comparison errs on the side of fixed overlap.
        """
        seen: Counter[int] = Counter()
        kept = []
        for vote in self.votes:
            seen[vote[0]] += 1
            if seen[vote[0]] <= overlap:
                kept.append(vote)
        return Judged(kept, round(self.gold * len(kept) / len(self.votes)))

    @property
    def work(self) -> int:
        return len(self.votes) + self.gold


class World:
    """Tasks with a truth and a difficulty, and people with a skill; the same for every policy."""

    def __init__(self, *, seed: int, tasks: int, people: int, gold: int) -> None:
        rng = Random(seed)
        self.seed, self.n_tasks, self.n_gold = seed, tasks, gold
        self.skills = [
            GUESSER if rng.random() < 0.15 else rng.lognormvariate(0.0, 0.4) for _ in range(people)
        ]
        self.gaps = [abs(rng.gauss(0.0, 1.0)) for _ in range(tasks)]
        self._scale_gaps(AGREEMENT)
        self.gaps += [GOLD_GAP] * gold
        self.truths = [rng.choice((FIRST, SECOND)) for _ in range(tasks + gold)]

    def _scale_gaps(self, target: float) -> None:
        """Make the tasks as difficult as it takes for this agreement."""
        plain, low, high = self.gaps, 0.1, 20.0
        while high - low > 1e-3:
            middle = (low + high) / 2
            self.gaps = [gap * middle for gap in plain]
            low, high = (middle, high) if self.agreement() < target else (low, middle)

    def agreement(self) -> float:
        """How often two people say the same of a task, over all pairs of people and tasks."""
        skills, gaps = np.array(self.skills), np.array(self.gaps[: self.n_tasks])
        right = 1 / (1 + np.exp(-np.outer(skills, gaps)))
        n = len(skills)
        wins, sums = right.sum(axis=0), (right**2).sum(axis=0)
        losses, loss_sums = (1 - right).sum(axis=0), ((1 - right) ** 2).sum(axis=0)
        same = wins**2 - sums + losses**2 - loss_sums
        return float((same / (n * (n - 1))).mean())

    def says(self, person: int, task: int, rng: Random) -> int:
        """The response that she calls the better one, by canonical position."""
        p_right = 1 / (1 + math.exp(-self.skills[person] * self.gaps[task]))
        truth = 0 if self.truths[task] == FIRST else 1
        return truth if rng.random() < p_right else 1 - truth


def simulate(world: World, overlap: Overlap, *, gold_rate: float = 0.08) -> Judged:
    """Hand out everything there is, and have it judged."""
    rng = Random(world.seed)
    with transaction() as session:
        project_id, people, numbers = _set_up(session, world, overlap, gold_rate=gold_rate)
    votes: list[tuple[int, int, int]] = []
    gold = 0
    able = list(range(len(people)))
    while able:
        with transaction() as session:
            project = session.get_one(Project, project_id)
            users = session.scalars(select(User).where(User.id.in_(people))).all()
            by_id = {user.id: user for user in users}
            for _ in range(BATCH):
                if not able:
                    break
                person = rng.choice(able)
                user = by_id[people[person]]
                now = database_now(session)
                assignment = tasks.claim(session, project=project, user=user, now=now, rng=rng)
                if assignment is None:
                    able.remove(person)  # there is nothing for her, until a task wants one more
                    continue
                number = numbers[assignment.task_id]
                answer = world.says(person, number, rng)
                _submit(session, assignment, project=project, user=user, better=answer)
                if number >= world.n_tasks:
                    gold += 1
                    continue
                votes.append((number, person, (FIRST, SECOND)[answer]))
                if len(able) < len(people) and _wants_more(session, assignment):
                    able = list(range(len(people)))
    with transaction() as session:
        counted = session.scalar(
            select(func.sum(Task.counted)).where(Task.project_id == project_id)
        )
        assert counted == len(votes)
        session.execute(delete(Project).where(Project.id == project_id))
    return Judged(votes, gold)


def _submit(
    session: Session, assignment: Assignment, *, project: Project, user: User, better: int
) -> None:
    assert assignment.display_order is not None
    first = "AB"[assignment.display_order.index(better)]
    annotation.submit(
        session,
        assignment=assignment,
        project=project,
        user=user,
        judgement=JudgementBody(ranking=[[first], ["B" if first == "A" else "A"]]),
        key=None,
        now=database_now(session),
    )


def _wants_more(session: Session, assignment: Assignment) -> bool:
    task = select(Task.leased + Task.counted < Task.wanted).where(Task.id == assignment.task_id)
    return session.scalar(task) is True


def _set_up(
    session: Session, world: World, overlap: Overlap, *, gold_rate: float
) -> tuple[UUID, list[UUID], dict[UUID, int]]:
    boss = make_user(session, f"Boss {uuid4()}")
    project = make_project(
        session,
        f"Simulation {uuid4()}",
        by=boss,
        gold_rate=gold_rate,
        allow_ties=False,
        strength_levels=0,
        overlap_min=overlap.least,
        overlap_max=overlap.most,
        overlap_confidence=overlap.confidence,
    )
    people = []
    for number in range(len(world.skills)):
        user = make_user(session, f"Person {number} {uuid4()}")
        make_member(session, project, user, Role.ANNOTATOR)
        people.append(user.id)
    size = world.n_tasks + world.n_gold
    make_many_tasks(session, project, count=size, wanted=overlap.least)
    numbers = {
        UUID(hashlib.md5(f"t{number + 1}".encode()).hexdigest()): number  # noqa: S324
        for number in range(size)
    }
    places = Random(world.seed)  # the database draws its own, which nobody can repeat
    for task_id, number in numbers.items():
        values = {"random_key": places.random()}
        if number >= world.n_tasks:
            values |= {"kind": TaskKind.GOLD, "wanted": None}
            better = 0 if world.truths[number] == FIRST else 1
            session.add(GoldKey(task_id=task_id, prefers=[[better, 1 - better]]))
        session.execute(update(Task).where(Task.id == task_id).values(**values))
    return project.id, people, numbers


def share_right(world: World, judged: Judged) -> float:
    """How many answers of Dawid and Skene's model are the truth; a tie is wrong."""
    task, person, vote = np.array(judged.votes).T
    fitted = dawid_skene(task, person, vote, n_items=world.n_tasks, n_annotators=len(world.skills))
    answers = fitted.posterior[:, [FIRST, SECOND]].argmax(axis=1) * (SECOND - FIRST) + FIRST
    return float((answers == np.array(world.truths[: world.n_tasks])).mean())


def work_for(curve: Sequence[tuple[float, float]], right: float) -> float:
    """What fixed overlap takes for this share of right answers, by (share, work) points."""
    shares, works = np.array(sorted(curve)).T
    return float(np.interp(right, shares, works, left=math.nan, right=math.nan))
