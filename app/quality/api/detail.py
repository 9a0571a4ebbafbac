"""A task under review as JSON."""

from collections.abc import Sequence

from app.corpus.models import Response
from app.quality.models import Adjudication, SendBack
from app.quality.queries.review import Judgement
from app.quality.schemas.review import (
    AdjudicationOut,
    ConsensusOut,
    JudgementOut,
    KeyOut,
    ReviewedResponse,
    SendBackOut,
    TaskDetail,
)
from app.quality.service.task_review import TaskReview
from app.tasks.models import GoldKey, Task


def adjudication_out(adjudication: Adjudication, responses: Sequence[Response]) -> AdjudicationOut:
    return AdjudicationOut(
        id=str(adjudication.id),
        task_id=str(adjudication.task_id),
        response_ids=[str(response.id) for response in responses],
        ranks=adjudication.ranks,
        reason=adjudication.reason,
        by=adjudication.user_id,
        created_at=adjudication.created_at,
        withdrawn_at=adjudication.withdrawn_at,
    )


def send_back_out(row: SendBack) -> SendBackOut:
    return SendBackOut(
        id=str(row.id),
        task_id=str(row.task_id),
        more=row.more,
        reason=row.reason,
        by=row.user_id,
        created_at=row.created_at,
        undone_at=row.undone_at,
    )


def task_detail(task: Task, view: TaskReview) -> TaskDetail:
    responses = [response for _, response in view.responses]
    consensus = view.consensus and ConsensusOut(
        ranks=list(view.consensus.ranks),
        disagreement=view.disagreement,
        posterior=view.posterior,
    )
    return TaskDetail(
        id=str(task.id),
        external_id=task.external_id,
        project_id=task.project_id,
        kind=task.kind,
        wanted=task.wanted,
        counted=task.counted,
        messages=task.prompt.messages,
        system=task.prompt.system,
        responses=[
            ReviewedResponse(
                id=str(response.id), label=name, text=response.text, source=response.source
            )
            for name, response in view.responses
        ],
        judgements=[_judgement(each) for each in view.judgements],
        consensus=consensus,
        adjudications=[adjudication_out(each, responses) for each, _ in view.adjudications],
        sent_back=[send_back_out(each) for each, _ in view.send_backs],
        gold=_key(view.gold_key),
        stamp=view.stamp,
    )


def _judgement(judgement: Judgement) -> JudgementOut:
    return JudgementOut(
        id=str(judgement.id),
        annotator=judgement.user_id,
        name=judgement.name,
        is_source=judgement.is_source,
        counted=judgement.counted,
        repeat=judgement.is_repeat,
        gold_passed=judgement.gold_passed,
        ranks=list(judgement.ranks),
        strength=judgement.strength,
        ratings=judgement.ratings,
        rationale=judgement.rationale,
        flags=judgement.flags,
        display_order=None if judgement.display_order is None else list(judgement.display_order),
        seconds=judgement.seconds,
        guidelines_version=judgement.guidelines_version,
        submitted_at=judgement.submitted_at,
    )


def _key(key: GoldKey | None) -> KeyOut | None:
    if key is None:
        return None
    return KeyOut(
        prefers=[(int(i), int(j)) for i, j in key.prefers],
        equal=[(int(i), int(j)) for i, j in key.equal],
        ties_allowed=key.ties_allowed,
        explanation=key.explanation,
        suspended_at=key.suspended_at,
    )
