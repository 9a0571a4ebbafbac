"""Tables from the literature, and the slow formulas they come with."""

import numpy as np

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example C; Gwet (2014) uses the
# same table. Four observers, twelve units, 0 = no value.
KRIPPENDORFF_2011 = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)

# Gwet (2008), table 3: two raters, nearly everything in one category.
GWET_PARADOX = np.array([[118, 5], [2, 0]])

# Siegel (1956), ch. 9: three executives rank six applicants.
SIEGEL_1956 = np.array([[1, 6, 3, 2, 5, 4], [1, 5, 6, 4, 2, 3], [6, 3, 2, 5, 4, 1]])

# Fleiss (1971), table 1: six psychiatrists give one of five diagnoses to each of thirty patients.
# He has only how many gave which; who is who does not matter to his kappa.
PATIENTS = """
444444 222555 233335 555555 222444 113333 333355 113334 114444 555555
144444 124444 222333 144444 224445 333335 111455 111112 224444 133555
555555 244444 224555 114444 144445 222224 111155 224444 133333 555555
"""
FLEISS_1971 = np.array([[int(diagnosis) for diagnosis in each] for each in PATIENTS.split()]).T

# The anxiety of twenty subjects as two raters see it, in the manual of the R package irr
# (`anxiety`, raters 2 and 3), its unused fifth step left out as that package does.
ANXIETY = np.array(
    [
        [3, 5, 4, 5, 2, 4, 2, 4, 3, 3, 2, 3, 3, 3, 2, 2, 1, 3, 3, 4],
        [2, 1, 4, 4, 3, 2, 1, 5, 1, 1, 1, 2, 3, 3, 1, 1, 3, 3, 2, 2],
    ]
)

# The example of the reference implementation of cross-replication reliability (Wong, Paritosh,
# Aroyo 2021): how many of two groups said A and B of five items; κ_x = .1818.
XRR_ONE = np.array([[0, 2], [0, 3], [2, 0], [3, 0], [1, 1]])
XRR_OTHER = np.array([[0, 2], [1, 1], [1, 1], [1, 1], [2, 0]])


def value_counts(table: np.ndarray, categories: int) -> np.ndarray:
    """(observers, units) with 0 = missing → (units, categories)."""
    return np.stack([(table == value).sum(axis=0) for value in range(1, categories + 1)], axis=1)


def two_rater_counts(table: np.ndarray) -> np.ndarray:
    """A contingency table of two raters as counts per unit."""
    units = []
    for (a, b), number in np.ndenumerate(table):
        row = np.zeros(len(table), int)
        row[a] += 1
        row[b] += 1
        units += [row] * number
    return np.array(units)


def slow_gwet(counts: np.ndarray, weight: np.ndarray) -> float:
    """AC1/AC2 as written in Gwet (2014), unit by unit."""
    q = counts.shape[1]
    observed, paired = 0.0, 0
    for unit in counts:
        n = unit.sum()
        if n < 2:
            continue
        paired += 1
        for k in range(q):
            near = sum(weight[k, other] * unit[other] for other in range(q))
            observed += unit[k] * (near - 1) / (n * (n - 1))
    observed /= paired
    judged = [unit for unit in counts if unit.sum()]
    share = [sum(unit[k] / unit.sum() for unit in judged) / len(judged) for k in range(q)]
    chance = weight.sum() / (q * (q - 1)) * sum(p * (1 - p) for p in share)
    return (observed - chance) / (1 - chance)
