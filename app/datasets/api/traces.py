"""A trace on the wire."""

from app.annotation.models import Annotation
from app.datasets.schemas.looking import (
    AdjudicationThenOut,
    PromptOriginOut,
    TracedJudgementOut,
    TracedResponseOut,
    TracedRowOut,
    TracedTaskOut,
    TraceOut,
)
from app.datasets.service.tracing import (
    Trace,
    TracedJudgement,
    TracedTask,
    in_row_order,
)


def trace_out(found: Trace, *, named: bool) -> TraceOut:
    """`named`: with the names of people, which are for admins."""
    stored = found.stored
    return TraceOut(
        prompt_id=found.prompt_id,
        frozen_at=found.frozen_at,
        messages=[dict(message) for message in found.messages],
        rows=[
            TracedRowOut(config=each.config, split=each.split, row=each.row) for each in found.rows
        ],
        prompt=None
        if stored is None
        else PromptOriginOut(
            id=str(stored.prompt.id),
            source=stored.prompt.source,
            external_id=stored.prompt.external_id,
            import_id=str(stored.brought_by.id) if stored.brought_by else None,
            filename=stored.brought_by.filename if stored.brought_by else None,
            created_at=stored.prompt.created_at,
        ),
        tasks=[_task(task, named=named) for task in found.tasks],
        erased=list(found.erased),
        frozen=found.frozen,
        since=found.since,
    )


def _task(traced: TracedTask, *, named: bool) -> TracedTaskOut:
    by_id = sorted(traced.responses, key=lambda response: response.id)
    return TracedTaskOut(
        id=str(traced.task.id),
        external_id=traced.task.external_id,
        response_ids=[response.id for response in by_id],
        responses=[
            TracedResponseOut(
                id=each.id,
                text=each.response.text,
                source=each.response.source,
                checkpoint_id=str(each.response.checkpoint_id)
                if each.response.checkpoint_id
                else None,
                sampling=each.response.sampling,
            )
            for each in by_id
        ],
        judgements=[_judgement(each, traced, named=named) for each in traced.taken],
        left_out=[_judgement(each, traced, named=named) for each in traced.left_out],
        adjudications=[
            AdjudicationThenOut(
                ranks=in_row_order(each.ranks, traced.responses)["ranks"],
                reason=each.reason,
                by=name if named else None,
                at=each.created_at,
                withdrawn_at=each.withdrawn_at,
            )
            for each, name in traced.adjudications
        ],
    )


def _judgement(each: TracedJudgement, task: TracedTask, *, named: bool) -> TracedJudgementOut:
    row = each.annotation
    return TracedJudgementOut(
        id=each.id,
        annotator=each.annotator,
        name=each.name if named else None,
        is_source=each.is_source,
        ranks=_ranks(row, task),
        strength=row.strength,
        ratings=row.ratings,
        rationale=row.rationale,
        rewrite=row.rewrite,
        guidelines_version=row.guidelines_version,
        submitted_at=row.submitted_at,
        gold_then=None if each.gold is None else {"right": each.gold[0], "answered": each.gold[1]},
        reason=each.reason,
        since=each.since,
        now=None if each.now is None else _ranks(each.now, task),
    )


def _ranks(row: Annotation, task: TracedTask) -> list[int]:
    ranks: list[int] = in_row_order(row.ranks, task.responses)["ranks"]
    return ranks
