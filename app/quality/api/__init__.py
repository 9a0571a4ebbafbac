"""Quality as JSON (contract §3)."""

from app.quality.api import agreement, care, consensus, dashboard, gold, people, re_asks, review

routers = [
    agreement.router,
    consensus.router,
    dashboard.router,
    people.router,
    care.router,
    gold.router,
    re_asks.router,
    review.router,
]
