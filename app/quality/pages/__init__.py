"""Quality as pages."""

from app.quality.pages import dashboard, days, people, progress, review

routers = [dashboard.router, days.router, progress.router, people.router, review.router]
