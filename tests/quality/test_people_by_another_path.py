"""Gold scores, standings and self-consistency of random work, recounted from the raw judgements."""

from collections import defaultdict
from itertools import combinations
from uuid import UUID

import numpy as np
import pytest
from scipy.stats import beta
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.annotation.models import Annotation, Requeue
from app.projects.models import Project
from app.tasks.models import GoldKey, Task, TaskKind
from app.work.queries.checks import invariants
from tests.random_work import Work

STEPS = 220


class Recount:
    """What the documents say of people, from current judgements and keys, in plain loops."""

    def __init__(self, session: Session, project: Project) -> None:
        rows = session.execute(
            select(Annotation, Task.kind, GoldKey)
            .join(Task, Task.id == Annotation.task_id)
            .outerjoin(GoldKey, GoldKey.task_id == Task.id)
            .where(Annotation.project_id == project.id, Annotation.is_current)
        ).all()
        self.gold: defaultdict[str, list[bool]] = defaultdict(list)
        self.repeats: defaultdict[str, list[float]] = defaultdict(list)
        originals = {
            (each.user_id, each.task_id): each
            for each, _, _ in rows
            if not each.is_repeat and each.counted
        }
        for each, kind, key in rows:
            who = str(each.user_id)
            if key is not None and key.suspended_at is None and not each.is_repeat:
                self.gold[who].append(agrees(each.ranks, key))
            first = originals.get((each.user_id, each.task_id))
            is_alike = first is not None and first.guidelines_version == each.guidelines_version
            if each.is_repeat and kind is TaskKind.ORDINARY and first is not None and is_alike:
                self.repeats[who].append(same_pairs(first.ranks, each.ranks))
        self.threshold = project.gold_threshold

    def standing(self, who: str) -> tuple[int, int, float, str]:
        seen, passed = len(self.gold[who]), sum(self.gold[who])
        p_below = float(beta.cdf(self.threshold, 4 + passed, 1.5 + seen - passed))
        if p_below > 0.95 and seen >= 5:
            return seen, passed, p_below, "failed"
        return seen, passed, p_below, "warned" if p_below > 0.8 else "good"


def agrees(ranks: list[int], key: GoldKey) -> bool:
    for better, worse in key.prefers:
        is_tie = ranks[better] == ranks[worse]
        if ranks[better] > ranks[worse] or (is_tie and not key.ties_allowed):
            return False
    return not any(ranks[one] != ranks[other] for one, other in key.equal)


def same_pairs(before: list[int], after: list[int]) -> float:
    pairs = list(combinations(range(len(before)), 2))
    return sum(
        np.sign(before[i] - before[j]) == np.sign(after[i] - after[j]) for i, j in pairs
    ) / len(pairs)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_told_of_people_is_what_a_recount_says(session, people, api, seed):
    work = Work(session, people, seed=seed)
    for number in range(STEPS):
        work.step()
        if number % 8 == 0:
            recount = Recount(session, work.project)
            for user in work.users:
                kept = work.membership(user.id)
                seen, passed, _, standing = recount.standing(str(user.id))
                assert (kept.gold_seen, kept.gold_passed, kept.standing) == (seen, passed, standing)
            broken = [each for each in invariants(session, project=work.project) if not each.holds]
            assert broken == []
            assert not still_counted(session)
    session.commit()
    reply = api(people.ada).get(f"/api/v1/projects/{work.project.id}/annotators").json()
    told = {line["user_id"]: line for line in reply["items"]}
    recount = Recount(session, work.project)
    for user in work.users:
        who = str(user.id)
        line, repeats = told[who], recount.repeats[who]
        seen, passed, p_below, standing = recount.standing(who)
        assert (line["gold_seen"], line["gold_passed"]) == (seen, passed)
        assert line["standing"] == standing
        assert line["p_below_threshold"] == pytest.approx(p_below if seen else None, abs=1e-6)
        assert line["n_repeats"] == len(repeats)
        share = np.mean(repeats) if repeats else None
        assert line["self_consistency"]["value"] == pytest.approx(share, abs=1e-6)
    assert any(recount.repeats.values())
    assert any(recount.gold.values())


def still_counted(session: Session) -> list[UUID]:
    """Judgements that count although they were taken out."""
    taken_out = select(Requeue.id).where(Requeue.undone_at.is_(None))
    counted = select(Annotation.id).where(
        Annotation.requeue_id.in_(taken_out), Annotation.is_current, Annotation.counted
    )
    return list(session.scalars(counted))
