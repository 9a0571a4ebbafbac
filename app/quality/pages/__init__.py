"""Quality as pages."""

from app.quality.pages import agreement, consensus, dashboard, people, progress, queue, review

routers = [
    dashboard.router,
    agreement.router,
    consensus.router,
    progress.router,
    people.router,
    queue.router,
    review.router,
]
