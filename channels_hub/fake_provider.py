"""A provider of our own, in Twilio's shape: takes messages, fails on command, reports back, keeps the score.

Drives the demo, the tests and the fault runs without internet. `with FakeProvider() as fake:` in a
test, `manage.py fake_provider` on its own. Controls: POST /_script, POST /_media/<id>, POST /_reset,
GET /_requests, GET /_report. It calls nobody but this machine.
"""

from __future__ import annotations

import hashlib
import heapq
import http.client
import ipaddress
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from channels_hub import signatures
from channels_hub.fake_account import Account
from channels_hub.fake_script import Callbacks, Report, Script
from channels_hub.fake_server import Server

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc0f01f0005000201a5f645400000000049454e44ae426082"
)


@dataclass(slots=True)
class Message:
    """One message the provider took."""

    sid: str
    ref: str
    form: dict[str, str]
    token: str
    body: str
    made: datetime
    status: str = "queued"
    error_code: str = ""

    def shown(self) -> dict[str, Any]:
        """As the REST API shows it."""
        return {
            "sid": self.sid,
            "status": self.status,
            "to": self.form.get("To", ""),
            "from": self.form.get("From", ""),
            "body": self.body,
            "direction": "outbound-api",
            "num_media": str(sum(name.startswith("MediaUrl") for name in self.form)),
            "error_code": int(self.error_code) if self.error_code else None,
            "error_message": None,
            "num_segments": "1",
            "date_created": format_datetime(self.made),
            "date_sent": format_datetime(self.made),
        }


@dataclass(slots=True)
class Written:
    """One message that a customer wrote, told to nobody unless somebody asks the list."""

    form: dict[str, str]  # as the webhook says it
    made: datetime

    def shown(self) -> dict[str, Any]:
        """As the REST API shows it: without names and answers to buttons."""
        return {
            "sid": self.form["MessageSid"],
            "account_sid": self.form["AccountSid"],
            "status": "received",
            "to": self.form["To"],
            "from": self.form["From"],
            "body": self.form.get("Body", ""),
            "direction": "inbound",
            "num_media": self.form.get("NumMedia", "0"),
            "messaging_service_sid": self.form.get("MessagingServiceSid"),
            "date_created": format_datetime(self.made),
            "date_sent": format_datetime(self.made),
        }

    def files(self) -> list[dict[str, str]]:
        """As the media list of the message shows them."""
        return [
            {
                "sid": self.form[f"MediaUrl{number}"].rpartition("/")[2],
                "content_type": self.form.get(f"MediaContentType{number}", ""),
            }
            for number in range(int(self.form.get("NumMedia", "0")))
        ]


@dataclass(slots=True)
class Seen:
    """One message request, taken or not."""

    at: float  # Unix time of arrival
    ref: str
    to: str
    body: str
    status: int
    drop: str
    taken: bool
    form: dict[str, str] = field(default_factory=dict)


class FakeProvider:
    """The provider's state. Thread-safe; every public method may be called while the server runs."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, callbacks: Callbacks | None = None, token: str = ""
    ) -> None:
        self._callbacks = self._default_callbacks = callbacks or Callbacks()
        self._token = token  # to sign callbacks with, where the sender authenticates by API key
        self._lock = threading.RLock()
        self._clear()
        self._reporter = Reporter(self._report)
        self._server = Server((host, port), self)

    def _clear(self) -> None:
        self._script = Script()
        self._messages: dict[str, Message] = {}
        self._written: dict[str, Written] = {}
        self._seen: list[Seen] = []
        self._called: list[dict[str, Any]] = []
        self._contents: dict[str, dict[str, Any]] = {}
        self._approvals: dict[str, dict[str, Any]] = {}
        self._media: dict[str, tuple[str, bytes]] = {}
        self._typing: list[str] = []
        self.account = Account()
        self._numbers = itertools.count(1)

    # -------------------------------------------------------------- life
    @property
    def url(self) -> str:
        """What goes into a channel's config.api_base."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        self._reporter.start()
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="fake-provider", daemon=True
        ).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._reporter.stop()

    # -------------------------------------------------------------- control
    def script(self, steps: Iterable[Any] = (), *, then: Any = "ok") -> None:
        """How the next message requests are answered, in order."""
        made = Script(steps, then)
        with self._lock:
            self._script = made

    def callbacks(self, **settings: Any) -> None:
        """How statuses come back from now on; see fake_script.Callbacks."""
        made = Callbacks.of(settings)
        with self._lock:
            self._callbacks = made

    def put_media(self, media_id: str, mime: str, data: bytes) -> None:
        with self._lock:
            self._media[media_id] = (mime, data)

    def wrote(self, form: Mapping[str, str], *, at: datetime | None = None) -> None:
        """A customer wrote; whether the webhook is called as well is the caller's affair."""
        made = (at or datetime.now(UTC)).replace(microsecond=0)
        with self._lock:
            self._written[form["MessageSid"]] = Written(dict(form), made)

    def approve(self, sid: str, status: str, *, reason: str = "") -> None:
        """What WhatsApp says of a template from now on."""
        with self._lock:
            self._approvals[sid] = self._approvals.get(sid, {}) | {
                "status": status, "rejection_reason": reason
            }  # fmt: skip

    def reset(self) -> None:
        """Forget everything, scripts included."""
        self._reporter.clear()
        with self._lock:
            self._callbacks = self._default_callbacks
            self._clear()

    def wait_idle(self, seconds: float = 5.0) -> bool:
        """Wait until no status callback is due any more."""
        return self._reporter.wait_idle(seconds)

    # -------------------------------------------------------------- the judge
    def requests(self) -> list[dict[str, Any]]:
        """Every message request in order of arrival."""
        with self._lock:
            return [asdict(one) for one in sorted(self._seen, key=lambda one: one.at)]

    def report(self) -> dict[str, Any]:
        """The score: what was asked, what was taken, what was taken twice."""
        with self._lock:
            taken = [one for one in self._seen if one.taken]
            by_ref = Counter(one.ref for one in taken if one.ref)
            by_body = Counter(f"{one.to} {one.body}" for one in taken)
            return {
                "requests": len(self._seen),
                "taken": len(taken),
                "by_ref": dict(by_ref),
                "by_body": dict(by_body),
                "duplicates": sorted(ref for ref, count in by_ref.items() if count > 1),
                "duplicate_bodies": sorted(body for body, count in by_body.items() if count > 1),
                "callbacks": list(self._called),
                "typing": list(self._typing),
                "contents": len(self._contents),
            }

    # -------------------------------------------------------------- what the API does
    def next_step(self) -> Any:
        with self._lock:
            return self._script.next()

    def note(self, came: float, form: Mapping[str, str], step: Any, taken: bool) -> None:
        """Remember that a request came then, whatever became of it."""
        seen = Seen(
            came,
            ref_of(form),
            form.get("To", ""),
            self.rendered(form),
            step.status,
            step.drop,
            taken,
            dict(form),
        )
        with self._lock:
            self._seen.append(seen)

    def take(self, form: dict[str, str], token: str) -> dict[str, Any]:
        """Accept a message and plan its statuses."""
        with self._lock:
            number = next(self._numbers)
            sid = "SM" + hashlib.md5(f"{id(self)}:{number}".encode(), usedforsecurity=False).hexdigest()
            made = Message(
                sid,
                ref_of(form),
                form,
                self._token or token,
                self.rendered(form),
                datetime.now(UTC).replace(microsecond=0),
            )
            self._messages[sid] = made
            plan = self._callbacks.reports(number) if form.get("StatusCallback") else []
            shown = made.shown()
        for report in plan:
            self._reporter.add(made, report)
        return shown

    def listed(self, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], bool]:
        """A page of the Messages list, newest first, and whether more follow."""
        with self._lock:
            rows = [(one.made, one.shown()) for one in self._messages.values()]
            rows += [(one.made, one.shown()) for one in self._written.values()]
        rows.sort(key=lambda row: row[0])
        first = query.get("DateSent>", "")
        found = [
            shown
            for made, shown in reversed(rows)
            if query.get("To", shown["to"]) == shown["to"]
            and query.get("From", shown["from"]) == shown["from"]
            and made.date().isoformat() >= first
        ]
        size, page = int(query.get("PageSize", 50)), int(query.get("Page", 0))
        return found[page * size : (page + 1) * size], len(found) > (page + 1) * size

    def files_of(self, sid: str) -> list[dict[str, str]]:
        with self._lock:
            return self._written[sid].files() if sid in self._written else []

    def contents(self) -> list[dict[str, Any]]:
        """Every template with what WhatsApp says of it."""
        with self._lock:
            return [
                {**content, "sid": sid, "approval_requests": dict(self._approvals.get(sid, {}))}
                for sid, content in self._contents.items()
            ]

    def ask_approval(self, sid: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._approvals[sid] = {**asked, "status": "received", "rejection_reason": ""}
            return dict(self._approvals[sid])

    def add_content(self, content: dict[str, Any]) -> str:
        with self._lock:
            sid = (
                "HX"
                + hashlib.md5(f"content:{next(self._numbers)}".encode(), usedforsecurity=False).hexdigest()
            )
            self._contents[sid] = content
        return sid

    def has_content(self, sid: str) -> bool:
        with self._lock:
            return sid in self._contents

    def rendered(self, form: Mapping[str, str]) -> str:
        """The text as the customer sees it."""
        with self._lock:
            content = self._contents.get(form.get("ContentSid", ""), {})
        body = next(
            (str(kind.get("body", "")) for kind in content.get("types", {}).values()), form.get("Body", "")
        )
        try:
            variables = json.loads(form.get("ContentVariables", "{}"))
        except ValueError:
            return body
        for name, value in variables.items():
            body = body.replace(f"{{{{{name}}}}}", str(value))
        return body

    def media(self, media_id: str) -> tuple[str, bytes]:
        with self._lock:
            return self._media.get(media_id, ("image/png", PIXEL))

    def typed(self, message_id: str) -> None:
        with self._lock:
            self._typing.append(message_id)

    # -------------------------------------------------------------- statuses
    def _report(self, message: Message, report: Report) -> None:
        with self._lock:
            message.status, message.error_code = report.status, report.code
        form = {
            "MessageSid": message.sid,
            "MessageStatus": report.status,
            "AccountSid": message.form["_account"],
            "From": message.form.get("From", ""),
            "To": message.form.get("To", ""),
            "ChannelPrefix": "whatsapp",
            "ApiVersion": "2010-04-01",
        } | ({"ErrorCode": report.code} if report.code else {})
        answer = post_signed(message.form["StatusCallback"], form, message.token)
        with self._lock:
            self._called.append({"ref": message.ref, "status": report.status, "answer": answer})


def ref_of(form: Mapping[str, str]) -> str:
    """The sender's own id, from the status URL."""
    return parse_qs(urlsplit(form.get("StatusCallback", "")).query).get("ref", [""])[0]


def post_signed(url: str, form: Mapping[str, str], token: str) -> str:
    """Post a form as Twilio would; the answer's status, or why there is none."""
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return "refused: not this machine"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=10)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": signatures.twilio_signature(token, url, list(form.items())),
        "Host": parts.netloc,
    }
    try:
        connection.request(
            "POST", parts._replace(scheme="", netloc="", fragment="").geturl(), urlencode(form), headers
        )
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return f"error: {type(error).__name__}"
    finally:
        connection.close()


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Reporter:
    """Sends statuses when they are due, one after another, in the order of their times."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._due: list[tuple[float, int, Message, Report]] = []
        self._tie = itertools.count()
        self._changed = threading.Condition()
        self._running = False
        self._busy = False

    def start(self) -> None:
        self._running = True
        threading.Thread(target=self._run, name="fake-provider-statuses", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def add(self, message: Message, report: Report) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + report.after, next(self._tie), message, report))
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._due.clear()
            self._changed.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._due and not self._busy, seconds)

    def _run(self) -> None:
        while job := self._next():
            try:
                self._send(*job)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _next(self) -> tuple[Message, Report] | None:
        with self._changed:
            while self._running:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    _due, _tie, message, report = heapq.heappop(self._due)
                    self._busy = True
                    return message, report
                self._changed.wait(wait)
        return None
