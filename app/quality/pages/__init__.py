"""Quality as pages."""

from app.quality.pages import agreement, dashboard, people, progress, queue, review

routers = [
    dashboard.router,
    agreement.router,
    progress.router,
    people.router,
    queue.router,
    review.router,
]
