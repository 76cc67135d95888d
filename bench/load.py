"""A small load generator: keep-alive connections over raw sockets, each request prepared beforehand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.kit import LOOPBACK, percentile

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Run:
    """How a burst went: seconds as a whole, milliseconds for each request."""

    seconds: float
    latencies: Sequence[float]
    refused: int

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def at(self, share: float) -> float:
        return percentile(self.latencies, share)


def twilio_form(sid: str, sender: str, text: str, account_sid: str, to: str) -> dict[str, str]:
    """The fifteen parameters of an inbound WhatsApp message."""
    return {
        "SmsMessageSid": sid, "NumMedia": "0", "ProfileName": "Ana Souza", "MessageType": "text",
        "SmsSid": sid, "WaId": sender.lstrip("+"), "SmsStatus": "received", "Body": text,
        "To": f"whatsapp:{to}",
        "NumSegments": "1", "ReferralNumMedia": "0", "MessageSid": sid, "AccountSid": account_sid,
        "From": f"whatsapp:{sender}", "ApiVersion": "2010-04-01",
    }  # fmt: skip


def signed(public_url: str, path: str, fields: dict[str, str], token: str) -> bytes:
    """The whole HTTP request with its X-Twilio-Signature."""
    said = signature(public_url + path, fields, token)
    return request(path, urlencode(fields).encode(), f"X-Twilio-Signature: {said}\r\n")


def signature(url: str, fields: dict[str, str], token: str) -> str:
    told = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), told.encode(), hashlib.sha1).digest()).decode()


def request(path: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def new_sid() -> str:
    return f"SM{time.time_ns():020d}{next(_numbers):012d}"


def burst(port: int, requests: Sequence[bytes], clients: int) -> Run:
    """Send all requests from so many clients, each with one at a time in flight."""
    return asyncio.run(_burst(port, requests, clients))


async def _burst(port: int, requests: Sequence[bytes], clients: int) -> Run:
    waiting = iter(requests)
    latencies: list[float] = []
    refused = [0]
    started = time.perf_counter()
    await asyncio.gather(*(_client(port, waiting, latencies, refused) for _ in range(clients)))
    return Run(time.perf_counter() - started, latencies, refused[0])


async def _client(port: int, waiting: Iterator[bytes], latencies: list[float], refused: list[int]) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        for content in waiting:
            started = time.perf_counter()
            writer.write(content)
            status = await _answer(reader)
            latencies.append((time.perf_counter() - started) * 1000)
            refused[0] += not 200 <= status < 300
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    if "content-length:" in head:
        await reader.readexactly(int(head.partition("content-length:")[2].split("\r\n", 1)[0]))
    elif "transfer-encoding: chunked" in head:
        while int((await reader.readuntil(b"\r\n")).strip() or b"0", 16):
            await reader.readuntil(b"\r\n")
        await reader.readuntil(b"\r\n")
    return status
