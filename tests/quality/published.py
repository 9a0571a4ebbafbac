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


# Dawid & Skene (1979), table 1: 45 patients; observer 1 three times, then observers 2 to 5. The
# transcription that most programs carry, in which observer 1 says 1, 2, 2 of patient 7.
# fmt: off
ANAESTHETISTS = [
    "1111111", "3334334", "1122122", "2223121", "2223222", "2223322", "1222111", "3333433",
    "2222223", "2322223", "4444444", "2223343", "1111111", "2223212", "1211111", "1112111",
    "1111111", "1111111", "2222221", "2221322", "2222222", "2222221", "2223222", "2212222",
    "1111111", "1111111", "2322222", "1111111", "1111111", "1121121", "1111111", "3333233",
    "1111111", "2222222", "2223232", "4334343", "2212232", "2323233", "3333432", "1111111",
    "1111111", "1212111", "2322222", "1211111", "2222222",
]
# fmt: on

# Agresti (1990), table 10.10: wins of the row over the column, American League, eastern division,
# 1987; his estimates relative to Baltimore, and their standard errors as in BradleyTerry2.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
BASEBALL = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ]
)
BASEBALL_LOG_WORTH = (1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0)
BASEBALL_ERRORS = (0.3433, 0.3396, 0.3367, 0.3359, 0.3339, 0.3319)

# Davidson (1970): six brands of chocolate pudding; i, j, wins of i, of j, ties. With the estimates
# that Turner et al. (2020), §2.1, give for it: shares of worth, and the tie parameter.
# fmt: off
PUDDING = np.array([
    [1, 2, 19, 22, 16], [1, 3, 16, 19, 12], [2, 3, 19, 19, 10],
    [1, 4, 18, 23, 13], [2, 4, 23, 19, 9], [3, 4, 19, 20, 15],
    [1, 5, 13, 19, 18], [2, 5, 16, 20, 12], [3, 5, 16, 15, 17],
    [4, 5, 17, 14, 16], [1, 6, 18, 21, 12], [2, 6, 22, 20, 12],
    [3, 6, 13, 18, 10], [4, 6, 14, 19, 18], [5, 6, 11, 21, 12],
])
# fmt: on
PUDDING_WORTH = (0.1388, 0.1730, 0.1617, 0.1654, 0.1587, 0.2024)
PUDDING_TIE = 0.7468
