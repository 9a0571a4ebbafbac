"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, people, re_asks, review

routers = [agreement.router, people.router, re_asks.router, review.router]
