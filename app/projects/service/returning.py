"""What is known of somebody who was in a project before, when she comes back to it."""

from typing import Any

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.projects.models import Project

# All of it stands right of projects: asked by the tables' names, as a string key would.
HISTORY = text(
    """
    SELECT
      (SELECT coalesce(max(ordinal), 0) FROM assignment
       WHERE project_id = :project AND user_id = :person) AS claimed,
      (SELECT max(finished_at) FROM qualification_attempt
       WHERE project_id = :project AND user_id = :person AND passed) AS qualified_at,
      (SELECT count(*) FROM re_ask_pair JOIN re_ask ON re_ask.id = re_ask_id
       WHERE project_id = :project AND user_id = :person AND cancelled_at IS NULL) AS re_asks,
      count(*) AS gold_seen,
      count(*) FILTER (WHERE gold_passed) AS gold_passed
    FROM annotation JOIN gold_key USING (task_id)
    WHERE project_id = :project AND user_id = :person AND annotation.gold_passed IS NOT NULL
      AND is_current AND NOT is_repeat AND suspended_at IS NULL
    """
).bindparams(bindparam("project", type_=Uuid()), bindparam("person", type_=Uuid()))


def history_of(session: Session, *, project: Project, user: User) -> dict[str, Any]:
    """The columns of a new membership that count her work, by what is there of it.

    Else a limit of all that one person may judge would begin anew, what she is to judge again would
    wait for ever, and who had passed the qualification would be asked again, perhaps without an
    attempt left. Her standing follows with her next gold answer.
    """
    return dict(
        session.execute(HISTORY, {"project": project.id, "person": user.id}).mappings().one()
    )
