"""The simulated annotators judge what is open now: new responses of a model, mostly."""

from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import User, UserKind
from app.annotation import service as annotation
from app.annotation.queries import assignment_view
from app.annotation.schemas import AssignmentOut, JudgementBody, Times
from app.db import database_now, transaction
from app.demo import content
from app.demo.crowd import CROWD, Persona, Shown, judge
from app.demo.reading import read, words_of
from app.projects.models import Membership, Project

SEED = 2024
JUDGING_LOCK = 7_204_021
WHILE_AGO = timedelta(minutes=3)  # when she began: time that she took is no more than has passed


class Desk:
    """What the crowd knows: how good the demo's own texts are, and which words there are."""

    def __init__(self, loaded: content.Content) -> None:
        self.judged = loaded.judged
        told = [str(row["prompt"]) for row in loaded.rows]
        self.known = frozenset(word for text in (*told, *self.judged) for word in words_of(text))

    def shown(self, text: str, *, prompt: str) -> Shown:
        """A response as they see it: known, or else only counted."""
        own = self.judged.get(text)
        if own is not None:
            return Shown(text, own.quality, own.note)
        found = read(text, prompt=prompt, known=self.known)
        return Shown(text, found.quality, found.note)

    def judgement(
        self, persona: Persona, view: AssignmentOut, *, now: datetime, rng: Random
    ) -> JudgementBody:
        """What `persona` hands in for the texts on her screen; she does not know what is gold."""
        prompt = "\n".join(str(message["content"]) for message in view.prompt.messages)
        verdict = judge(
            persona,
            [self.shown(response.text, prompt=prompt) for response in view.responses],
            rng=rng,
            hour=now.hour + now.minute / 60,
            strength_levels=view.strength_levels,
            allow_ties=view.allow_ties,
        )
        return JudgementBody(
            ranking=verdict.ranking,
            strength=verdict.strength,
            rationale=verdict.rationale,
            times=Times(visible_ms=verdict.visible_ms, active_ms=verdict.active_ms),
        )


def judge_open_tasks(project_id: UUID, *, most: int | None = None) -> int:
    """Let every simulated member of the project judge, a task at a time in turn; how many they did.

    Each judgement is handed in for itself, so whoever is cut off goes on where it was. Nobody who
    is paused gets a task, and all is over when nobody gets one.
    """
    desk = Desk(content.load())
    done, waiting = 0, _members(project_id)
    while waiting and (most is None or done < most):
        judged: list[tuple[Persona, UUID]] = []
        for persona, user_id in waiting:
            if most is not None and done + len(judged) >= most:
                break
            with transaction() as session:
                if _judge_one(session, desk, persona, project_id=project_id, user_id=user_id):
                    judged.append((persona, user_id))
        done += len(judged)
        waiting = judged
    return done


def _members(project_id: UUID) -> list[tuple[Persona, UUID]]:
    by_name = {persona.name: persona for persona in CROWD}
    with transaction() as session:
        rows = session.execute(
            select(User.name, User.id)
            .join(Membership, Membership.user_id == User.id)
            .where(Membership.project_id == project_id, User.kind == UserKind.SIMULATED)
            .order_by(User.name)
        ).all()
    return [(by_name[row.name], row.id) for row in rows if row.name in by_name]


def _judge_one(
    session: Session, desk: Desk, persona: Persona, *, project_id: UUID, user_id: UUID
) -> bool:
    # One after the other: two that claim for the same person would both get her open task.
    session.execute(select(func.pg_advisory_xact_lock(JUDGING_LOCK)))
    project, user = session.get(Project, project_id), session.get_one(User, user_id)
    if project is None:
        return False
    now = database_now(session)
    done = session.get_one(Membership, (project_id, user_id)).claimed
    rng = Random(f"{SEED} {persona.key} {done}")  # noqa: S311 – a simulation
    began = now - WHILE_AGO
    assignment = annotation.claim(session, project=project, user=user, now=began, rng=rng)
    if assignment is None:
        return False
    view = assignment_view(session, assignment=assignment, project=project)
    annotation.submit(
        session,
        assignment=assignment,
        project=project,
        user=user,
        judgement=desk.judgement(persona, view, now=now, rng=rng),
        key=f"demo-{assignment.id}",
        now=now,
    )
    return True
