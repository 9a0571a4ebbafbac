"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, consensus, dashboard, people, review

routers = [agreement.router, consensus.router, dashboard.router, people.router, review.router]
