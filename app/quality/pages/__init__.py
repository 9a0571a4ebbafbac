"""Quality as pages."""

from app.quality.pages import (
    agreement,
    consensus,
    dashboard,
    days,
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
    queue.router,
    review.router,
]
