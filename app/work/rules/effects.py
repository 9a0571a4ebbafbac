"""What a change of settings will do, in sentences, told from live numbers: pure rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.annotation.rules import DEFAULT_CONFIDENCE
from app.work.rules.census import Cell, Census
from app.work.rules.demand import Pace, hours_for
from app.work.rules.words import does, hours, some
from app.work.rules.words import person_hours as in_person_hours

TOLD = ("guidelines", "guidelines_examples")
SCALE = ("criteria", "strength_levels", "allow_ties")
OVERLAP = ("overlap_min", "overlap_max", "overlap_confidence")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a project at the moment of the question.

    `before` and `changed` are settings by column; `readers`: annotators who must read what is new;
    `unfit`: drafts on screens that the new scale has no room for, by setting. By the new overlap
    `unsure` complete tasks will be asked more of, and `still` of those that wait for further
    judgements already: of one more, so that `still_fewer` of them want fewer than now, and so many
    judgements in all.
    """

    before: Mapping[str, Any]
    changed: Mapping[str, Any]
    version: int
    census: Census
    pace: Pace
    readers: int
    judgements: int
    holders: int
    held: int
    gold_tasks: int
    unfit: Mapping[str, int]
    in_doubt: int = 0  # people with a share of gold of their own
    own_limits: Mapping[str, int] = field(default_factory=dict)  # people with one, by setting
    unsure: float = 0.0
    still: float = 0.0
    still_fewer: tuple[float, float] = (0.0, 0.0)
    is_guess: bool = False  # both are told from a sample
    is_clarification: bool = False  # new guidelines that need not be read at once

    def after(self, setting: str) -> Any:
        return self.changed.get(setting, self.before.get(setting))


@dataclass(frozen=True, slots=True)
class Effect:
    setting: str
    was: str
    becomes: str
    sentence: str


def effects(facts: Facts) -> list[Effect]:
    """One per setting that changes, in the order of the settings; what they share comes last."""
    found: list[Effect] = []
    for setting in facts.changed:
        if setting in OVERLAP:
            if not any(each.setting == "overlap" for each in found):
                found.append(_overlap(facts))
        elif setting not in TOLD:
            tell = SENTENCES.get(setting, _from_the_next_claim)
            was, becomes = facts.before.get(setting), facts.changed[setting]
            found.append(
                Effect(setting, _shown(setting, was), _shown(setting, becomes), tell(facts))
            )
    if not {*SCALE, *TOLD}.isdisjoint(facts.changed):
        found.append(_new_version(facts))
    return found


# -- how many people judge a task


def target(cell: Cell, *, least: int) -> int:
    """What a task wants under another overlap: what is there or a reviewer asked for stays."""
    taken = cell.leased + cell.counted
    return taken if cell.is_closed else max(least, cell.at_least, taken)


def may_be_unsure(cell: Cell, *, least: int, most: int) -> bool:
    """Whether all that a task wants under this overlap is in, and it could still want more."""
    is_open = not cell.is_closed and cell.leased == 0
    return is_open and max(least, cell.at_least) <= cell.counted < most


def leases_beyond(cell: Cell, *, most: int) -> int:
    """Of the leases of such a task, those that this overlap would not have given."""
    beyond = cell.leased + cell.counted - max(most, cell.at_least)
    return 0 if cell.is_closed else max(0, min(cell.leased, beyond))


def _overlap(facts: Facts) -> Effect:
    least, most = facts.after("overlap_min"), facts.after("overlap_max")
    cells = [(cell, target(cell, least=least)) for cell in facts.census.cells]
    again = [(cell, goal) for cell, goal in cells if cell.is_complete and goal > cell.counted]
    grown = [(cell, goal) for cell, goal in cells if not cell.is_complete and goal > cell.wanted]
    done = [
        cell
        for cell, goal in cells
        if not cell.is_complete and cell.leased == 0 and goal == cell.counted
    ]
    fewer = [(cell, goal) for cell, goal in cells if cell.counted < goal < cell.wanted]
    beyond = facts.census.total(lambda cell: leases_beyond(cell, most=most))
    about = "about " if facts.is_guess else ""
    parts = [_more(facts, again, "complete task", "opens", "open", " again")]
    parts.append(_more(facts, grown, "open task", "wants", "want", ""))
    if enough := sum(cell.tasks for cell in done) - round(facts.still):
        parts.append(
            f"{about}{some(enough, 'task')} that {does(enough, 'has', 'have')} enough "
            f"{does(enough, 'is', 'are')} complete at once."
        )
    tasks, judgements = (round(number) for number in facts.still_fewer)
    if number := tasks + sum(cell.tasks for cell, _ in fewer):
        saved = judgements + sum((cell.wanted - goal) * cell.tasks for cell, goal in fewer)
        parts.append(
            f"{about if tasks else ''}{some(number, 'open task')} "
            f"{does(number, 'wants', 'want')} fewer: {some(saved, 'judgement')} less."
        )
    if beyond:
        parts.append(
            f"{some(beyond, 'lease')} beyond the new number {does(beyond, 'goes', 'go')} on, and "
            f"{does(beyond, 'its judgement counts', 'their judgements count')}."
        )
    if number := round(facts.unsure):
        parts.append(
            f"{about}{some(number, 'complete task')} {does(number, 'is', 'are')} too unsure for "
            f"this and {does(number, 'opens', 'open')} again for one more judgement"
            f"{_time(facts, number)}, and for others if that does not settle it."
        )
    sentence = " ".join(part[0].upper() + part[1:] for part in parts if part)
    return Effect(
        "overlap",
        _overlap_shown(*(facts.before[setting] for setting in OVERLAP)),
        _overlap_shown(least, most, facts.after("overlap_confidence")),
        sentence or "No task that is here changes; it holds for those to come.",
    )


def _more(
    facts: Facts, cells: Sequence[tuple[Cell, int]], one: str, does_it: str, do_it: str, how: str
) -> str:
    tasks = sum(cell.tasks for cell, _ in cells)
    extra = sum((goal - max(cell.wanted, cell.counted)) * cell.tasks for cell, goal in cells)
    if not tasks:
        return ""
    each = f" for {extra // tasks} more each" if tasks > 1 and extra % tasks == 0 else ""
    verb = does(tasks, does_it, do_it)
    return (
        f"{some(tasks, one)} {verb}{how}{each if how else each.replace(' for', '') or ' more'}: "
        f"{some(extra, 'judgement')}{_time(facts, extra)}."
    )


def _time(facts: Facts, judgements: float) -> str:
    """How long so many judgements take, where there is a pace."""
    person_hours = hours_for(judgements, facts.pace)
    if person_hours is None:
        return ""
    if facts.pace.people:
        return f", {hours(person_hours / facts.pace.people)} at today’s pace"
    return f", {in_person_hours(person_hours)} at today’s pace"


def _overlap_shown(least: int, most: int, confidence: float | None) -> str:
    if least == most:
        return f"{least}"
    return f"{least} to {most}, until {round(100 * (confidence or DEFAULT_CONFIDENCE))} % sure"


# -- the others


def are_empty(settings: Mapping[str, Any]) -> bool:
    """Whether the guidelines neither say nor show anything."""
    return not settings["guidelines"].strip() and not settings.get("guidelines_examples")


def _new_version(facts: Facts) -> Effect:
    new = facts.version + 1
    if facts.is_clarification and set(SCALE).isdisjoint(facts.changed):
        read = "A clarification: annotators see that there is one, and go on without accepting it."
    elif not facts.readers and are_empty({**facts.before, **facts.changed}):
        read = "Nobody has to accept it, since the guidelines have no text."
    else:
        read = f"{some(facts.readers, 'annotator')} must read and accept it before the next task."
    kept = (
        f"{some(facts.judgements, 'judgement')} {does(facts.judgements, 'stays', 'stay')} under "
        f"version {facts.version}."
    )
    return Effect(
        "guidelines",
        f"version {facts.version}",
        f"version {new}",
        f"{read} {kept} {_on_screens(facts)}",
    )


def _on_screens(facts: Facts) -> str:
    if not facts.held:
        return "Nobody has a task on the screen now."
    return (
        f"{some(facts.holders, 'person', 'people')} {does(facts.holders, 'has', 'have')} "
        f"{some(facts.held, 'task')} now, which may be finished."
    )


def _scale(setting: str) -> Callable[[Facts], str]:
    def tell(facts: Facts) -> str:
        unfit = facts.unfit.get(setting, 0)
        kept = "Judgements that are there stay as they were given."
        if not unfit:
            return f"{kept} No unfinished judgement on a screen is touched by it."
        return (
            f"{kept} {some(unfit, 'unfinished judgement')} on a screen does not fit any more: who "
            "hands it in is told so, and asked for that part again."
        ).replace("does not fit", does(unfit, "does not fit", "do not fit"))

    return tell


def _gold_rate(facts: Facts) -> str:
    if not facts.gold_tasks:
        return "There are no gold tasks yet; it holds as soon as there are some."
    doubted = (
        f" {some(facts.in_doubt, 'person', 'people')} whose gold answers are in doubt "
        f"{does(facts.in_doubt, 'keeps', 'keep')} a larger share, whatever the rate."
    )
    if facts.after("gold_rate"):
        told = (
            f"From each person’s next claim on, denser among her first tasks. There "
            f"{does(facts.gold_tasks, 'is', 'are')} {some(facts.gold_tasks, 'gold task')}, each of "
            "which a person gets once at most."
        )
    else:
        told = "From each person’s next claim on no gold is mixed in any more."
    return f"{told}{doubted if facts.in_doubt else ''}"


def _paused(facts: Facts) -> str:
    if facts.changed["paused"]:
        return f"Nobody gets a new task from now on. {_on_screens(facts)}"
    free = facts.census.free
    return f"Work goes on with the next claim: {some(free, 'judgement')} can be given at once."


def _lease(facts: Facts) -> str:
    return (
        "For tasks from the next claim on, and whenever a lease is prolonged. "
        f"{some(facts.held, 'task')} held now {does(facts.held, 'keeps its', 'keep their')} time."
    )


def _qualification(facts: Facts) -> str:
    was, becomes = facts.before.get("qualification_size"), facts.after("qualification_size")
    if was and not becomes:
        return "From the next claim on nobody is asked to qualify."
    if becomes and not was:
        told = (
            "Annotators must pass before their next task, but for those who are through already or "
            "of whom a judgement counts."
        )
        held = (
            " What somebody who must pass has on the screen now can be handed in, and goes back "
            "with her next claim; her draft stays."
        )
        return f"{told}{held if facts.held else ''}"
    return "For attempts that begin from now on; one that is under way goes on by its own rules."


def _limit(setting: str) -> Callable[[Facts], str]:
    def tell(facts: Facts) -> str:
        own = facts.own_limits.get(setting, 0)
        stays = (
            f" {some(own, 'person', 'people')} {does(own, 'has', 'have')} a limit of "
            f"{does(own, 'her', 'their')} own, which stays."
        )
        return f"{_from_the_next_claim(facts)}{stays if own else ''}"

    return tell


def _cost(_facts: Facts) -> str:
    return (
        "The dashboard tells what labels cost by it, also for what has been judged so far; nobody "
        "else sees it, and nothing is paid by it."
    )


def _from_the_next_claim(_facts: Facts) -> str:
    return "From the next claim on."


SENTENCES: Mapping[str, Callable[[Facts], str]] = {
    **{setting: _scale(setting) for setting in SCALE},
    "gold_rate": _gold_rate,
    "gold_threshold": lambda _: (
        "Each person’s standing and share of gold are told anew with her next answer of any kind. "
        "Only a wrong one to gold pauses her; nobody who is paused goes on by it."
    ),
    "lease_minutes": _lease,
    "paused": _paused,
    **{setting: _limit(setting) for setting in ("daily_limit", "total_limit")},
    **dict.fromkeys(("qualification_size", "qualification_pass"), _qualification),
    **dict.fromkeys(("cost_per_hour", "cost_per_judgement", "currency"), _cost),
    "name": lambda _: "Shown from now on; nothing else changes.",
    "description": lambda _: "Shown from now on; nothing else changes.",
}


def _shown(setting: str, value: Any) -> str:
    """A value as people read it."""
    if setting in {"gold_rate", "gold_threshold"}:
        return f"{round(100 * value)} %"
    if setting == "lease_minutes":
        return f"{value} min"
    if setting == "strength_levels":
        return some(value, "level") if value else "not asked"
    if setting == "criteria":
        return "; ".join(f"{each['label']} {each['min']}–{each['max']}" for each in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value not in {None, ""} else "none"
