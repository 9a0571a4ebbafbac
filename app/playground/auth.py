"""Who may see and do what in the playground.

A stranger to the project gets 404; whoever may see its models may read the conversations with them,
and its admins hold them: they cost the worker's time.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.accounts.models import Role, User
from app.db import SessionDep
from app.errors import found
from app.playground import queries
from app.playground.models import PlayAnswer, PlayConversation, PlayTurn
from app.projects.auth import AdminProject, ViewerProject, require
from app.projects.queries import project_for

VIEWERS = (Role.VIEWER, Role.REVIEWER, Role.ADMIN)


def _may(session: Session, user: User, turn: PlayTurn, *allowed: Role) -> None:
    conversation = session.get_one(PlayConversation, turn.conversation_id)
    _, role = found(project_for(session, user=user, project_id=conversation.project_id))
    require(role, *allowed)


def viewed_turn(session: SessionDep, user: CurrentUser, turn_id: UUID) -> PlayTurn:
    turn = found(session.get(PlayTurn, turn_id))
    _may(session, user, turn, *VIEWERS)
    return turn


def managed_turn(session: SessionDep, user: CurrentUser, turn_id: UUID) -> PlayTurn:
    turn = found(session.get(PlayTurn, turn_id))
    _may(session, user, turn, Role.ADMIN)
    return turn


def viewed_answer(session: SessionDep, user: CurrentUser, answer_id: UUID) -> PlayAnswer:
    answer = found(session.get(PlayAnswer, answer_id))
    _may(session, user, session.get_one(PlayTurn, answer.turn_id), *VIEWERS)
    return answer


ViewedTurn = Annotated[PlayTurn, Depends(viewed_turn)]
ManagedTurn = Annotated[PlayTurn, Depends(managed_turn)]
ViewedAnswer = Annotated[PlayAnswer, Depends(viewed_answer)]


# Pages name the project in their address, too: what lies in another project is not there.


def page_conversation(
    session: SessionDep, project: ViewerProject, conversation_id: UUID
) -> PlayConversation:
    return found(
        queries.conversation_in(session, project_id=project.id, conversation_id=conversation_id)
    )


def admin_page_conversation(
    session: SessionDep, project: AdminProject, conversation_id: UUID
) -> PlayConversation:
    return found(
        queries.conversation_in(session, project_id=project.id, conversation_id=conversation_id)
    )


PageConversation = Annotated[PlayConversation, Depends(page_conversation)]
AdminPageConversation = Annotated[PlayConversation, Depends(admin_page_conversation)]


def admin_page_turn(
    session: SessionDep, conversation: AdminPageConversation, turn_id: UUID
) -> PlayTurn:
    return found(queries.turn_in(session, conversation_id=conversation.id, turn_id=turn_id))


AdminPageTurn = Annotated[PlayTurn, Depends(admin_page_turn)]
