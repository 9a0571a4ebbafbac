"""How people like to work."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.schemas import RankingPreferences


def set_ranking_preferences(
    session: Session, *, user: User, preferences: RankingPreferences
) -> None:
    """Keep them beside whatever else is kept of her."""
    kept = {"ranking": preferences.model_dump(mode="json")}
    session.execute(
        update(User).where(User.id == user.id).values(preferences=User.preferences.concat(kept))
    )
