"""A small server that speaks `/v1/chat/completions`, and misbehaves on demand.

What it does hangs on the model that is asked for: `good` answers; the others are told below.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from tests.waiting import PATIENCE

KEY = "sk-very-secret"


class ChatServer:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: Counter[str] = Counter()
        self.now = self.most = 0  # requests under way, and the most of them
        self.gate: threading.Event | None = None
        self.after = 10**9  # requests, from which on `gate` holds them
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.gate and len(self.asked) > self.after:
                await run_in_threadpool(self.gate.wait, 30)
            return self.reply(body, request.headers.get("authorization"))
        finally:
            self.now -= 1

    def reply(self, body: dict[str, Any], key: str | None) -> Response:
        asks = body["messages"][-1]["content"]
        model = body["model"]
        self.times[asks] += 1
        number = self.times[asks]
        text = f"{asks} → {body.get('seed')}@{body['temperature']}"
        if body["stream"] and model in STREAMS:
            if "logprobs" in body and model == "curt":
                return JSONResponse({"error": {"message": "logprobs: unknown field"}}, 422)
            return StreamingResponse(streamed(body), media_type="text/event-stream")
        match model:
            case "locked" if key != f"Bearer {KEY}":
                return JSONResponse({"error": {"message": "bad key"}}, 401)
            case "missing":
                return JSONResponse({"error": {"message": "The model does not exist"}}, 404)
            case "busy" if number <= 2:
                return JSONResponse({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"})
            case "broken" if number <= 2:
                return PlainTextResponse("oops", 503)
            case "down":
                return PlainTextResponse("oops", 500)
            case "html":
                return PlainTextResponse("<html>Welcome</html>")
            case "elsewhere":
                return RedirectResponse("http://169.254.169.254/latest/meta-data")
            case "shapeless":
                return JSONResponse({"object": "error"})
            case "silent":
                text = " "
            case "picky" if "3" in asks:
                return JSONResponse({"error": {"message": "context length exceeded"}}, 400)
            case "refusing":
                message = {"role": "assistant", "content": None, "refusal": "I will not."}
                return JSONResponse({"choices": [{"message": message, "finish_reason": "stop"}]})
            case "endless":
                text = "x" * 5_000_000
        message = {"role": "assistant", "content": text}
        return JSONResponse({"choices": [{"message": message, "finish_reason": "stop"}]})


STREAMS = {"streaming", "curt", "breaking", "endless stream"}
TOP = [{"token": "One", "logprob": -0.5}, {"token": " more", "logprob": -1.0}]


def streamed(body: dict[str, Any]) -> Iterator[str]:
    """Three words, one at a time; `breaking` goes wrong after two, `endless stream` never ends."""
    words, number = ["One", " more", " egg"], 0
    yield ": a comment\n\n"
    while number < 3 or body["model"] == "endless stream":
        if number == 2 and body["model"] == "breaking":
            yield event({"error": {"message": "out of memory"}})
            return
        word = words[number % 3]
        choice: dict[str, Any] = {"delta": {"content": word}, "finish_reason": None}
        if "logprobs" in body:
            told = {"token": word, "logprob": -0.5 * (1 + number % 3), "top_logprobs": TOP}
            choice["logprobs"] = {"content": [told]}
        yield event({"choices": [choice]})
        number += 1
        if body["model"] == "endless stream":
            time.sleep(0.01)
    yield event({"choices": [{"delta": {}, "finish_reason": "length"}]})
    yield event({"choices": [], "usage": {"total_tokens": 3}})
    yield "data: [DONE]\n\n"


def event(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told)}\n\n"


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Listens on a free port until it is left."""
    own = ChatServer()
    app = FastAPI()
    app.add_api_route("/v1/chat/completions", own.answer, methods=["POST"], response_model=None)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    own.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield own
    finally:
        if own.gate:
            own.gate.set()
        server.should_exit = True
        thread.join(PATIENCE)
