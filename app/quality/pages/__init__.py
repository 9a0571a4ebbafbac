"""Quality as pages."""

from app.quality.pages import dashboard, people, progress, queue, review

routers = [dashboard.router, progress.router, people.router, queue.router, review.router]
