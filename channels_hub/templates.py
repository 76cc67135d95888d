"""Templates that a platform keeps and approves: fetched from there, and submitted for approval."""

from __future__ import annotations

import logging
from contextlib import closing

from django.db import transaction
from django.utils import timezone
from django_scopes import scope, scopes_disabled

from channels_hub import registry
from channels_hub.contract import MaybeSent, NotSent, Outcome, PlatformTemplate, SendResult
from channels_hub.http import Client
from channels_hub.models import ChannelAccount, MessageTemplate

logger = logging.getLogger(__name__)

TOLD = (
    "name", "language", "category", "body", "variables", "buttons", "media", "approval", "reason",
    "synced_at",
)  # fmt: skip


def has_templates(account: ChannelAccount) -> bool:
    """Whether the channel's platform keeps templates for us."""
    return account.kind in registry.kinds() and bool(registry.adapter_class(account.kind).caps.templates)


def sync_all() -> int:
    """Fetch the templates of every channel in use; how many were listed."""
    with scopes_disabled():
        accounts = list(ChannelAccount.objects.filter(is_active=True).select_related("organization"))
    found = 0
    for account in filter(has_templates, accounts):
        with scope(organization=account.organization):
            try:
                found += sync(account)
            except (NotSent, MaybeSent) as error:
                logger.warning("templates of channel %s: %s", account.pk, type(error).__name__)
            except Exception:
                logger.exception("templates of channel %s could not be read", account.pk)
    return found


def sync(account: ChannelAccount) -> int:
    """Make our rows what the platform lists; how many those are. Calls the platform: not in a transaction.

    Whether agents are offered a template stays what an admin chose. Raises NotSent and MaybeSent.
    """
    with closing(Client()) as client:
        listed = registry.adapter_for(account).templates(client, account.keys())
    now = timezone.now()
    rows = [_row(account, one) for one in listed]
    for row in rows:
        row.synced_at = now
    with transaction.atomic():
        MessageTemplate.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["account", "ref"], update_fields=TOLD
        )
        MessageTemplate.objects.filter(account=account).exclude(ref__in=[row.ref for row in rows]).delete()
    return len(rows)


def _row(account: ChannelAccount, one: PlatformTemplate) -> MessageTemplate:
    return MessageTemplate(
        organization_id=account.organization_id,
        account=account,
        ref=one.ref[:120],
        name=one.name[:120],
        language=one.language[:16],
        category=one.category[:32].lower(),
        body=one.body,
        variables=dict(one.variables),
        buttons=[dict(button) for button in one.buttons],
        media=list(one.media),
        approval=one.approval,
        reason=one.reason[:300],
    )


def submit(template: MessageTemplate) -> SendResult:
    """Ask for the platform's approval. Calls the platform: not in a transaction."""
    account = template.account
    adapter = registry.adapter_for(account)
    category = template.category.upper()
    with closing(Client()) as client:
        result = adapter.submit_template(template.ref, template.name, category, client, account.keys())
    if result.outcome is Outcome.ACCEPTED:
        template.approval, template.reason = MessageTemplate.Approval.PENDING, ""
        template.save(update_fields=["approval", "reason"])
    return result
