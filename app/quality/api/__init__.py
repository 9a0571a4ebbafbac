"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, people, review

routers = [agreement.router, people.router, review.router]
