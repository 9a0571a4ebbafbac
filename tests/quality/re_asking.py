"""People at work on a project whose guidelines change, for tests of re-asked samples."""

from datetime import UTC, datetime, timedelta

from app.annotation import service as annotation
from app.annotation.schemas import JudgementBody
from app.projects import service as projects
from app.projects.schemas import ProjectPatch
from app.tasks import service as tasks

MORNING = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def best_first(held, *, turned=False):
    """A ranking of what is on her screen by canonical order, or the other way round."""
    order = held.display_order
    labels = sorted("ABCDEFGHIJ"[: len(order)], key=lambda label: order[ord(label) - ord("A")])
    return [[label] for label in (reversed(labels) if turned else labels)]


def work(session, project, user, *, rng, most, start=0, turns=lambda _: False):
    """Her assignments, each handed in a minute after the last; `turns` says which the other way."""
    given = []
    for minute in range(start, start + most):
        now = MORNING + timedelta(minutes=minute)
        held = tasks.claim(session, project=project, user=user, now=now, rng=rng)
        if held is None:
            break
        body = JudgementBody(ranking=best_first(held, turned=turns(held)))
        annotation.submit(
            session, assignment=held, project=project, user=user, judgement=body, key=None, now=now
        )
        given.append(held)
    return given


def publish(session, project, ada, text="Prefer the shorter one.", **told):
    fields = {"guidelines": text, **{f"guidelines_{name}": value for name, value in told.items()}}
    projects.update_settings(
        session, project=project, patch=ProjectPatch(**fields), by=ada, now=MORNING
    )


def read(session, project, user):
    projects.acknowledge_guidelines(
        session, project=project, user=user, version=project.guidelines_version
    )
    session.expire_all()
