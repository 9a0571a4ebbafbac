"""Figures and agreement on the wire (contract §3)."""

from datetime import datetime

from pydantic import BaseModel


class FigureOut(BaseModel):
    """A number with its 95 % interval; `value` is null where it is not defined, see `reason`."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None


class BiasOut(FigureOut):
    """A share whose fair value is 0.5, with the exact binomial test against it."""

    n: int
    p_value: float | None


class ComparedOut(FigureOut):
    """Her share beside that of the `others`, both over `n` tasks or so.

    p_value: one-sided; of agreement, of being so low were she halfway from a coin to the others;
    of a habit, of having it so much more than the others on the same tasks.
    """

    others: float | None
    n: int
    p_value: float | None


class FieldOut(BaseModel):
    """The agreement figures of one field. They rest on the `n_shared_tasks` judged by two or more.

    `ranking` is nominal over implied pairs (first, tie, second; no tie where the project allows
    none: AC1), `strength` and criteria are ordinal (AC2 with quadratic weights). First and second
    are as in the `response_ids` of the annotations: in the order of the imported line, or of their
    content hashes where that order would tell which is better (`chosen`, `rejected`).

    `krippendorff_alpha` and `gwet_ac` are those that fit the field; every level stands beside them,
    first, tie and second as 0, 1 and 2 (AC1: identity weights; AC2 and weighted kappa: quadratic).
    `fleiss_kappa` wants equally many judgements everywhere, `cohen_kappa` two people; Kendall's
    tau-b and W are means over tasks. `top_1_agreement` is among judgements that name a single best
    response; agreement on implied pairs is the `percent_agreement` of `ranking`.
    """

    n_tasks: int
    n_annotations: int
    n_annotators: int
    n_shared_tasks: int
    percent_agreement: FigureOut
    percent_agreement_no_ties: FigureOut
    krippendorff_alpha: FigureOut
    gwet_ac: FigureOut
    kendall_tau_b: FigureOut
    kendall_w: FigureOut
    top_1_agreement: FigureOut
    fleiss_kappa: FigureOut
    cohen_kappa: FigureOut
    cohen_kappa_weighted: FigureOut
    krippendorff_alpha_nominal: FigureOut
    krippendorff_alpha_ordinal: FigureOut
    krippendorff_alpha_interval: FigureOut
    gwet_ac1: FigureOut
    gwet_ac2: FigureOut


class GroupOut(BaseModel):
    """One part of a breakdown."""

    key: str
    user_ids: list[str] | None = None
    fields: dict[str, FieldOut]


class CrossOut(BaseModel):
    """One field of two groups: how often one of each says the same, and κ_x."""

    n_shared_tasks: int
    percent_agreement: FigureOut
    kappa_x: FigureOut


class BetweenOut(BaseModel):
    """Cross-replication reliability of two groups (Wong, Paritosh, Aroyo 2021)."""

    groups: tuple[str, str]
    fields: dict[str, CrossOut]


class AgreementOut(BaseModel):
    """Fields are `ranking`, `strength` where the project asks for it, and `criterion:KEY`."""

    as_of: datetime
    is_current: bool
    fields: dict[str, FieldOut]
    by: str | None = None
    groups: list[GroupOut] | None = None
    between: list[BetweenOut] | None = None
    reason: str | None = None
