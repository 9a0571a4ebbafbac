"""Quality as pages."""

from app.quality.pages import (
    agreement,
    care,
    consensus,
    dashboard,
    days,
    examples,
    gold,
    leaderboard,
    own,
    people,
    progress,
    queue,
    re_asks,
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
    leaderboard.router,
    examples.router,
    re_asks.router,
    own.router,
    queue.router,
    review.router,
]
