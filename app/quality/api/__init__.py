"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, care, consensus, dashboard, gold, people, review

routers = [
    agreement.router,
    consensus.router,
    dashboard.router,
    people.router,
    care.router,
    gold.router,
    review.router,
]
