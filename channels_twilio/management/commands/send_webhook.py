"""Play Twilio: post a signed message of a customer to a channel's webhook on this machine."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django_scopes import scopes_disabled

from channels_hub.fake_provider import post_signed
from channels_hub.models import ChannelAccount
from channels_hub.registry import kinds_at
from channels_twilio.webhook import PREFIX


class Command(BaseCommand):
    help = "Post a signed inbound message to a Twilio channel of this machine, as Twilio would."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("channel", help="id of the channel")
        parser.add_argument("phone", help="who writes, +E.164")
        parser.add_argument("text")

    def handle(self, *args: Any, **options: Any) -> None:
        account = _channel(options["channel"])
        prefix = PREFIX if account.kind == "twilio_whatsapp" else ""
        form = {
            "MessageSid": f"SM{secrets.token_hex(16)}",
            "AccountSid": account.config.get("account_sid", ""),
            "From": prefix + options["phone"],
            "To": prefix + account.address,
            "Body": options["text"],
            "NumMedia": "0",
        }
        answer = post_signed(account.webhook_url(), form, account.keys().get("auth_token", ""))
        if answer != "200":
            raise CommandError(f"The webhook answered: {answer}")
        self.stdout.write(form["MessageSid"])


def _channel(pk: str) -> ChannelAccount:
    try:
        with scopes_disabled():
            return ChannelAccount.objects.get(pk=pk, kind__in=kinds_at("twilio"))
    except (ChannelAccount.DoesNotExist, ValidationError) as error:
        raise CommandError("There is no such Twilio channel.") from error
