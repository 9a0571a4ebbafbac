"""Quality as pages."""

from app.quality.pages import consensus, dashboard, people, progress, review

routers = [
    dashboard.router,
    progress.router,
    people.router,
    review.router,
    consensus.router,
]
