"""Prompts that are almost alike: on one side of the split, or all but one of them left out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.orm import Session

from app.datasets import queries
from app.datasets.queries import near as near_queries
from app.datasets.rules.identity import Message, Split, draw_of, essence, first_user_turn
from app.datasets.rules.near import Sketches, all_but_one, groups, one_place
from app.datasets.schemas import NearDuplicates
from app.datasets.service.assembling import Assembled, Near, Plan
from app.db import JsonObject
from app.projects.models import Project

LOOKED_AT = 10_000  # prompts, among which near-copies are told of in any snapshot
_BEAT = 1_000


def with_near(
    session: Session,
    *,
    project: Project,
    plan: Plan,
    limit: int | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Plan:
    """The plan with what becomes of near-copies, where the recipe asks for it: one more reading."""
    if plan.recipe.near_duplicates is NearDuplicates.KEEP:
        return plan
    found = _Found(seed=plan.recipe.seed)
    prompts = queries.prompts_alone(session, project=project, limit=limit)
    for number, prompt in enumerate(prompts):
        if number % _BEAT == 0:
            beat()
        if not plan.choice.is_of_prompts or plan.choice.refuses(prompt) is None:
            found.add(prompt.id, prompt.messages)
    moved = found.moved()
    if plan.recipe.near_duplicates is NearDuplicates.TOGETHER:
        return replace(plan, near=Near(moved=moved))
    dropped = frozenset(found.dropped(session, project=project))
    return replace(plan, near=Near(moved=moved, dropped=dropped))


@dataclass(slots=True)
class _Found:
    """All prompts, by number in the order of their ids.

    first: what they begin with; last: of those that go on, the turn that is to be answered.
    """

    seed: int
    first: Sketches = field(default_factory=Sketches)
    last: Sketches = field(default_factory=Sketches)
    ids: list[bytes] = field(default_factory=list)
    draws: list[int] = field(default_factory=list)
    contexts: list[int] = field(default_factory=list)  # equal where all before the last turn is
    going_on: list[int] = field(default_factory=list)  # by number in `last`, that of the prompt

    def add(self, prompt_id: str, messages: Sequence[Message]) -> None:
        begins = first_user_turn(messages)
        self.first.add(begins)
        self.ids.append(bytes.fromhex(prompt_id))
        self.draws.append(draw_of(messages, seed=self.seed))
        before = [(each["role"], essence(each["content"])) for each in messages[:-1]]
        self.contexts.append(hash(tuple(before)))
        if any(role != "system" for role, _ in before):
            self.last.add(messages[-1]["content"])
            self.going_on.append(len(self.ids) - 1)

    def moved(self) -> dict[int, int]:
        """By draw, the place of its group on the line that the split cuts."""
        places: dict[int, int] = {}
        for group in self._beginnings():
            draws = {self.draws[each] for each in group}
            if len(draws) > 1:
                place = one_place(draws)
                places |= dict.fromkeys(draws - {place}, place)
        return places

    def _beginnings(self) -> list[list[int]]:
        """Groups of prompts that begin alike; those of one draw belong together anyway."""
        first_of: dict[int, int] = {}
        same = [(first_of.setdefault(draw, n), n) for n, draw in enumerate(self.draws)]
        return groups([*((a, b) for a, b in same if a != b), *self.first.pairs()])

    def dropped(self, session: Session, *, project: Project) -> Iterator[str]:
        """Ids of prompts that ask almost what another one asks after the same conversation.

        The one with the most judgements stays.
        """
        goes_on = set(self.going_on)
        yield from self._but_one(session, project, self.first, list(range(len(self.ids))), goes_on)
        yield from self._but_one(session, project, self.last, self.going_on, set())

    def _but_one(
        self,
        session: Session,
        project: Project,
        sketches: Sketches,
        prompts: Sequence[int],
        without: set[int],
    ) -> Iterator[str]:
        alike = [
            (a, b)
            for a, b in sketches.pairs()
            if self.contexts[prompts[a]] == self.contexts[prompts[b]]
            and not {prompts[a], prompts[b]} & without
        ]
        found = groups(alike)
        asked = [self.ids[prompts[each]] for group in found for each in group]
        judged = near_queries.judgements_of_prompts(session, project=project, hashes=asked)
        budget = 2_000_000
        for group in found:
            known = [each for each in group if self.ids[prompts[each]] in judged]
            if len(known) < 2:
                continue
            known.sort(key=lambda each: (-judged[self.ids[prompts[each]]], each))
            gone, budget = all_but_one(known, sketches, budget=budget)
            yield from (self.ids[prompts[each]].hex() for each in gone)


class Watch:
    """Looks at the first prompts of a snapshot as they come, and tells how many are alike."""

    def __init__(self) -> None:
        self.sketches = Sketches()
        self.seen: list[tuple[int, Split]] = []

    def look(self, assembled: Iterable[Assembled]) -> Iterator[Assembled]:
        for each in assembled:
            if len(self.seen) < LOOKED_AT:
                self.sketches.add(first_user_turn(each.messages))
                self.seen.append((each.own_draw, each.split))
            yield each

    def told(self) -> JsonObject:
        """Prompts that begin almost like another one, their groups, and those on both sides."""
        found = [
            group
            for group in groups(self.sketches.pairs())
            if len({self.seen[each][0] for each in group}) > 1
        ]
        return {
            "looked_at": len(self.seen),
            "prompts": sum(map(len, found)),
            "groups": len(found),
            "on_both_sides": sum(
                len({self.seen[each][1] for each in group}) > 1 for group in found
            ),
        }
