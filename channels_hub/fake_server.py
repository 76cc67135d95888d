"""The fake provider's HTTP side: routes, authentication, and breaking off where the script says so."""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from channels_hub.fake_script import Step

ACCOUNT = r"/2010-04-01/Accounts/(?P<account>[^/]+)"
ROUTES: tuple[tuple[str, str, str], ...] = (
    ("POST", rf"{ACCOUNT}/Messages\.json", "create_message"),
    ("GET", rf"{ACCOUNT}/Messages\.json", "list_messages"),
    ("GET", rf"{ACCOUNT}/Messages/[^/]+/Media/(?P<media>[^/]+)", "redirect_media"),
    ("GET", rf"{ACCOUNT}/Messages/(?P<sid>[^/]+)/Media\.json", "list_media"),
    ("GET", rf"{ACCOUNT}\.json", "show_account"),
    ("GET", rf"{ACCOUNT}/IncomingPhoneNumbers\.json", "list_numbers"),
    ("POST", rf"{ACCOUNT}/IncomingPhoneNumbers/(?P<sid>[^/]+)\.json", "change_number"),
    ("GET", r"/v1/Services", "list_services"),
    ("POST", r"/v1/Services/(?P<sid>[^/]+)", "change_service"),
    ("GET", r"/v2/Channels/Senders", "list_senders"),
    ("POST", r"/v2/Channels/Senders/(?P<sid>[^/]+)", "change_sender"),
    ("POST", r"/v1/Content", "create_content"),
    ("GET", r"/v1/ContentAndApprovals", "list_contents"),
    ("POST", r"/v1/Content/(?P<sid>[^/]+)/ApprovalRequests/whatsapp", "ask_approval"),
    ("POST", r"/v2/Indicators/Typing\.json", "show_typing"),
    ("GET", r"/cdn/(?P<media>[^/]+)", "send_media"),
    ("GET", r"/_requests", "control_requests"),
    ("GET", r"/_report", "control_report"),
    ("POST", r"/_script", "control_script"),
    ("POST", r"/_reset", "control_reset"),
    ("POST", r"/_media/(?P<media>[^/]+)", "control_media"),
)
OPEN_ROUTES = {"send_media"}  # the CDN; controls start with control_
MAX_BODY = 32 * 1024 * 1024
LIMIT = 1600


def _form(body: str) -> dict[str, str]:
    """The form; a name that comes again is numbered, as MediaUrl may be there ten times."""
    form: dict[str, str] = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        again = sum(known.rstrip("0123456789") == name for known in form)
        form[f"{name}{again}" if again else name] = value
    return form


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], provider: Any) -> None:
        self.provider = provider  # fake_provider.FakeProvider, which makes us
        super().__init__(address, Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the game."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one piece
    server: Server

    def do_GET(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def _route(self) -> None:
        path = urlsplit(self.path).path
        for method, pattern, name in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                self._begin(name, found.groupdict())
                return
        self._error(404, 20404, "The requested resource was not found")

    def _begin(self, name: str, names: dict[str, str]) -> None:
        if not name.startswith("control_") and name not in OPEN_ROUTES and not self._credentials()[1]:
            self._read()
            self._error(401, 20003, "Authenticate")
            return
        try:
            getattr(self, name)(**names)
        except ValueError as error:
            self._error(400, 20001, str(error))

    # -------------------------------------------------------------- messages
    def create_message(self, account: str) -> None:
        came, provider = time.time(), self.server.provider
        step = provider.next_step()
        if step.drop == "before":
            provider.note(came, {}, step, False)
            self._hang_up()
            return
        form = _form(self._read().decode())
        if step.delay:
            time.sleep(step.delay)
        if refusal := self._refusal(form):
            provider.note(came, form, Step(status=400), False)
            self._error(400, *refusal)
            return
        provider.note(came, form, step, step.takes)
        shown = provider.take({**form, "_account": account}, self._credentials()[1]) if step.takes else {}
        self._answer_message(step, shown | {"account_sid": account})

    def _refusal(self, form: Mapping[str, str]) -> tuple[int, str] | None:
        """What Twilio would not take."""
        if not form.get("To"):
            return 21604, "A 'To' phone number is required."
        if not form.get("From") and not form.get("MessagingServiceSid"):
            return 21603, "A 'From' phone number is required."
        if not any(form.get(name) for name in ("Body", "MediaUrl", "ContentSid")):
            return 21619, "A text message body or media urls must be specified."
        if len(form.get("Body", "")) > LIMIT:
            return 21617, "The concatenated message body exceeds the 1600 character limit."
        if form.get("ContentSid") and not self.server.provider.has_content(form["ContentSid"]):
            return 21655, "The ContentSid is invalid."
        if re.search(r"\\[nrt]|\s{5,}", form.get("ContentVariables", "")):
            return 21656, "The ContentVariables Parameter is invalid."
        return None

    def _answer_message(self, step: Step, shown: dict[str, Any]) -> None:
        if step.drop == "after":
            self._hang_up()
        elif step.drop == "half":
            self._answer(201, shown, cut=True)
        elif step.status >= 300:
            headers = {} if step.retry_after is None else {"Retry-After": f"{step.retry_after:g}"}
            self._error(step.status, step.error_code, "as scripted", headers)
        else:
            self._answer(201, shown)

    def list_messages(self, account: str) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        messages, more = self.server.provider.listed(query)
        following = {**query, "Page": str(int(query.get("Page", 0)) + 1)}
        uri = f"{parts.path}?{urlencode(following)}" if more else None
        self._answer(200, {"messages": messages, "next_page_uri": uri})

    def list_media(self, account: str, sid: str) -> None:
        self._answer(200, {"media_list": self.server.provider.files_of(sid)})

    # -------------------------------------------------------------- the rest of the API
    def show_account(self, account: str) -> None:
        self._answer(200, {"sid": account, "status": "active", "friendly_name": "Fake"})

    def list_numbers(self, account: str) -> None:
        self._list("numbers", "incoming_phone_numbers", {"next_page_uri": None})

    def list_services(self) -> None:
        self._list("services", "services", {"meta": {"next_page_url": None}})

    def list_senders(self) -> None:
        self._list("senders", "senders", {"meta": {"next_page_url": None}})

    def _list(self, kind: str, name: str, more: Mapping[str, Any]) -> None:
        self._answer(200, {name: self.server.provider.account.rows(kind), **more})

    def change_number(self, account: str, sid: str) -> None:
        self._change("numbers", sid, _form(self._read().decode()))

    def change_service(self, sid: str) -> None:
        self._change("services", sid, _form(self._read().decode()))

    def change_sender(self, sid: str) -> None:
        self._change("senders", sid, self._json())

    def _change(self, kind: str, sid: str, given: Mapping[str, Any]) -> None:
        row = self.server.provider.account.change(kind, sid, given)
        if row is None:
            self._error(404, 20404, "The requested resource was not found")
        else:
            self._answer(200, row)

    def create_content(self) -> None:
        content = self._json()
        self._answer(201, {"sid": self.server.provider.add_content(content), **content})

    def list_contents(self) -> None:
        self._answer(200, {"contents": self.server.provider.contents(), "meta": {"next_page_url": None}})

    def ask_approval(self, sid: str) -> None:
        asked = self._json()
        if not self.server.provider.has_content(sid):
            self._error(404, 20404, "The requested resource was not found")
            return
        self._answer(201, self.server.provider.ask_approval(sid, asked))

    def show_typing(self) -> None:
        form = dict(parse_qsl(self._read().decode()))
        self.server.provider.typed(form.get("messageId", ""))
        self._answer(200, {"success": True})

    def redirect_media(self, account: str, media: str) -> None:
        self._answer(307, {}, headers={"Location": f"/cdn/{media}"})

    def send_media(self, media: str) -> None:
        mime, data = self.server.provider.media(media)
        self._bytes(200, data, mime)

    # -------------------------------------------------------------- control
    def control_requests(self) -> None:
        self._answer(200, {"requests": self.server.provider.requests()})

    def control_report(self) -> None:
        self._answer(200, self.server.provider.report())

    def control_script(self) -> None:
        wanted = self._json()
        if "callbacks" in wanted:
            self.server.provider.callbacks(**wanted["callbacks"])
        if "steps" in wanted or "then" in wanted:
            self.server.provider.script(wanted.get("steps", ()), then=wanted.get("then", "ok"))
        self._answer(200, {"ok": True})

    def control_reset(self) -> None:
        self._read()
        self.server.provider.reset()
        self._answer(200, {"ok": True})

    def control_media(self, media: str) -> None:
        mime = self.headers.get("Content-Type", "application/octet-stream")
        self.server.provider.put_media(media, mime, self._read())
        self._answer(201, {"ok": True})

    # -------------------------------------------------------------- reading and answering
    def _credentials(self) -> tuple[str, str]:
        """Name and password of the Basic header."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        try:
            name, _, password = base64.b64decode(value).decode().partition(":")
        except ValueError:  # neither base64 nor text
            return "", ""
        return (name, password) if scheme.lower() == "basic" else ("", "")

    def _read(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            raise ValueError("too big")
        return self.rfile.read(length)

    def _json(self) -> dict[str, Any]:
        try:
            data = json.loads(self._read())
        except (ValueError, RecursionError) as error:
            raise ValueError("not JSON") from error
        if not isinstance(data, dict):
            raise ValueError("not an object")
        return data

    def _error(self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self._answer(status, {"code": code, "message": message, "status": status}, headers=headers)

    def _answer(
        self,
        status: int,
        data: Mapping[str, Any],
        *,
        cut: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._bytes(status, json.dumps(data).encode(), "application/json", cut=cut, headers=headers)

    def _bytes(
        self,
        status: int,
        data: bytes,
        mime: str,
        *,
        cut: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": mime,
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def _hang_up(self) -> None:
        """Close with a reset, as a crashed server does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: requests are in /_requests."""
