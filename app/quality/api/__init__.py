"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, consensus, people, review

routers = [agreement.router, consensus.router, people.router, review.router]
