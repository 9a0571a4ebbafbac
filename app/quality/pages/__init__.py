"""Quality as pages."""

from app.quality.pages import dashboard, people, progress, review

routers = [dashboard.router, progress.router, people.router, review.router]
