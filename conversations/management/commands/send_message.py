"""Put a message into the outbox from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organization
from channels_hub.models import ChannelAccount
from contacts.addresses import InvalidAddress
from conversations import outbox


class Command(BaseCommand):
    help = "Send a text to a phone number by the outbox; consent and window are asked as for any other."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", help="its slug")
        parser.add_argument("phone", help="+E.164")
        parser.add_argument("text")
        parser.add_argument("--channel", help="id of the channel (default: the oldest active one)")
        parser.add_argument("--priority", type=int, default=0, choices=sorted(outbox.PRIORITIES.values()))

    def handle(self, *args: Any, **options: Any) -> None:
        organization = Organization.objects.filter(slug=options["organization"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['organization']!r}.")
        try:
            sent = outbox.send_message_via_queue(
                options["phone"], options["text"], organization.pk, options["priority"],
                instance_id=options["channel"],
            )  # fmt: skip
        except InvalidAddress as error:
            raise CommandError(f"{options['phone']!r} is no phone number like +5511987654321.") from error
        except (ChannelAccount.DoesNotExist, ValidationError) as error:
            raise CommandError("There is no such active channel.") from error
        self.stdout.write(sent["message_id"])
