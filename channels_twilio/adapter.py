"""WhatsApp and SMS through Twilio: two kinds of channel over one way of talking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from channels_hub.capabilities import CAPS, WINDOWS
from channels_hub.contract import (
    Http,
    MaybeSent,
    NotSent,
    Outcome,
    OutMessage,
    PlatformTemplate,
    SendResult,
    Thread,
    numbered,
)
from channels_twilio import buttons, consent, contents, lists
from channels_twilio.base import Secrets, Twilio


class TwilioWhatsApp(Twilio):
    """Twilio's config and secrets, and language?, list_button?. address: +E.164.

    Twilio offers neither edits nor withdrawals, and no quotes in what we send.
    """

    kind = "twilio_whatsapp"
    label = "WhatsApp (Twilio)"
    caps = CAPS["twilio_whatsapp"]
    window = WINDOWS["twilio_whatsapp"]
    prefix = "whatsapp:"
    stop_words = consent.STOP
    start_words = consent.START

    def send(self, part: OutMessage, http: Http, secrets: Secrets) -> SendResult:
        if part.options:
            return self._send_options(part, self._envelope(part), http, secrets)
        return super().send(part, http, secrets)

    def _send_options(
        self, part: OutMessage, form: dict[str, Any], http: Http, secrets: Secrets
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

    def signal(self, what: str, thread: Thread, message_id: str, http: Http, secrets: Secrets) -> None:
        """Typing for 25 s or until the answer; Twilio marks the message read with it."""
        if message_id:
            url = f"{self._root('messaging')}/v2/Indicators/Typing.json"
            form = {"channel": "whatsapp", "messageId": message_id}
            self.call(http, "POST", url, auth=self._auth(secrets), data=form)

    # -------------------------------------------------------------- templates
    def templates(self, http: Http, secrets: Secrets) -> list[PlatformTemplate]:
        """Every Content template of the account but those that buttons were made of."""
        url = f"{self._root('content')}/v1/ContentAndApprovals?PageSize=200"
        found: list[PlatformTemplate] = []
        for _page in range(lists.MOST_PAGES):
            listed = lists.answered(http.request("GET", url, auth=self._auth(secrets)))
            found += contents.read(listed.get("contents") or ())
            url = contents.following(listed, self._root("content"))
            if not url:
                return found
        raise NotSent("the list of templates does not end")

    def submit_template(self, ref: str, name: str, category: str, http: Http, secrets: Secrets) -> SendResult:
        """Ask WhatsApp for its approval; the name must be in small letters, digits and underscores."""
        url = f"{self._root('content')}/v1/Content/{ref}/ApprovalRequests/whatsapp"
        asked = {"name": contents.plain_name(name), "category": category or "UTILITY"}
        try:
            answer = http.request("POST", url, auth=self._auth(secrets), json=asked)
        except (NotSent, MaybeSent) as error:
            return SendResult(Outcome.RETRYABLE, code="no_answer", detail=str(error))
        if answer.status < 300:
            return SendResult(Outcome.ACCEPTED, ref)
        return self.classify(answer.status, answer.headers, answer.json())


class TwilioSms(Twilio):
    """Twilio's config and secrets, and smart_encoded?: look-alikes for letters that would halve a segment.

    address: +E.164, a short code, or a name, which only sends; empty for a Messaging Service.
    """

    kind = "twilio_sms"
    label = "SMS (Twilio)"
    caps = CAPS["twilio_sms"]
    window = WINDOWS["twilio_sms"]
    prefix = ""
    stop_words = consent.STOP | consent.STOP_OF_CARRIERS
    start_words = consent.START

    def _envelope(self, part: OutMessage) -> dict[str, Any]:
        form = super()._envelope(part)
        return form | ({"SmartEncoded": "true"} if self.config.get("smart_encoded") else {})
