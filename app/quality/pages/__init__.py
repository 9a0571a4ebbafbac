"""Quality as pages."""

from app.quality.pages import dashboard, examples, people, progress, re_asks, review

routers = [
    dashboard.router,
    progress.router,
    people.router,
    examples.router,
    re_asks.router,
    review.router,
]
