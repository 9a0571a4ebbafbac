"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, care, gold, people, review

routers = [agreement.router, people.router, care.router, gold.router, review.router]
