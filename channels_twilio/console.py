"""What Twilio's console shows, by its API: the senders of an account and the addresses that they call.

https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource (SMS),
https://www.twilio.com/docs/messaging/services/api (pools of senders),
https://www.twilio.com/docs/whatsapp/api/senders (WhatsApp). The sandbox has no API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy

from channels_hub.contract import Http
from channels_hub.setup import Found, Hook, Sender, SetUp
from channels_twilio import contents, lists, webhook
from channels_twilio.lists import Row

SANDBOX = "+14155238886"
ASKED = SetUp(
    "Twilio",
    config={"account_sid": "Account SID", "api_key_sid": gettext_lazy("API key SID (not needed)")},
    secrets={
        "auth_token": gettext_lazy("Auth token"),
        "api_key_secret": gettext_lazy("API key secret (not needed)"),
    },
    service="messaging_service_sid",
)
NO_API = gettext_lazy(
    "The sandbox is set by hand: paste the addresses in Twilio's console under Messaging, Try WhatsApp, "
    "Sandbox settings. It writes only to people who joined it with the word “join …”."
)
BY_HAND = gettext_lazy("Twilio's API does not list this sender: paste the addresses in Twilio's console.")
NO_SENDER = gettext_lazy("Choose a sender first.")
OF_NUMBER = gettext_lazy("The Messaging Service leaves incoming messages to its numbers' own addresses.")
NAMES = ("inbound", "fallback", "status")
# Twilio's names of the three addresses; a number has none for the statuses of its messages.
OF: Mapping[str, tuple[str, ...]] = {
    "number": ("sms_url", "sms_fallback_url"),
    "service": ("inbound_request_url", "fallback_url", "status_callback"),
    "whatsapp": ("callback_url", "fallback_url", "status_callback_url"),
}
TO: Mapping[str, tuple[str, ...]] = {
    "number": ("SmsUrl", "SmsFallbackUrl"),
    "service": ("InboundRequestUrl", "FallbackUrl", "StatusCallback"),
    "whatsapp": OF["whatsapp"],
}
ALSO: Mapping[str, Mapping[str, str]] = {
    "number": {"SmsMethod": "POST", "SmsFallbackMethod": "POST", "SmsApplicationSid": ""},
    "service": {"InboundMethod": "POST", "FallbackMethod": "POST", "UseInboundWebhookOnNumber": "false"},
    "whatsapp": {
        "callback_method": "POST", "fallback_method": "POST", "status_callback_method": "POST",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where the addresses of a channel are kept."""

    kind: str  # number service whatsapp
    row: Row
    url: str

    def found(self) -> dict[str, str]:
        row = (self.row.get("webhook") or {}) if self.kind == "whatsapp" else self.row
        return {ours: str(row.get(theirs) or "") for ours, theirs in zip(NAMES, OF[self.kind], strict=False)}

    def change(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        """The options of the call that sets them."""
        named = {theirs: wanted[ours] for ours, theirs in zip(NAMES, TO[self.kind], strict=False)}
        sent = {**ALSO[self.kind], **named}
        return {"json": {"webhook": sent}} if self.kind == "whatsapp" else {"data": sent}


@dataclass(frozen=True, slots=True)
class Console:
    """One account as one channel sees it. Every method may raise NotSent and MaybeSent."""

    http: Http
    auth: tuple[str, str]
    account: str  # https://api.twilio.com/2010-04-01/Accounts/AC…
    messaging: str  # https://messaging.twilio.com
    prefix: str
    address: str
    service: str

    def look(self, wanted: Mapping[str, str]) -> Found:
        numbers = [] if self.prefix else self._numbers()
        whatsapp = self._whatsapp() if self.prefix else []
        services = self._services()
        place, note = self.place(numbers, whatsapp, services)
        found: Mapping[str, str] = place.found() if place else {}
        hooks = tuple(Hook(name, url, found.get(name)) for name, url in wanted.items())
        senders = [*map(_number, numbers), *map(_sender, whatsapp), *map(_pool, services)]
        return Found(tuple(senders), hooks, can_set=place is not None, note=note)

    def where(self) -> Place | None:
        """The place that `look` saw."""
        numbers = [] if self.prefix else self._numbers()
        return self.place(numbers, self._whatsapp() if self.prefix else [], self._services())[0]

    def place(self, numbers: list[Row], whatsapp: list[Row], services: list[Row]) -> tuple[Place | None, Any]:
        """The Messaging Service decides for all its senders, unless it leaves that to them."""
        note: Any = ""
        if self.service:
            row = _first(services, "sid", self.service)
            if row and not row.get("use_inbound_webhook_on_number"):
                return Place("service", row, f"{self.messaging}/v1/Services/{self.service}"), ""
            note = OF_NUMBER if row else BY_HAND
        if not self.address:
            return None, note or NO_SENDER
        if self.prefix and self.address == SANDBOX:
            return None, NO_API
        if row := _first(whatsapp, "sender_id", self.prefix + self.address):
            return Place("whatsapp", row, f"{self.messaging}/v2/Channels/Senders/{row['sid']}"), note
        if row := _first(numbers, "phone_number", self.address):
            return Place("number", row, f"{self.account}/IncomingPhoneNumbers/{row['sid']}.json"), note
        return None, note or BY_HAND

    # -------------------------------------------------------------- lists
    def _numbers(self) -> list[Row]:
        listed = self._all(f"{self.account}/IncomingPhoneNumbers.json?PageSize=200", "incoming_phone_numbers")
        return [row for row in listed if (row.get("capabilities") or {}).get("sms", True)]

    def _whatsapp(self) -> list[Row]:
        url = f"{self.messaging}/v2/Channels/Senders?Channel=whatsapp&PageSize=100"
        return list(self._all(url, "senders"))

    def _services(self) -> list[Row]:
        return list(self._all(f"{self.messaging}/v1/Services?PageSize=100", "services"))

    def _all(self, url: str, name: str) -> Iterator[Row]:
        """Every row of a list; the next page is asked of the host that we asked before."""
        root = url.partition("/2010-04-01/")[0] if "/2010-04-01/" in url else self.messaging
        for _page in range(lists.MOST_PAGES):
            listed = lists.answered(self.http.request("GET", url, auth=self.auth))
            yield from listed.get(name) or ()
            following = str(listed.get("next_page_uri") or "")
            url = root + following if following else contents.following(listed, root)
            if not url:
                return


def _first(rows: list[Row], name: str, value: str) -> Row | None:
    return next((row for row in rows if row.get(name) == value and row.get("sid")), None)


def _number(row: Row) -> Sender:
    number = str(row.get("phone_number") or "")
    return Sender(str(row.get("friendly_name") or number), address=number)


def _sender(row: Row) -> Sender:
    number = webhook.address_of(str(row.get("sender_id") or "")).value
    state = str(row.get("status") or "")
    name = str((row.get("profile") or {}).get("name") or number)
    return Sender(name, address=number, state="" if state.startswith("ONLINE") else state)


def _pool(row: Row) -> Sender:
    return Sender(str(row.get("friendly_name") or row.get("sid")), service=str(row.get("sid") or ""))
