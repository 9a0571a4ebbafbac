"""What comes in and goes out over HTTP about rounds."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.datasets.schemas import Recipe
from app.errors import Invalid
from app.rounds.models import RoundState
from app.rounds.rules import KINDS, Step
from app.runs.models import RunKind


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Writing(Body):
    """How the model of the former round writes responses to rank."""

    prompts: Annotated[int, Field(ge=1, le=100_000, description="Prompts to write for.")] = 50
    n: Annotated[int, Field(ge=1, le=8, description="New responses to each prompt.")] = 2
    include_existing: Annotated[
        int, Field(ge=0, le=4, description="Responses that are there already, beside the new ones.")
    ] = 1
    temperature: Annotated[float, Field(gt=0, le=2)] = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 64

    @model_validator(mode="after")
    def _makes_a_task(self) -> Self:
        if not 2 <= self.n + self.include_existing <= 10:
            raise ValueError(
                "a task has 2 to 10 responses: raise n, or include_existing, or lower them"
            )
        return self


class Ranking(Body):
    """When enough is judged: this number of judgements, or else all tasks of the round."""

    judgements: Annotated[int | None, Field(ge=1, le=10_000_000)] = None
    min_agreement: Annotated[
        float | None, Field(ge=-1, le=1, description="Krippendorff's α, at least.")
    ] = None


class Training(Body):
    """What is trained on the snapshot of a round, one after the other."""

    kinds: Annotated[list[RunKind], Field(min_length=1, max_length=4)] = [
        RunKind(kind) for kind in KINDS
    ]
    size: Annotated[
        Literal["tiny", "small"], Field(description="Of the new model that the first round makes.")
    ] = "tiny"
    reward: Annotated[
        Literal["fresh", "former"],
        Field(description="The reward model begins anew from the writer, or goes on."),
    ] = "fresh"
    configs: Annotated[
        dict[RunKind, dict[str, Any]], Field(description="Settings by kind, over the suited ones.")
    ] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.kinds)) != len(self.kinds):
            raise ValueError("name each kind once")
        if set(self.kinds) == {RunKind.REWARD}:
            raise ValueError("a round needs a model that writes: add SFT, DPO or PPO")
        if RunKind.PPO in self.kinds and RunKind.REWARD not in self.kinds:
            raise ValueError("PPO needs the reward model of the round: add reward")
        return self


class Comparing(Body):
    """How the new model is compared with the former one."""

    prompts: Annotated[int, Field(ge=1, le=5000)] = 40
    seen_too: Annotated[
        bool, Field(description="Also prompts that the models may have been trained on.")
    ] = False
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7


class Policy(Body):
    """How a project's rounds go. A step in `by_hand` waits for somebody's button."""

    by_hand: Annotated[list[Step], Field(max_length=6)] = []
    sets_out_from: Annotated[
        Literal["promoted", "newest"],
        Field(description="The model that writes, and from which the next one is trained."),
    ] = "promoted"
    generate: Writing = Field(default_factory=Writing)
    rank: Ranking = Field(default_factory=Ranking)
    recipe: Recipe = Field(default_factory=Recipe)
    train: Training = Field(default_factory=Training)
    evaluate: Comparing = Field(default_factory=Comparing)
    goes_on: Annotated[bool, Field(description="Begin the next round when one is finished.")] = (
        False
    )


class TurnBody(Body):
    """Names the turn that was seen, so that a late click does not move what has moved on since."""

    turn: Annotated[int | None, Field(ge=1, lt=2**31)] = None


class EventOut(BaseModel):
    step: Step
    at: datetime
    kind: str
    message: str
    by: str | None


class RoundOut(BaseModel):
    id: str
    project_id: str
    number: int
    state: RoundState
    step: Step
    turn: int
    is_under_way: bool
    paused_at: datetime | None
    error: str | None
    waits_for: str
    policy: Policy
    former_checkpoint_id: str | None
    generation_id: str | None
    snapshot_id: str | None
    run_ids: dict[str, str]
    checkpoint_id: str | None
    reward_checkpoint_id: str | None
    evaluation_id: str | None
    is_promoted: bool | None
    figures: dict[str, Any]
    told: str
    created_at: datetime
    finished_at: datetime | None


class RoundPage(BaseModel):
    items: list[RoundOut]
    next_cursor: str | None


class PolicyForm(BaseModel):
    """The settings of rounds as a browser sends them, flat; fields of the policy below them."""

    by_itself: list[Step] = []
    sets_out_from: str = "promoted"
    goes_on: bool = False
    generate_prompts: str = ""
    generate_n: str = ""
    generate_include_existing: str = ""
    generate_temperature: str = ""
    generate_max_new_tokens: str = ""
    rank_judgements: str = ""
    rank_min_agreement: str = ""
    recipe_min_annotations: str = ""
    recipe_min_agreement: str = ""
    train_kinds: list[RunKind] = []
    train_size: str = "tiny"
    train_reward: str = "fresh"
    train_configs: str = ""
    evaluate_prompts: str = ""
    evaluate_temperature: str = ""
    evaluate_seen_too: bool = False

    @classmethod
    def of(cls, policy: Policy) -> "PolicyForm":
        """The form that shows a policy."""

        def text(value: Any) -> str:
            return "" if value is None else str(value)

        sent: dict[str, Any] = {
            "by_itself": [step for step in Step if step not in policy.by_hand],
            "sets_out_from": policy.sets_out_from,
            "goes_on": policy.goes_on,
            "evaluate_seen_too": policy.evaluate.seen_too,
            "train_kinds": policy.train.kinds,
            "train_configs": _readable(policy.train.configs),
        }
        for name in cls.model_fields.keys() - sent.keys():
            part, _, field = name.partition("_")
            sent[name] = text(getattr(getattr(policy, part), field))
        return cls.model_validate(sent)

    def policy(self, before: Policy) -> Policy:
        """What is asked for; what the form does not show stays as it was `before`."""
        asked = before.model_dump(mode="json")
        asked["by_hand"] = [step.value for step in Step if step not in self.by_itself]
        asked["sets_out_from"], asked["goes_on"] = self.sets_out_from, self.goes_on
        for name, value in self:
            part, _, field = name.partition("_")
            if part in asked and isinstance(asked[part], dict):
                asked[part][field] = value if value != "" else None
        asked["train"]["configs"] = _settings(self.train_configs)
        return Policy.model_validate(asked)


def _readable(configs: dict[RunKind, dict[str, Any]]) -> str:
    """`dpo.beta = 0.2`, a setting on each line, its value as JSON."""
    return "\n".join(
        f"{kind}.{name} = {json.dumps(value)}"
        for kind, given in configs.items()
        for name, value in given.items()
    )


def _settings(text: str) -> dict[str, dict[str, Any]]:
    """The inverse of `_readable`; a value that is no JSON is text."""
    found: dict[str, dict[str, Any]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        key, has_value, value = line.partition("=")
        kind, _, name = key.strip().partition(".")
        if not has_value or kind not in KINDS or not name:
            raise Invalid(
                f"“{line}” is no setting. Write one on each line, such as dpo.beta = 0.2.",
                errors=[
                    {
                        "field": "train_configs",
                        "message": f"“{line}” is no setting; write dpo.beta = 0.2, for example.",
                    }
                ],
            )
        try:
            found.setdefault(kind, {})[name] = json.loads(value)
        except ValueError:
            found.setdefault(kind, {})[name] = value.strip()
    return found
