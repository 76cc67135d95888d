"""What the fake provider's account owns: numbers, Messaging Services, WhatsApp senders; where they lead."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

NUMBER, SERVICE, SENDER = "+551130000000", "MG" + "0" * 31 + "1", "XE" + "0" * 31 + "1"


class Account:
    """Thread-safe. The rows look as Twilio's API shows them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, dict[str, Any]]] = {
            "numbers": {
                "PN1": {
                    "sid": "PN1", "phone_number": "+12125550100", "friendly_name": "New York",
                    "capabilities": {"sms": True, "mms": True, "voice": True},
                    "sms_url": "", "sms_fallback_url": "",
                },
                "PN2": {"sid": "PN2", "phone_number": "+551140000000", "capabilities": {"sms": False}},
            },
            "services": {
                SERVICE: {
                    "sid": SERVICE, "friendly_name": "Suporte", "use_inbound_webhook_on_number": False,
                    "inbound_request_url": "", "fallback_url": "", "status_callback": "",
                }
            },
            "senders": {
                SENDER: {
                    "sid": SENDER, "sender_id": f"whatsapp:{NUMBER}", "status": "ONLINE",
                    "profile": {"name": "Acme"}, "webhook": {},
                }
            },
        }  # fmt: skip

    def rows(self, kind: str) -> list[dict[str, Any]]:
        with self._lock:
            return [dict(row) for row in self._rows[kind].values()]

    def change(self, kind: str, sid: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row with its new values, named in snake_case as the API shows them; None when there is none."""
        with self._lock:
            row = self._rows[kind].get(sid)
            if row is not None:
                row |= {_snake(name): _value(value) for name, value in given.items()}
            return row and dict(row)


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def _value(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
