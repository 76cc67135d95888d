"""`python -m bench.provider port`: takes every message after 50 ms and remembers when it came.

GET /arrivals answers {text: seconds since the epoch, by this process's clock}.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qs

import uvicorn

DELAY = 0.05
arrivals: dict[str, float] = {}
numbers = itertools.count(1)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    came = time.time()
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    status, answer = 200, dict(arrivals)
    if scope["method"] == "POST":
        text = parse_qs(body.decode()).get("Body", [""])[0]
        arrivals.setdefault(text, came)
        await asyncio.sleep(DELAY)
        status, answer = 201, {"sid": f"SM{next(numbers):032x}", "status": "queued"}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


if __name__ == "__main__":
    uvicorn.run(
        application, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", access_log=False,
        log_level="warning", backlog=4096,
    )  # fmt: skip
