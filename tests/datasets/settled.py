"""Settled tasks to make rows of."""

from app.datasets.rules.comparisons import Pairs, Vote, by_majority, comparisons
from app.datasets.rules.rows import Candidate, TaskRows


def task(texts, rankings, *, strength=None, pairs=Pairs.ALL, rewrites=()):
    """A task of these texts, response ids in alphabetical order."""
    votes = [Vote(tuple(ranks), strength) for ranks in rankings]
    settled = by_majority(votes)
    return TaskRows(
        responses=[Candidate(f"id-{text}", text) for text in texts],
        n_annotators=len(votes),
        settled=settled,
        comparisons=comparisons(settled, votes, pairs=pairs),
        rewrites=rewrites,
    )
