"""Quality as pages."""

from app.quality.pages import care, dashboard, gold, own, people, progress, review

routers = [
    dashboard.router,
    progress.router,
    people.router,
    care.router,
    gold.router,
    own.router,
    review.router,
]
