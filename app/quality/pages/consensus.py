"""How sure the answers are, and how each person errs."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from app.accounts.models import Role
from app.db import SessionDep
from app.errors import found
from app.projects.auth import ProjectRole, ViewerProject
from app.quality.models import Part
from app.quality.queries.consensus import names_of
from app.quality.rules.review import in_words
from app.quality.service import summary
from app.quality.service.consensus import most_uncertain, uncertain_tasks
from app.web import render
from app.web.tables import csv_reply

router = APIRouter(include_in_schema=False)

SHOWN = 25  # tasks
MATRICES = 12  # people whose confusion is drawn: the busiest ones


@router.get("/projects/{project_id}/consensus", name="consensus")
def consensus(
    request: Request, session: SessionDep, project: ViewerProject, role: ProjectRole
) -> HTMLResponse:
    view = summary.current(session, project=project, part=Part.CONSENSUS)
    people = sorted(view.figures["annotators"], key=_busiest) if view else []
    return render(
        request,
        "quality/consensus.html",
        charts=True,
        project=project,
        section="overview",
        view=view,
        tasks=uncertain_tasks(session, view=view, start=0, limit=SHOWN) if view else [],
        people=people,
        matrices=people[:MATRICES],
        names=names_of(session, user_ids=[person["user_id"] for person in people]),
        may_review=role in {Role.ADMIN, Role.REVIEWER},
        in_words=in_words,
    )


def _busiest(person: dict[str, int]) -> int:
    return -person["n_annotations"]


@router.get("/projects/{project_id}/consensus.csv", name="consensus_csv")
def consensus_csv(session: SessionDep, project: ViewerProject) -> Response:
    """The least certain tasks."""
    view = found(summary.current(session, project=project, part=Part.CONSENSUS, wait=True))
    header = (
        "task_id", "external_id", "prompt", "posterior", "judgements", "disagreement", "answer",
        "majority", "settled_at",
    )  # fmt: skip
    return csv_reply(
        "consensus",
        header,
        (
            (
                str(task.line.task_id),
                task.line.external_id,
                task.line.opening,
                task.posterior,
                task.n_annotations,
                task.disagreement,
                in_words(task.ranks),
                task.majority and in_words(task.majority),
                task.line.adjudicated_at,
            )
            for task in most_uncertain(session, view=view)
        ),
    )


@router.get("/projects/{project_id}/confusion.csv", name="confusion_csv")
def confusion_csv(session: SessionDep, project: ViewerProject) -> Response:
    """How each person errs: P(says | true) row by row."""
    view = found(summary.current(session, project=project, part=Part.CONSENSUS, wait=True))
    people = sorted(view.figures["annotators"], key=_busiest)
    names = names_of(session, user_ids=[person["user_id"] for person in people])
    classes = ("left", "tie", "right")
    header = (
        "person", "user_id", "judgements", "gold_answers", "two_sided", "accuracy", "low", "high",
        *(f"says_{said}_if_{true}" for true in classes for said in classes),
    )  # fmt: skip
    return csv_reply(
        "confusion",
        header,
        (
            (
                names.get(person["user_id"], ""),
                person["user_id"],
                person["n_annotations"],
                person["n_known"],
                person["two_sided"],
                *(person["accuracy"][bound] for bound in ("value", "low", "high")),
                *(share for row in person["matrix"] for share in row),
            )
            for person in people
        ),
    )
