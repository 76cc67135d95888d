"""WhatsApp through Twilio. Form posts in, form posts out; our reference travels in the status URL."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from django.utils.translation import gettext

from channels_hub import signatures
from channels_hub.capabilities import CAPS, WINDOWS
from channels_hub.contract import (
    AccountKey,
    Ack,
    Adapter,
    BadPayload,
    BadSignature,
    Delivery,
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
    numbered,
    retry_after,
)
from channels_twilio import buttons, webhook
from channels_twilio.codes import OUTCOMES, STATES, WAITS

Secrets = Mapping[str, str]
SIGNING_SECRETS = ("auth_token", "auth_token_previous", "shared_key")
GONE = {403, 404, 410}


class TwilioWhatsApp(Adapter):
    """config: account_sid, messaging_service_sid?, api_key_sid?, api_base?, content_base?,
    messaging_base?, language?, list_button?
    secrets: auth_token, auth_token_previous?, shared_key?, api_key_secret?. address: +E.164."""

    kind = "twilio_whatsapp"
    label = "WhatsApp (Twilio)"
    caps = CAPS["twilio_whatsapp"]
    window = WINDOWS["twilio_whatsapp"]
    url_kind = "twilio"
    inbound_part = "inbound"
    required_config = ("account_sid",)
    required_secrets = ("auth_token",)
    allowed_media_hosts = ("twilio.com",)
    api_base = "https://api.twilio.com"

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
        try:
            form = webhook.form_of(request)
        except BadPayload:
            return ()
        ours = form.get("From" if "MessageStatus" in form else "To", "")
        return (AccountKey(form.get("AccountSid", ""), webhook.address_of(ours).value),)

    @property
    def account_id(self) -> str:
        return str(self.config.get("account_sid", ""))

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
            yield self._message(request, form, sid)

    def _not_ours(self, form: Mapping[str, str], our_side: str) -> str:
        """Why this event is not this channel's, although its signature is good."""
        if form.get("AccountSid") != self.account_id:
            return "AccountSid of another account"
        number = webhook.address_of(form.get(our_side, "")).value
        if self.address and number and not webhook.same_number(number, self.address):
            return f"{our_side} is another sender"
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

    def _message(self, request: RawRequest, form: Mapping[str, str], sid: str) -> InboundEvent:
        sender = webhook.sender_of(form)
        return InboundEvent(
            Kind.MESSAGE,
            sid,
            request.received_at,
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

    def ack(self, request: RawRequest) -> Ack:
        """Never an answer in TwiML: it would have no status callback of ours."""
        try:
            is_status = "MessageStatus" in webhook.form_of(request)
        except BadPayload:
            is_status = False
        return Ack(204) if is_status else Ack(200, b"<Response/>", "text/xml")

    # -------------------------------------------------------------- outbound
    def send(self, part: OutMessage, http: Http, secrets: Secrets) -> SendResult:
        form = self._envelope(part)
        if part.options:
            return self._send_options(part, form, http, secrets)
        return self._post(form | _content(part), http, secrets)

    def _envelope(self, part: OutMessage) -> dict[str, str]:
        form = {"To": webhook.wire(part.to)}
        if self.address:
            form["From"] = f"whatsapp:{self.address}"
        if service := self.config.get("messaging_service_sid"):
            form["MessagingServiceSid"] = service
        if self.callback_url:
            form["StatusCallback"] = f"{self.callback_url}status?ref={quote(part.client_ref, safe=':')}"
        return form

    def _send_options(
        self, part: OutMessage, form: dict[str, str], http: Http, secrets: Secrets
    ) -> SendResult:
        body = buttons.body_of(part.text)
        if not 0 < len(body.variables) <= buttons.MAX_VARIABLES:
            return self._post(form | {"Body": numbered(part.text, part.options)}, http, secrets)
        label = str(self.config.get("list_button") or gettext("Options"))
        language = str(self.config.get("language") or "pt_BR")
        template = buttons.content(
            body, part.options, part.options_style, list_label=label, language=language
        )
        form["ContentVariables"] = json.dumps(body.variables, ensure_ascii=False)
        if sid := buttons.remembered(self._root("content"), self.account_id, template["friendly_name"]):
            sent = self._post(form | {"ContentSid": sid}, http, secrets)
            if sent.outcome not in {Outcome.CONTENT, Outcome.PERMANENT}:
                return sent
            # Refused, so nothing was sent: perhaps somebody deleted the template in Twilio's console.
        made = self._make_template(template, http, secrets)
        if made.outcome is not Outcome.ACCEPTED:
            return made
        return self._post(form | {"ContentSid": made.provider_id}, http, secrets)

    def _make_template(self, template: Mapping[str, Any], http: Http, secrets: Secrets) -> SendResult:
        """The template's SID is the result's provider_id; this process will not make it again."""
        root = self._root("content")
        made = self.call(http, "POST", f"{root}/v1/Content", auth=self._auth(secrets), json=template)
        if made.outcome is Outcome.ACCEPTED:
            buttons.remember(root, self.account_id, template["friendly_name"], made.provider_id)
        elif made.outcome is Outcome.AMBIGUOUS:
            # Nothing was said to the customer yet: a second template is harmless.
            return SendResult(Outcome.RETRYABLE, code=made.code, detail=made.detail)
        return made

    def _post(self, form: Mapping[str, str], http: Http, secrets: Secrets) -> SendResult:
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
            retry_after=WAITS.get(code) if wait is None else wait,
        )

    def outcome_of(self, code: str) -> Outcome:
        return OUTCOMES.get(code, Outcome.PERMANENT)

    def signal(self, what: str, thread: Thread, message_id: str, http: Http, secrets: Secrets) -> None:
        """Typing for 25 s or until the answer; Twilio marks the message read with it."""
        if message_id:
            url = f"{self._root('messaging')}/v2/Indicators/Typing.json"
            form = {"channel": "whatsapp", "messageId": message_id}
            self.call(http, "POST", url, auth=self._auth(secrets), data=form)

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

    def find_sent(
        self, part: OutMessage, since: datetime, http: Http, secrets: Secrets, known: Collection[str] = ()
    ) -> Delivery | None:
        """The list API does not tell our reference: a message with the same text after `since` is taken."""
        query = {"To": webhook.wire(part.to), "DateSent>": since.date().isoformat(), "PageSize": "100"}
        try:
            answer = http.request(
                "GET", self._account_url("/Messages.json"), auth=self._auth(secrets), params=query
            )
        except (NotSent, MaybeSent):
            return None
        listed = answer.json()
        for one in listed.get("messages", ()) if isinstance(listed, Mapping) else ():
            if one.get("sid") not in known and one.get("body") == part.text and _made_since(one, since):
                state = STATES.get(str(one.get("status")), State.QUEUED)
                return Delivery(one["sid"], state, since, part.client_ref, str(one.get("error_code") or ""))
        return None

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


def _content(part: OutMessage) -> dict[str, str]:
    """What is said, in Twilio's parameters."""
    if part.template:
        variables = json.dumps(dict(part.template.body), ensure_ascii=False)
        return {"ContentSid": part.template.ref, "ContentVariables": variables}
    if part.location:
        latitude, longitude, label = part.location
        place = f"geo:{latitude},{longitude}"
        return {"Body": label or place, "PersistentAction": f"{place}|{label}" if label else place}
    form = {"Body": part.text} if part.text else {}
    return form | ({"MediaUrl": part.media[0].url} if part.media else {})


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


def _made_since(message: Mapping[str, Any], since: datetime) -> bool:
    """Twilio's times are whole seconds; a message without one is no evidence."""
    try:
        made = parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return False
    return (made if made.tzinfo else made.replace(tzinfo=UTC)) >= since.replace(microsecond=0)
