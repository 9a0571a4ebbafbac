"""People who judge through the API over bad lines: what they do is recorded, and sent again.

Each does what real ones do: two tabs, a double click, a phone that loses the network, an answer
long after the time was over, another look at what she said before.
"""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

from tests.history.events import FAIL, OK, UNKNOWN, Recorder

PATIENCE = 30.0  # seconds for an answer
KEPT = ("id", "revision", "counted", "leased_until")  # of an answer


@dataclass(frozen=True, slots=True)
class Habits:
    """How often somebody does what, per judgement."""

    double: float = 0.05  # sends the same twice at once
    again: float = 0.05  # sends an old one again, long after its answer
    other: float = 0.02  # sends something else under a used key
    undo: float = 0.06  # changes an answer …
    two_tabs: float = 0.3  # … in two tabs at once
    stale: float = 0.02  # changes an answer that was changed meanwhile
    skip: float = 0.02
    release: float = 0.02
    renew: float = 0.02
    look_ahead: float = 0.1  # asks for the one after, as the page does
    hurry: float = 0.02  # gives up waiting almost at once, and asks again
    dream: float = 0.08  # answers late


CALM = Habits(*[0.0] * 12)


@dataclass(slots=True)
class Said:
    """A judgement as it was sent and answered."""

    assignment: str
    key: str
    body: dict[str, Any]
    revision: int


@dataclass(eq=False)
class Person(threading.Thread):
    """One person's program. `enough` says when to stop; `judged` is told of each new judgement."""

    user_id: str
    token: str
    project_id: str
    ports: Sequence[int]
    recorder: Recorder
    enough: Callable[[], bool]
    judged: Callable[[], None]
    habits: Habits = field(default_factory=Habits)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.rng = Random(f"{self.user_id} {self.seed}")
        self.said: list[Said] = []
        self.lines: dict[int, http.client.HTTPConnection] = {}
        self.number = 0

    def run(self) -> None:
        held: str | None = None
        while not self.enough():
            held = held or self.claim()
            if held is None:
                time.sleep(self.rng.uniform(0.05, 0.2))
            else:
                held = self.deal_with(held)
        for line in self.lines.values():
            line.close()

    def deal_with(self, held: str) -> str | None:
        """Judge it, or not; answers what she holds next."""
        if self.does("look_ahead"):
            self.claim(after=held)
        if self.does("renew"):
            self.tell("renew", held, f"/assignments/{held}/renew")
        if self.does("dream"):
            time.sleep(self.rng.uniform(0.2, 1.0))
        if self.does("skip"):
            self.tell("skip", held, f"/assignments/{held}/skip", {"reason": "other"})
            return None
        if self.does("release"):
            self.tell("release", held, f"/assignments/{held}/release")
            return None
        body = self.judgement()
        following = self.submit(held, str(uuid4()), body, wants_next=True)
        self.look_back()
        return following

    def look_back(self) -> None:
        """What people do with answers that they have given."""
        if not self.said:
            return
        old = self.rng.choice(self.said)
        if self.does("again"):
            self.attempt_submit(old.assignment, old.key, old.body)
        if self.does("other"):
            self.attempt_submit(old.assignment, old.key, self.judgement())
        last = self.said[-1]
        if self.does("undo"):
            self.submit(last.assignment, str(uuid4()), self.judgement(last.revision))
        if self.does("stale"):
            self.attempt_submit(last.assignment, str(uuid4()), self.judgement(last.revision - 1))

    def does(self, habit: str) -> bool:
        return self.rng.random() < getattr(self.habits, habit)

    def judgement(self, revision: int | None = None) -> dict[str, Any]:
        """A judgement that no other one equals."""
        self.number += 1
        first, second = self.rng.sample(["A", "B"], 2)
        ranking = [[first, second]] if self.rng.random() < 0.1 else [[first], [second]]
        body = {"ranking": ranking, "rationale": f"{self.user_id}, number {self.number}"}
        return body if revision is None else body | {"revision": revision}

    def claim(self, after: str | None = None) -> str | None:
        body = {} if after is None else {"after": after}
        outcome, answer = self.attempt(
            "claim", "POST", f"/projects/{self.project_id}/assignments", body=body
        )
        return str(answer["id"]) if outcome == OK and answer else None

    def tell(self, op: str, held: str, path: str, body: dict[str, Any] | None = None) -> None:
        while self.attempt(op, "POST", path, assignment=held, body=body)[0] == UNKNOWN:
            if self.enough():
                return
            time.sleep(self.rng.uniform(0.02, 0.2))

    def submit(
        self, held: str, key: str, body: dict[str, Any], *, wants_next: bool = False
    ) -> str | None:
        """Send it until there is an answer; answers the next assignment where she wants one."""
        beside = None
        is_change = "revision" in body
        if is_change and self.does("two_tabs"):
            other = str(uuid4()), self.judgement(body["revision"])
            beside = threading.Thread(target=self.attempt_submit, args=(held, *other))
        elif self.does("double"):
            beside = threading.Thread(target=self.attempt_submit, args=(held, key, body))
        if beside:
            beside.start()
        outcome, answer = self.attempt_submit(held, key, body, wants_next=wants_next)
        while outcome == UNKNOWN and not self.enough():
            time.sleep(self.rng.uniform(0.02, 0.2))
            outcome, answer = self.attempt_submit(held, key, body, wants_next=wants_next)
        if beside:
            beside.join()
        if outcome != OK or answer is None:
            return None
        self.said = [*self.said[-7:], Said(held, key, body, answer["revision"])]
        if not is_change:
            self.judged()
        following = answer.get("next")
        return str(following["id"]) if following else None

    def attempt_submit(
        self, held: str, key: str, body: dict[str, Any], *, wants_next: bool = False
    ) -> tuple[str, Any]:
        path = f"/assignments/{held}/annotation" + ("?next=true" if wants_next else "")
        return self.attempt("submit", "PUT", path, assignment=held, key=key, body=body)

    def attempt(
        self, op: str, method: str, path: str, *, body: Any = None, **about: Any
    ) -> tuple[str, Any]:
        """One request, recorded before it is sent and after it was answered."""
        number = self.recorder.invoke(person=self.user_id, op=op, body=body, **about)
        status, answer = self.ask(method, path, body, about.get("key"))
        outcome = UNKNOWN
        if 200 <= status < 300:
            outcome = OK
        elif 400 <= status < 500:
            outcome = FAIL
        kept = {name: answer[name] for name in KEPT if name in answer} if outcome == OK else {}
        if op == "claim":
            kept = {"assignment": kept.get("id")}
        if answer.get("next"):
            kept["next"] = answer["next"]["id"]
        self.recorder.end(number, outcome, status=status, answer=kept)
        return outcome, answer

    def ask(self, method: str, path: str, body: Any, key: str | None) -> tuple[int, Any]:
        """Status and answer; 0 where none came."""
        patience = self.rng.uniform(0.005, 0.05) if self.does("hurry") else PATIENCE
        port = self.rng.choice(self.ports)
        is_beside = threading.current_thread() is not self
        line = None if is_beside or patience < PATIENCE else self.lines.pop(port, None)
        line = line or http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            line.request(method, f"/api/v1{path}", json.dumps(body or {}), headers)
            reply = line.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException):
            line.close()
            return 0, {}
        if is_beside or patience < PATIENCE:
            line.close()
        else:
            self.lines[port] = line
        with contextlib.suppress(ValueError):
            return reply.status, json.loads(content) if content else {}
        return 0, {}
