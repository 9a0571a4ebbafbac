"""The rows of a snapshot of random work, made once more from the raw judgements in plain loops."""

from fractions import Fraction
from itertools import permutations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.corpus.models import Response
from app.projects import service as projects
from app.projects.models import Membership, Project
from app.quality.models import Adjudication
from app.quality.service.review import adjudicate
from app.tasks.models import Task, TaskKind, TaskResponse
from app.tasks.queries import responses_of
from tests.datasets.frozen import freeze, rows_of
from tests.random_work import Work

RECIPES = [
    {},
    {"min_annotations": 2, "exclude_failed_gold": False, "margin": "strength", "ties": "keep"},
    {"pairs": "adjacent", "min_agreement": 0.7, "consensus": "adjudicated_first"},
    {"pairs": "best_worst", "margin": "strength", "adjudicated_only": True},
]


class Remade:
    """What the documents say becomes of a project's judgements."""

    def __init__(self, session: Session, project: Project, **recipe: object) -> None:
        self.session, self.project, self.recipe = session, project, recipe
        self.preference: dict[tuple[str, str], dict[str, object]] = {}
        self.ranking: dict[tuple[str, ...], dict[str, object]] = {}
        members = session.scalars(
            select(Membership).where(Membership.project_id == project.id)
        ).all()
        self.left_out = {each.user_id for each in members if each.excluded_at is not None}
        if recipe.get("exclude_failed_gold", True):
            self.left_out |= {each.user_id for each in members if each.standing == "failed"}
        for task in session.scalars(
            select(Task).where(Task.project_id == project.id, Task.kind == TaskKind.ORDINARY)
        ):
            self._add(task)

    def _add(self, task: Task) -> None:
        names = self._names(task)
        votes = [
            each
            for each in self.session.scalars(
                select(Annotation).where(Annotation.task_id == task.id, Annotation.is_current)
            )
            if each.counted and not each.is_repeat and each.user_id not in self.left_out
        ]
        ranks = [each.ranks for each in votes]
        settled = self._settled_by_a_reviewer(task)
        if self.recipe.get("adjudicated_only") and settled is None:
            return
        if self.recipe.get("consensus") != "adjudicated_first":
            settled = None
        if settled is None and len(votes) < max(1, self.recipe.get("min_annotations", 1)):
            return
        places = range(len(names))
        said = {(i, j): self._said(ranks, (i, j), settled) for i, j in permutations(places, 2)}
        if settled is None:  # Copeland: wins less losses
            score = [sum(said[i, j] for j in places if j != i) for i in places]
            order = [1 + sum(other > mine for other in score) for mine in score]
        else:
            order = settled
        if not any(said.values()):
            is_tie = all(one[i] == one[j] for one in ranks for i, j in said) or settled is not None
            if not is_tie or self.recipe.get("ties", "drop") == "drop":
                return
        agreeing = {pair: self._agreement(ranks, pair, said[pair]) for pair in said}
        agreement = sum(agreeing.values()) / len(agreeing)
        if settled is None and agreement < self.recipe.get("min_agreement", 0):
            return
        taken = [(i, j) for i, j in self._pairs(order) if said[i, j] > 0]
        for i, j in taken:
            p = Fraction(1) if settled else self._p(ranks, (i, j))
            self.preference[names[i], names[j]] = {
                "p": float(p),
                "agreement": float(agreeing[i, j]),
                "n_annotators": len(votes),
                "weight": 1 / len(taken),
                "margin": self._margin(votes, (i, j)),
            }
        key = tuple(sorted(names))
        by_name = dict(zip(names, order, strict=True))
        self.ranking[key] = {
            "ranks": [by_name[name] for name in key],
            "agreement": float(agreement),
            "n_annotators": len(votes),
        }

    def _names(self, task: Task) -> list[str]:
        rows = self.session.execute(
            select(Response.content_hash)
            .join(TaskResponse, TaskResponse.response_id == Response.id)
            .where(TaskResponse.task_id == task.id)
            .order_by(TaskResponse.position)
        )
        return [row.content_hash.hex() for row in rows]

    def _settled_by_a_reviewer(self, task: Task) -> list[int] | None:
        rows = self.session.scalars(
            select(Adjudication)
            .where(Adjudication.task_id == task.id, Adjudication.withdrawn_at.is_(None))
            .order_by(Adjudication.created_at)
        ).all()
        return rows[-1].ranks if rows else None

    @staticmethod
    def _said(ranks, pair, settled) -> int:
        i, j = pair
        if settled is not None:
            return (settled[j] > settled[i]) - (settled[j] < settled[i])
        first = sum(one[i] < one[j] for one in ranks)
        second = sum(one[j] < one[i] for one in ranks)
        return (first > second) - (first < second)

    @staticmethod
    def _agreement(ranks, pair, said) -> Fraction:
        i, j = pair
        if not ranks:
            return Fraction(1)
        same = sum(((one[j] > one[i]) - (one[j] < one[i])) == said for one in ranks)
        return Fraction(same, len(ranks))

    @staticmethod
    def _p(ranks, pair) -> Fraction:
        i, j = pair
        wins = sum(one[i] < one[j] for one in ranks)
        ties = sum(one[i] == one[j] for one in ranks)
        return (wins + Fraction(ties, 2)) / len(ranks)

    def _margin(self, votes, pair) -> float:
        if self.recipe.get("margin") != "strength":
            return 0.0
        i, j = pair
        if all(each.strength is None for each in votes):
            return 0.0
        signed = []
        for each in votes:
            if each.ranks[i] == each.ranks[j]:
                signed.append(0)
            elif each.strength is not None:
                signed.append(each.strength if each.ranks[i] < each.ranks[j] else -each.strength)
        return sum(signed) / len(signed) / self.project.strength_levels

    def _pairs(self, order):
        levels = sorted(set(order))
        for i, j in permutations(range(len(order)), 2):
            if order[i] >= order[j]:
                continue
            kind = self.recipe.get("pairs", "all")
            if kind == "adjacent" and levels.index(order[j]) - levels.index(order[i]) != 1:
                continue
            if kind == "best_worst" and (order[i] != levels[0] or order[j] != levels[-1]):
                continue
            yield i, j


def settle_some(work: Work) -> None:
    for _ in range(8):
        task = work.any_task(Task.kind == TaskKind.ORDINARY)
        size = len(responses_of(work.session, task_ids=[task.id])[task.id])
        ranks = work.rng.choice([list(range(1, size + 1)), list(range(size, 0, -1)), [1] * size])
        adjudicate(work.session, task=task, ranks=ranks, reason="So it is.", by=work.admin)
        work.session.flush()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_snapshot_holds_the_rows_that_the_documents_say(session, people, seed):
    work = Work(session, people, seed=seed)
    for _ in range(220):
        work.step()
    settle_some(work)
    projects.exclude_member(
        session,
        membership=work.membership(work.users[0].id),
        reason="A test",
        by=work.admin,
        now=work.now,
    )
    session.commit()
    numbers = []
    for recipe in RECIPES:
        snapshot = freeze(session, work.project, **recipe)
        assert snapshot.state == "succeeded", snapshot.error
        remade = Remade(session, work.project, **recipe)
        rows = {
            (row["chosen_id"], row["rejected_id"]): row
            for split in ("train", "test")
            for row in rows_of(snapshot, "preference", split)
        }
        assert rows.keys() == remade.preference.keys(), recipe
        for key, wanted in remade.preference.items():
            found = {name: rows[key][name] for name in wanted}
            assert found == pytest.approx(wanted), recipe
        if recipe.get("ties") == "keep":  # else a ranking with ties becomes several without
            rankings = {
                tuple(row["response_ids"]): row
                for split in ("train", "test")
                for row in rows_of(snapshot, "ranking", split)
            }
            assert rankings.keys() == remade.ranking.keys()
            for key, wanted in remade.ranking.items():
                for name, value in wanted.items():
                    assert rankings[key][name] == pytest.approx(value), name
        numbers.append(len(rows))
    assert any(numbers)
