"""How much longer one response is than another, as a regression takes it.

As in AlpacaEval 2 (Dubois et al. 2024, "Length-controlled AlpacaEval", eq. 2): tanh of the
difference over its usual size, so that a response ten times as long weighs little more than one
that is twice as long. What a model says at 0 is what would be left at equal length.
"""

import numpy as np

from app.quality.rules.intervals import Floats


def tempered(longer: Floats, usual: float) -> Floats:
    """tanh(Δ / usual): between −1 and 1, 0 where both are equally long."""
    return np.tanh(longer / usual)
