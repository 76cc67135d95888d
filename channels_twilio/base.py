"""What every channel at Twilio shares. Form posts in and out; our reference travels in the status URL."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from channels_hub import signatures
from channels_hub.contract import (
    AccountKey,
    Ack,
    Adapter,
    BadPayload,
    BadSignature,
    Delivery,
    Found,
    Http,
    HttpStream,
    InboundEvent,
    Kind,
    MaybeSent,
    MediaRef,
    MediaUnavailable,
    NotSent,
    Outcome,
    OutMessage,
    RawRequest,
    SendResult,
    State,
    Thread,
    retry_after,
)
from channels_twilio import consent, lists, webhook, words
from channels_twilio.codes import ONCE, OPTED_OUT, OUTCOMES, STATES, WAITS
from channels_twilio.console import ASKED, Console
from channels_twilio.worker import SEND

Secrets = Mapping[str, str]
SIGNING_SECRETS = ("auth_token", "auth_token_previous", "shared_key")
GONE = {403, 404, 410}


class Twilio(Adapter):
    """config: account_sid, messaging_service_sid?, api_key_sid?, api_base?, content_base?, messaging_base?
    secrets: auth_token, auth_token_previous?, shared_key?, api_key_secret?.

    A channel is one sender, or, without an address, a Messaging Service with all its senders.
    """

    url_kind = "twilio"
    inbound_part = "inbound"
    required_config = ("account_sid",)
    required_secrets = ("auth_token",)
    allowed_media_hosts = ("twilio.com",)
    api_base = "https://api.twilio.com"
    webhook_options = "#rc=3&rp=all"  # up to three tries within Twilio's 15 seconds
    opt_out_codes = OPTED_OUT
    once_codes = ONCE
    drain_task = SEND
    setup = ASKED
    prefix: ClassVar[str]  # before every address: "whatsapp:", or nothing for telephone numbers
    stop_words: ClassVar[frozenset[str]]
    start_words: ClassVar[frozenset[str]]

    # -------------------------------------------------------------- inbound
    def verify(self, request: RawRequest, secrets: Secrets) -> None:
        if request.method != "POST":
            raise BadSignature
        try:
            # Bytes that are no UTF-8 must survive, else a signed but broken form would look forged.
            form = None if webhook.is_json(request) else webhook.pairs(request.body, "surrogateescape")
        except ValueError as error:
            raise BadSignature from error
        header = request.headers.get("x-twilio-signature", "")
        settings = request.headers.get("x-twilio-webhooks-signature-settings", "")
        verdicts = [
            signatures.twilio(
                secrets.get(name, ""), request.url, form, header, body=request.body, settings_header=settings
            )
            for name in SIGNING_SECRETS
        ]
        if not any(verdicts):
            raise BadSignature

    @classmethod
    def accounts(cls, request: RawRequest) -> tuple[AccountKey, ...]:
        """The Messaging Service first, then the sender."""
        try:
            form = webhook.form_of(request)
        except BadPayload:
            return ()
        ours = form.get("From" if "MessageStatus" in form else "To", "")
        if webhook.prefix_of(ours) != cls.prefix:
            return ()
        account, service = form.get("AccountSid", ""), form.get("MessagingServiceSid", "")
        sender = AccountKey(account, webhook.address_of(ours).value)
        if not service:
            return (sender,)
        return AccountKey(account, config={"messaging_service_sid": service}), sender

    @property
    def account_id(self) -> str:
        return str(self.config.get("account_sid", ""))

    @property
    def service(self) -> str:
        return str(self.config.get("messaging_service_sid") or "")

    def parse(self, request: RawRequest) -> Iterator[InboundEvent]:
        if webhook.is_json(request):
            raise BadPayload("not a message: JSON body")
        form = webhook.form_of(request)
        sid = form.get("MessageSid") or form.get("SmsSid")
        if not sid:
            raise BadPayload("no MessageSid")
        status = form.get("MessageStatus")
        if reason := self._not_ours(form, "From" if status else "To"):
            yield InboundEvent(
                Kind.NOTICE, f"foreign:{sid}:{status or ''}", request.received_at, meta={"reason": reason}
            )
        elif status:
            yield self._status(request, form, sid, status)
        else:
            yield from self._message(request, form, sid)

    def _not_ours(self, form: Mapping[str, str], our_side: str) -> str:
        """Why this event is not this channel's, although its signature is good."""
        if form.get("AccountSid") != self.account_id:
            return "AccountSid of another account"
        sender = form.get(our_side, "")
        if sender and webhook.prefix_of(sender) != self.prefix:
            return f"{our_side} is on another platform"
        number = webhook.address_of(sender).value
        if self.address and number and not webhook.same_number(number, self.address):
            return f"{our_side} is another sender"
        service = form.get("MessagingServiceSid")
        if not self.address and self.service and service and service != self.service:
            return "another Messaging Service"
        return ""

    def _status(self, request: RawRequest, form: Mapping[str, str], sid: str, status: str) -> InboundEvent:
        key, customer = f"{sid}:{status}", Thread(webhook.address_of(form.get("To", sid)).value)
        state = STATES.get(status.lower())
        if state is None:
            reason = {"reason": "unknown MessageStatus"}
            return InboundEvent(
                Kind.NOTICE, key, request.received_at, thread=customer, message_id=sid, meta=reason
            )
        ref = parse_qs(urlsplit(request.url).query).get("ref", [""])[0]
        code = form.get("ErrorCode", "").removeprefix("0")
        detail = form.get("ErrorMessage") or form.get("ChannelStatusMessage", "")
        delivery = Delivery(sid, state, request.received_at, ref, code, detail[:300])
        return InboundEvent(
            Kind.STATUS, key, request.received_at, thread=customer, message_id=sid, status=delivery
        )

    def _message(self, request: RawRequest, form: Mapping[str, str], sid: str) -> Iterator[InboundEvent]:
        """The message; before it, where it is one, the wish to hear no more: so no robot answers it."""
        sender = webhook.sender_of(form)
        message = InboundEvent(
            Kind.MESSAGE,
            sid,
            lists.made_at(form) or request.received_at,
            sender=sender,
            thread=Thread(sender.addresses[0].value),
            message_id=sid,
            text=webhook.text_of(form),
            media=tuple(webhook.media_of(form)),
            location=webhook.location_of(form),
            choice=webhook.choice_of(form),
            reply_to=form.get("OriginalRepliedMessageSid", ""),
            referral=webhook.referral_of(form),
            meta={"forwarded": True} if form.get("Forwarded") == "true" else {},
        )
        wish = consent.wish_of(form, message, stop=self.stop_words, start=self.start_words)
        if wish is not None:
            yield InboundEvent(
                wish, f"{sid}:{wish}", message.occurred_at, sender, message.thread, message_id=sid
            )
        yield message

    def ack(self, request: RawRequest) -> Ack:
        """Never an answer in TwiML: it would have no status callback of ours."""
        try:
            is_status = "MessageStatus" in webhook.form_of(request)
        except BadPayload:
            is_status = False
        return Ack(204) if is_status else Ack(200, b"<Response/>", "text/xml")

    # -------------------------------------------------------------- outbound
    def send(self, part: OutMessage, http: Http, secrets: Secrets) -> SendResult:
        return self._post(self._envelope(part) | _content(part), http, secrets)

    def _wire(self, value: str) -> str:
        return self.prefix + value.removeprefix(webhook.prefix_of(value))

    def _envelope(self, part: OutMessage) -> dict[str, Any]:
        form = {"To": self._wire(part.to.wire)}
        if self.address:
            form["From"] = self._wire(self.address)
        if self.service:
            form["MessagingServiceSid"] = self.service
        if self.callback_url:
            form["StatusCallback"] = f"{self.callback_url}status?ref={quote(part.client_ref, safe=':')}"
        return form

    def _post(self, form: Mapping[str, Any], http: Http, secrets: Secrets) -> SendResult:
        return self.call(
            http, "POST", self._account_url("/Messages.json"), auth=self._auth(secrets), data=form
        )

    def classify(self, status: int, headers: Mapping[str, str], body: Any) -> SendResult:
        answer = body if isinstance(body, Mapping) else {}
        code = str(answer.get("code") or answer.get("error_code") or "")
        detail = str(answer.get("message") or answer.get("error_message") or "")[:300]
        if 200 <= status < 300:
            state = STATES.get(str(answer.get("status", "queued")), State.QUEUED)
            if state is State.FAILED:
                return SendResult(self.outcome_of(code), str(answer.get("sid", "")), state, code, detail)
            if not answer.get("sid"):
                return SendResult(Outcome.AMBIGUOUS, code=f"http_{status}", detail="answer without sid")
            return SendResult(Outcome.ACCEPTED, str(answer["sid"]), state)
        outcome = _outcome(status, code, bool(answer))
        wait = retry_after(headers) if outcome in {Outcome.RATE_LIMITED, Outcome.RETRYABLE} else None
        return SendResult(
            outcome,
            state=State.FAILED,
            code=code or f"http_{status}",
            detail=detail,
            retry_after=self.wait_of(code) if wait is None else wait,
        )

    def outcome_of(self, code: str) -> Outcome:
        return OUTCOMES.get(code, Outcome.PERMANENT)

    def wait_of(self, code: str) -> float | None:
        return WAITS.get(code)

    def explain(self, code: str) -> str:
        return str(words.EXPLAINED.get(code, ""))

    def open_media(self, ref: MediaRef, http: Http, secrets: Secrets) -> HttpStream:
        """Basic auth to Twilio only; the redirect to its CDN is followed without it."""
        auth = self._auth(secrets) if self.may_see_credentials(ref.url) else None
        stream = http.stream(ref.url, auth=auth, redirects=3)
        if stream.status == 200:
            return stream
        stream.close()
        if stream.status in GONE:
            raise MediaUnavailable(f"http_{stream.status}")
        raise NotSent(f"media answered {stream.status}")

    def check(self, http: Http, secrets: Secrets) -> SendResult:
        return self.call(http, "GET", self._account_url(".json"), auth=self._auth(secrets))

    # -------------------------------------------------------------- set-up
    def hooks(self) -> dict[str, str]:
        """The fallback is the same door: what comes twice counts once."""
        inbound = f"{self.callback_url}{self.inbound_part}"
        return {
            "inbound": inbound + self.webhook_options,
            "fallback": inbound,
            "status": f"{self.callback_url}status",
        }

    def look(self, http: Http, secrets: Secrets) -> Found:
        return self._console(http, secrets).look(self.hooks())

    def set_hooks(self, http: Http, secrets: Secrets) -> SendResult:
        try:
            place = self._console(http, secrets).where()
        except (NotSent, MaybeSent) as error:
            return SendResult(Outcome.RETRYABLE, code="no_answer", detail=str(error))
        if place is None:
            return super().set_hooks(http, secrets)
        return self.call(http, "POST", place.url, auth=self._auth(secrets), **place.change(self.hooks()))

    def _console(self, http: Http, secrets: Secrets) -> Console:
        messaging, auth = self._root("messaging"), self._auth(secrets)
        account = self._account_url("")
        return Console(http, auth, account, messaging, self.prefix, self.address, self.service)

    # -------------------------------------------------------------- the list of messages
    def find_sent(
        self, part: OutMessage, since: datetime, http: Http, secrets: Secrets, known: Collection[str] = ()
    ) -> Delivery | None:
        """The list does not tell our reference: the first with the same content after `since` is taken."""
        query = {"To": self._wire(part.to.wire)} | lists.not_before(since)
        try:
            for page in self._pages(query, http, secrets):
                if found := lists.sent_like(page, part, since, known):
                    return found
        except (NotSent, MaybeSent):
            pass
        return None

    def missed(
        self,
        since: datetime,
        http: Http,
        secrets: Secrets,
        known: Callable[[Collection[str]], Collection[str]],
    ) -> Iterator[RawRequest]:
        """What customers wrote, as the webhooks that should have come. Names and buttons are not listed."""
        query = lists.not_before(since) | ({"To": self._wire(self.address)} if self.address else {})
        for page in self._pages(query, http, secrets):
            rows = [row for row in lists.received(page, since) if self._for_us(row)]
            seen = known([str(row["sid"]) for row in rows])
            for row in rows:
                if row["sid"] not in seen:
                    files = self._files(row, http, secrets)
                    yield lists.as_webhook(row, files, f"{self.callback_url}{self.inbound_part}")

    def _for_us(self, row: Mapping[str, Any]) -> bool:
        if self.address:
            return True
        service = row.get("messaging_service_sid")
        return webhook.prefix_of(str(row.get("to"))) == self.prefix and (
            not self.service or service == self.service
        )

    def _files(self, row: Mapping[str, Any], http: Http, secrets: Secrets) -> list[tuple[str, str]]:
        """Address and type of each file of a listed message."""
        if not int(row.get("num_media") or 0):
            return []
        url = self._account_url(f"/Messages/{row['sid']}/Media")
        listed = lists.answered(http.request("GET", f"{url}.json", auth=self._auth(secrets)))
        files = listed.get("media_list", ())
        return [(f"{url}/{one['sid']}", str(one.get("content_type", ""))) for one in files]

    def _pages(
        self, query: Mapping[str, str], http: Http, secrets: Secrets
    ) -> Iterator[list[Mapping[str, Any]]]:
        """The Messages list, newest first. Raises NotSent and MaybeSent."""
        url, asked = self._account_url("/Messages.json"), {"params": {**query, "PageSize": "200"}}
        for _page in range(lists.MOST_PAGES):
            listed = lists.answered(http.request("GET", url, auth=self._auth(secrets), **asked))
            yield listed.get("messages") or []
            if not (following := listed.get("next_page_uri")):
                return
            url, asked = self.base() + str(following), {}

    # -------------------------------------------------------------- addresses of the API
    def _auth(self, secrets: Secrets) -> tuple[str, str]:
        if self.config.get("api_key_sid") and secrets.get("api_key_secret"):
            return str(self.config["api_key_sid"]), secrets["api_key_secret"]
        return self.account_id, secrets.get("auth_token", "")

    def _account_url(self, tail: str) -> str:
        return f"{self.base()}/2010-04-01/Accounts/{self.account_id}{tail}"

    def _root(self, service: str) -> str:
        """content.twilio.com, messaging.twilio.com; one host for all when api_base points elsewhere."""
        if own := self.config.get(f"{service}_base"):
            return str(own).rstrip("/")
        return self.base() if self.config.get("api_base") else f"https://{service}.twilio.com"


def _content(part: OutMessage) -> dict[str, Any]:
    """What is said, in Twilio's parameters."""
    if part.template:
        # A variable may hold no line break (error 21656).
        values = {name: " ".join(value.split()) for name, value in part.template.body.items()}
        sent = {"ContentVariables": json.dumps(values, ensure_ascii=False)} if values else {}
        return {"ContentSid": part.template.ref} | sent
    if part.location:
        latitude, longitude, label = part.location
        place = f"geo:{latitude},{longitude}"
        return {"Body": label or place, "PersistentAction": f"{place}|{label}" if label else place}
    form: dict[str, Any] = {"Body": part.text} if part.text else {}
    return form | ({"MediaUrl": [file.url for file in part.media]} if part.media else {})


def _outcome(status: int, code: str, readable: bool) -> Outcome:
    """What an error answer means. A 5xx that is not in Twilio's words is a gateway's: it may have passed."""
    if code in OUTCOMES:
        return OUTCOMES[code]
    if status == 429:
        return Outcome.RATE_LIMITED
    if status in {408, 503} or (status >= 500 and readable):
        return Outcome.RETRYABLE
    if status >= 500:
        return Outcome.AMBIGUOUS
    return Outcome.AUTH if status in {401, 403} else Outcome.PERMANENT
