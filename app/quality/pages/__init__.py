"""Quality as pages."""

from app.quality.pages import agreement, dashboard, people, progress, review

routers = [
    dashboard.router,
    agreement.router,
    progress.router,
    people.router,
    review.router,
]
