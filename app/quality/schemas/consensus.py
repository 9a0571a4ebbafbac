"""Answers, confusion and the leaderboard on the wire."""

from datetime import datetime

from pydantic import BaseModel

from app.quality.schemas.agreement import FigureOut


class ConfusionOut(BaseModel):
    """How one person errs, by Dawid and Skene's model.

    matrix: P(she says left, tie, right | the left one, none, the right one is better). two_sided:
    whether the sides were told apart; else she judged fewer than 50 times, or nobody knows the
    sides, and one coin serves for both. n_known: of her answers, those to gold questions. accuracy:
    share of what she said that is the answer.
    """

    user_id: str
    n_annotations: int
    n_known: int
    two_sided: bool
    matrix: list[list[float]]
    accuracy: FigureOut


class MethodsOut(BaseModel):
    """Tasks by what the majority says: the same answer as the model, another, or nothing.

    `resolved`: of those that are even (`unresolved`), the model decides. These are tasks that no
    reviewer settled; of the `adjudicated` ones, those in which majority and model say what the
    reviewer said.
    """

    same: int
    differ: int
    unresolved: int
    resolved: int
    adjudicated: int
    adjudicated_as_majority: int
    adjudicated_as_model: int


class ConsensusOut(BaseModel):
    """How sure the answers are. histogram: open tasks by posterior, from 0 to 1 in equal steps."""

    as_of: datetime
    is_current: bool
    confidence: float
    n_open: int
    n_confident: int
    n_adjudicated: int
    share_of_ties: float
    histogram: list[int]
    methods: MethodsOut
    annotators: list[ConfusionOut]


class EntryOut(BaseModel):
    """One source.

    score: 400 points are odds of ten to one, the mean is 1000; rank: from the best to the worst
    place its interval allows; better_than_next: of decisive comparisons.
    """

    source: str
    score: FigureOut
    rank: list[int]
    n_comparisons: int
    wins: int
    ties: int
    losses: int
    win_share: float | None
    better_than_next: FigureOut | None


class ApartOut(BaseModel):
    """A source that cannot be placed on the scale of the others, and why."""

    source: str
    why: str


class MatrixOut(BaseModel):
    """Wins of the row over the column, and ties, unweighted."""

    sources: list[str]
    wins: list[list[int]]
    ties: list[list[int]]


class StandingsOut(BaseModel):
    entries: list[EntryOut]
    apart: list[ApartOut]
    ties_of_equals: FigureOut | None = None
    left_of_equals: FigureOut | None = None
    reason: str | None = None


class EqualLengthOut(StandingsOut):
    """The sources as if all wrote at the same length: with the length as an effect of its own.

    longer_of_equals: share of decisive comparisons of equals that the response wins which is longer
    by `usual_difference` characters, the root mean square of all differences.
    """

    longer_of_equals: FigureOut
    usual_difference: float | None


class TagBoardOut(StandingsOut):
    """The standing of the sources on the prompts of one tag, on a scale of its own."""

    tag: str
    n_tasks: int
    n_comparisons: int


class LeaderboardOut(StandingsOut):
    """Davidson's model of all judgements that compare two sources; scores have the mean `mean`.

    `apart` are the sources that no chain of wins and ties joins to the others in both directions.
    with_pseudo_counts: all of them, each with `pseudo` wins and losses against an imagined source
    of average worth, where some stand apart. by_tag: those with most comparisons, of `n_tags`.
    """

    as_of: datetime
    is_current: bool
    n_sources: int
    n_comparisons: int
    n_judgements: int
    n_tasks: int
    n_annotators: int
    clustered_by: list[str]
    mean: float
    pseudo: float
    matrix: MatrixOut | None
    with_pseudo_counts: StandingsOut | None
    at_equal_length: EqualLengthOut | None
    by_tag: list[TagBoardOut]
    n_tags: int
    left_out: str | None = None
