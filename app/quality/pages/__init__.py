"""Quality as pages."""

from app.quality.pages import (
    agreement,
    care,
    consensus,
    dashboard,
    days,
    gold,
    own,
    people,
    progress,
    queue,
    review,
)

routers = [
    dashboard.router,
    days.router,
    agreement.router,
    consensus.router,
    progress.router,
    people.router,
    care.router,
    gold.router,
    own.router,
    queue.router,
    review.router,
]
