"""A batch of imported rows as prompts, responses, tasks and judgements.

What was prepared as if all was new is written as it is, for as long as that holds; from the first
thing that was there already on, it is prepared again.

Where all is new, rows name none but those written just before them, and the project, the import and
the people, which are held: nothing asks again whether those exist.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation import service as annotation
from app.corpus import service as corpus
from app.db import vouched_keys
from app.projects.models import Project
from app.quality.service.importing import record_adjudications
from app.tasks import service as tasks
from app.tasks.schemas import OpenedTask
from app.worker.imports.preparing import (
    Here,
    Opening,
    Prepared,
    Row,
    counted,
    judgements_of,
    prepare_opening,
    prepare_responses,
    rankable,
)

MOST_KNOWN = 50_000  # people whose names are remembered


def write_batch(
    session: Session,
    batch: Prepared,
    *,
    here: Here,
    project: Project,
    by: User | None,
    brought: Counter[str],
) -> int:
    """Write the rows; answers how many of them added something, and counts in `brought` what."""
    with vouched_keys(session):
        prompts = corpus.add_prompts(session, prompts=batch.prompts)
    pairs = zip(batch.tasks, prompts, strict=True)
    imported = sum(prompt.is_new for task, prompt in pairs if not task.responses)
    brought["prompts"] += sum(prompt.is_new for prompt in prompts)
    rest = batch.rest
    if rest is None:
        return imported
    rows, responses = rest.rows, rest.responses
    is_new = prompts is batch.prompts.expected
    if not is_new:
        rows = rankable(batch.tasks, prompts, batch.hashes)
        responses = prepare_responses(rows, here=here)
    with vouched_keys(session) if is_new else nullcontext():
        kept = corpus.add_prepared(session, responses=responses)
    brought["responses"] += sum(response.is_new for response in kept)
    opening = rest.opening
    is_new = kept is rest.responses.expected
    if not is_new:
        opening = prepare_opening(rows, kept, here=here)
    with vouched_keys(session) if is_new and not opening.tasks.golden else nullcontext():
        opened = tasks.open_prepared(session, project=project, tasks=opening.tasks, by=by)
    brought["tasks"] += sum(task.is_new for task in opened)
    brought["gold"] += sum(task.is_new and task.is_gold for task in opened)
    _settle(session, rows, opening, opened, brought=brought)
    judgements = rest.judgements if opened is rest.opening.tasks.expected else None
    heard = _record(
        session, rows, opening, opened, judgements=judgements, here=here, project=project
    )
    brought["judgements"] += len(heard)
    return imported + len({number for number, task in enumerate(opened) if task.is_new} | {*heard})


def _settle(
    session: Session,
    rows: Sequence[Row],
    opening: Opening,
    opened: Sequence[OpenedTask],
    *,
    brought: Counter[str],
) -> None:
    """What reviewers settled of tasks that are new."""
    settled = [
        (
            task.task_id,
            task.canonical([its.ranks[place] for place in opening.orders[number]]),
            its.reason,
            its.created_at,
        )
        for number, task in enumerate(opened)
        if (its := rows[number][0].adjudication) and task.is_new and not task.is_gold
    ]
    if settled:
        record_adjudications(session, settled)
        brought["adjudications"] += len(settled)


def _record(
    session: Session,
    rows: Sequence[Row],
    opening: Opening,
    opened: Sequence[OpenedTask],
    *,
    judgements: annotation.PreparedJudgements | None,
    here: Here,
    project: Project,
) -> list[int]:
    """Record the judgements; answers the row of each that is new."""
    places = [number for number, (task, _, _) in enumerate(rows) for _ in task.annotations]
    if not places:
        return []
    recorded = None
    if judgements is not None:
        recorded = annotation.record_prepared(
            session, project=project, prepared=judgements, opened=counted(opened)
        )
    if recorded is None:
        recorded = annotation.record_imported(
            session,
            project=project,
            judgements=judgements_of(rows, opened, opening.orders),
            now=here.about.now,
            opened=counted(opened),
            import_id=here.about.import_id,
        )
    if len(here.members) > MOST_KNOWN:
        here.members.clear()
    here.members.update(recorded.members)
    return [number for number, is_new in zip(places, recorded.is_new, strict=True) if is_new]
