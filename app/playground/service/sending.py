"""The answers to a turn as an ordinary task, which people judge without knowing who wrote what."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.corpus import service as corpus
from app.corpus.schemas import NewPrompt, NewResponse
from app.db import JobState, JsonObject
from app.errors import Conflict
from app.playground import queries, rules
from app.playground.models import PlayAnswer, PlayConversation, PlayTurn
from app.projects.models import Project
from app.tasks import service as tasks
from app.tasks.schemas import NewTask


@dataclass(frozen=True)
class Sent:
    """Where the answers ended: a task, which may have been there already."""

    task_id: UUID
    prompt_id: UUID
    is_new: bool


def send(
    session: Session, *, project: Project, conversation: PlayConversation, turn: PlayTurn, by: User
) -> Sent:
    """Open a task of the conversation and its whole answers; the same ones again are one task."""
    answers = [each.answer for each in queries.answers_of(session, turns=[turn])[turn.id]]
    if turn.finished_at is None:
        raise Conflict("The answers are still being written. Send them when they are there.")
    if why_not := rules.may_be_sent([(each.state.value, each.text) for each in answers]):
        raise Conflict(why_not)
    tasks.lock_opening(session, project=project)  # before the prompt, as an import does
    new = NewPrompt(
        messages=queries.messages_before(session, turn=turn),
        system=conversation.system,
        source="playground",
        meta={"playground": str(turn.id)},
    )
    (prompt,) = corpus.add_prompts(
        session, prompts=corpus.prepare_prompts([new], project_id=project.id)
    )
    whole = [each for each in answers if each.state is JobState.SUCCEEDED and each.text.strip()]
    texts = {each.text: each for each in reversed(whole)}  # equal texts are one, the first
    stored = corpus.add_responses(
        session,
        responses=[
            NewResponse(
                prompt_id=prompt.id,
                prompt_hash=prompt.content_hash,
                text=text,
                source=answer.source,
                checkpoint_id=answer.checkpoint_id,
                sampling=_sampling(turn, answer),
            )
            for text, answer in texts.items()
        ],
    )
    (opened,) = tasks.open_tasks(
        session,
        project=project,
        tasks=[NewTask(prompt_id=prompt.id, response_ids=[row.id for row in stored])],
    )
    turn.task_id, turn.sent_at, turn.sent_by = opened.task_id, func.now(), by.id
    audit(
        session,
        user=by,
        action="playground.send",
        target=f"task {opened.task_id}",
        project_id=project.id,
        turn=str(turn.id),
        is_new=opened.is_new,
    )
    return Sent(opened.task_id, prompt.id, opened.is_new)


def _sampling(turn: PlayTurn, answer: PlayAnswer) -> JsonObject | None:
    """How it was drawn; None for what a person typed."""
    if answer.endpoint_id is not None:
        return turn.settings | {"endpoint": str(answer.endpoint_id)}
    return turn.settings if answer.checkpoint_id else None
