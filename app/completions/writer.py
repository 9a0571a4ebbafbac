"""Asking one endpoint, for a whole response or for its pieces."""

import contextlib
import ipaddress
import os
import random
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2

from app.completions.addresses import Unusable, address_of, resolved
from app.completions.replies import (
    LONGEST_WAIT,
    BadReply,
    Piece,
    Reply,
    pieces_of,
    reply_of,
    retry_after,
    said,
)

KEYS = "TOUCHSTONE_ENDPOINT_KEY_"  # what the environment calls the keys of endpoints
TRIES = 5
MOST_BYTES = 4_000_000  # of one answer
MOST_STREAMED = 4 * MOST_BYTES  # with the log-probabilities of its tokens
WITH_LOGPS = {"logprobs": True, "top_logprobs": 5}
NOT_UNDERSTOOD = frozenset({400, 422})  # as servers say that do not know a field
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class Interrupted(Exception):
    """Somebody wants it to end."""


@dataclass(frozen=True)
class Target:
    """An endpoint as it is spoken to; the key is read from the environment when it is used."""

    base_url: str
    model: str
    key_name: str | None = None

    @property
    def key(self) -> str | None:
        return os.environ.get(KEYS + self.key_name) if self.key_name else None


class Writer:
    """Asks one endpoint, from several threads if need be."""

    def __init__(
        self,
        target: Target,
        *,
        timeout: float = 120.0,
        tries: int = TRIES,
        stopping: threading.Event | None = None,
    ) -> None:
        """Resolve and check the address; `Invalid` or `Unusable` where it cannot be used."""
        self.target = target
        self.address = resolved(address_of(target.base_url))
        self.tries = tries
        self.stopping = stopping or threading.Event()
        if target.key_name and target.key is None:
            raise Unusable(
                f"The key {KEYS}{target.key_name} is not set in the environment of this process. "
                "Set it for web and worker, and start them again."
            )
        self._streams: deque[Any] = deque(maxlen=128)  # connections, to be cut
        is_far = ipaddress.ip_address(self.address.ip.split("%")[0]).is_global
        if self.target.key and self.address.scheme == "http" and is_far:
            raise Unusable(
                f"The key would travel readable to {self.address.host}. Use https:// there."
            )
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout, connect=10.0),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.close()

    def hang_up(self) -> None:
        """Ask nothing more, and cut the connections: who waits for an answer waits no longer."""
        self.stopping.set()
        for stream in list(self._streams):
            with contextlib.suppress(OSError):
                number = os.dup(stream.get_extra_info("socket").fileno())
                with socket.socket(fileno=number) as twin:
                    twin.shutdown(socket.SHUT_RDWR)

    def _note(self, event: str, told: dict[str, Any]) -> None:
        """Keep the connections that are made; of an encrypted one, the outer stream."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._streams.append(told["return_value"])

    def write(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        system: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        seed: int | None = None,
    ) -> Reply:
        """One response. `BadReply`: not to this prompt; `Unusable`: to none."""
        first = [{"role": "system", "content": system}] if system else []
        body: dict[str, Any] = {
            "model": self.target.model,
            "messages": [*first, *messages],
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_new_tokens,
            "stream": False,
        }
        if seed is not None:
            body["seed"] = seed
        return reply_of(self._asked(body))

    def stream(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        seed: int,
    ) -> Iterator[Piece]:
        """One response as it is written, asked for once: whoever waits for it may ask again.

        With the log-probabilities of its tokens where the server gives them; in one piece where it
        does not stream.
        """
        body = {
            "model": self.target.model,
            "messages": list(messages),
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_new_tokens,
            "seed": seed,
            "stream": True,
        }
        try:
            with self._request(body | WITH_LOGPS) as response:
                if response.status_code not in NOT_UNDERSTOOD:
                    yield from self._pieces(response)
                    return
            with self._request(body) as response:
                yield from self._pieces(response)
        except httpx2.TransportError as error:
            if self.stopping.is_set():
                raise Interrupted from None
            is_late = isinstance(error, httpx2.TimeoutException)
            problem = "did not answer in time" if is_late else f"went away ({_reason(error)})"
            raise Unusable(f"{self.address.netloc} {problem}.") from None

    def _pieces(self, response: httpx2.Response) -> Iterator[Piece]:
        kind = response.headers.get("content-type", "")
        if response.status_code == 200 and kind.startswith("text/event-stream"):
            yield from pieces_of(_lines(response))
            return
        content = b"".join(_bounded(response, MOST_BYTES))
        reply = reply_of(checked(response.status_code, content, self))
        yield Piece(reply.text, finish=reply.finish)

    def _asked(self, body: dict[str, Any]) -> Any:
        """The answer as JSON, after as many tries as it takes and is allowed."""
        problem = ""
        for number in range(self.tries):
            if self.stopping.is_set():
                raise Interrupted
            wait = min(LONGEST_WAIT, 0.5 * 2**number) * random.uniform(0.5, 1.0)  # noqa: S311
            try:
                status, headers, content = self._post(body)
            except httpx2.TimeoutException:
                problem = "did not answer in time"
            except httpx2.TransportError as error:
                problem = f"cannot be reached ({_reason(error)})"
            else:
                if status not in AGAIN:
                    return checked(status, content, self)
                problem = f"answered {status} {said(content)}".rstrip()
                wait = max(wait, retry_after(headers.get("retry-after")))
            if number + 1 < self.tries and self.stopping.wait(wait):
                raise Interrupted
        raise Unusable(
            f"{self.address.netloc} {problem}, {self.tries} times in a row. "
            "Go on once the server is well again: what has been written stays."
        )

    def _post(self, body: dict[str, Any]) -> tuple[int, httpx2.Headers, bytes]:
        with self._request(body) as response:
            content = b"".join(_bounded(response, MOST_BYTES))
            return response.status_code, response.headers, content

    @contextlib.contextmanager
    def _request(self, body: dict[str, Any]) -> Iterator[httpx2.Response]:
        at = self.address
        number = f"[{at.ip}]" if ":" in at.ip else at.ip
        headers = {"Host": at.netloc, "Accept": "application/json, text/event-stream"}
        if self.target.key:
            headers["Authorization"] = f"Bearer {self.target.key}"
        with self._client.stream(
            "POST",
            f"{at.scheme}://{number}:{at.port}{at.path}/chat/completions",
            json=body,
            headers=headers,
            extensions={"sni_hostname": at.host, "trace": self._note},
        ) as response:
            yield response


def _bounded(response: httpx2.Response, most: int) -> Iterator[bytes]:
    seen = 0
    for part in response.iter_bytes():
        seen += len(part)
        if seen > most:
            raise BadReply(f"the answer is longer than {most // 1_000_000} MB")
        yield part


def _lines(response: httpx2.Response) -> Iterator[bytes]:
    rest = b""
    for part in _bounded(response, MOST_STREAMED):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
    yield rest


def checked(status: int, content: bytes, writer: Writer) -> Any:
    """The JSON of a good answer; a sentence on what to do for every other one."""
    where = writer.address.netloc
    if status in {401, 403}:
        raise Unusable(f"{where} refuses the key ({status}). Look at the key's name and value.")
    if status == 404:
        raise Unusable(
            f"{where} knows no {writer.address.path}/chat/completions, or no model "
            f"“{writer.target.model}” ({said(content) or 'it says no more'}). Most addresses end "
            "in /v1."
        )
    if 300 <= status < 400:
        raise Unusable(f"{where} sends elsewhere ({status}); give the address where it ends.")
    if status >= 400:
        if "model" in said(content).lower() and "not" in said(content).lower():
            raise Unusable(f"{where} does not take “{writer.target.model}”: {said(content)}")
        raise BadReply(f"the endpoint refused it ({status}): {said(content) or 'no reason given'}")
    try:
        return httpx2.Response(200, content=content).json()
    except ValueError:
        raise Unusable(
            f"{where} does not speak JSON at {writer.address.path}/chat/completions: is this the "
            "address of an OpenAI-compatible server?"
        ) from None


def _reason(error: Exception) -> str:
    text = str(error)
    if "refused" in text:
        return "nothing listens there: is the server started?"
    return text or type(error).__name__
