"""Figures of days and people as they go out."""

from app.quality.rules.comparing import Difference, Sums
from app.quality.rules.days import NOBODY_TO_COMPARE
from app.quality.rules.intervals import Figure, share_figure
from app.quality.schemas.agreement import FigureOut
from app.quality.schemas.days import DifferenceOut


def share(sums: Sums) -> FigureOut:
    """Wilson's interval over tasks by their weight."""
    if sums.value is None:
        return out(Figure(None, reason=NOBODY_TO_COMPARE))
    return out(share_figure(sums.value * sums.weight, sums.weight, none=NOBODY_TO_COMPARE))


def out(figure: Figure) -> FigureOut:
    return FigureOut.model_validate(figure.as_json())


def change(change: Difference | None) -> DifferenceOut | None:
    if change is None:
        return None
    return DifferenceOut(
        value=round(change.value, 6),
        low=round(change.low, 6),
        high=round(change.high, 6),
        is_clear=change.is_clear,
    )


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
