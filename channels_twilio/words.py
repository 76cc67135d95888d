"""What is wrong, in plain words for the one who sets the channel up (https://www.twilio.com/docs/api/errors)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy

_KEYS = gettext_lazy("Twilio does not know these credentials. Check the Account SID and the auth token.")
_SENDER = gettext_lazy(
    "This number cannot send for the account. Check the channel's address in Twilio's console."
)
_SERVICE = gettext_lazy(
    "The Messaging Service does not exist or has no sender. Check its SID and its senders."
)
_WHATSAPP = gettext_lazy(
    "WhatsApp has not set this sender up. Look at the sender's state in Twilio's console."
)

EXPLAINED: Mapping[str, Any] = {
    "20003": _KEYS,
    "http_401": _KEYS,
    "20404": gettext_lazy("Twilio knows no such account. Check the Account SID."),
    "20005": gettext_lazy("The account at Twilio is not active. Look for a notice in its console."),
    "30002": gettext_lazy("The account at Twilio is suspended. Look for a notice in its console."),
    "90010": gettext_lazy("The account at Twilio is not active. Look for a notice in its console."),
    "21212": _SENDER,
    "21603": _SENDER,
    "21606": _SENDER,
    "21607": _SENDER,
    "21408": gettext_lazy(
        "Sending to this country is switched off. Allow it under Geo permissions at Twilio."
    ),
    "21608": gettext_lazy("A trial account writes to verified numbers only. Verify this one, or upgrade."),
    **dict.fromkeys(("21701", "21702", "21703", "21704", "21705"), _SERVICE),
    "30032": gettext_lazy("The toll-free number is not verified yet. Finish its verification at Twilio."),
    "30034": gettext_lazy("The number is not registered for A2P 10DLC. Register it at Twilio."),
    **dict.fromkeys(("63001", "63002", "63007", "63008", "63020"), _WHATSAPP),
    "63015": gettext_lazy(
        "The sandbox writes only to people who joined it. Send it the word “join …” first."
    ),
    "63016": gettext_lazy("The customer's 24 hours are over. Send an approved template."),
    "21610": gettext_lazy("This person wrote STOP. Only they can take it back, by writing START."),
    "by_hand": gettext_lazy("Twilio's API cannot set it. Paste the addresses in Twilio's console."),
    "not_sent": gettext_lazy("Twilio could not be reached. Check this server's way to the internet."),
    "no_answer": gettext_lazy("Twilio did not answer in time. Try again."),
}
