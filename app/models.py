"""Imports every domain's models, so that Alembic sees the whole schema."""

from app.accounts import models as accounts
from app.annotation import models as annotation
from app.corpus import models as corpus
from app.datasets import models as datasets
from app.db import Base
from app.evaluation import models as evaluation
from app.generation import models as generation
from app.playground import models as playground
from app.privacy import models as privacy
from app.projects import models as projects
from app.quality import models as quality
from app.rounds import models as rounds
from app.runs import models as runs
from app.tasks import models as tasks

metadata = Base.metadata
__all__ = [
    "accounts",
    "annotation",
    "corpus",
    "datasets",
    "evaluation",
    "generation",
    "metadata",
    "playground",
    "privacy",
    "projects",
    "quality",
    "rounds",
    "runs",
    "tasks",
]
