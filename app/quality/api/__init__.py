"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, dashboard, people, review

routers = [agreement.router, dashboard.router, people.router, review.router]
