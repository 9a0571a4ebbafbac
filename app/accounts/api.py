"""What a person has set for herself, as JSON."""

from fastapi import APIRouter

from app.accounts import service
from app.accounts.auth import CurrentUser
from app.accounts.schemas import RankingPreferences
from app.db import SessionDep

router = APIRouter(tags=["accounts"])


@router.get("/me/preferences")
def get_preferences(user: CurrentUser) -> RankingPreferences:
    """How the caller likes to work on the ranking page."""
    return RankingPreferences.model_validate(user.preferences.get("ranking") or {})


@router.put("/me/preferences")
def set_preferences(
    session: SessionDep, user: CurrentUser, body: RankingPreferences
) -> RankingPreferences:
    """Keep how she likes to work; it holds in every browser of hers."""
    value = body.model_dump(mode="json")
    service.set_preference(session, user=user, name="ranking", value=value)
    return body
