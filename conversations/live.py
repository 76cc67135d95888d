"""Tells open pages that something changed: ids and numbers only, after commit."""

from __future__ import annotations

from conversations import bells
from conversations.models import Conversation


def touch(conversation: Conversation) -> None:
    """Ring for the pages of the organization; they read the ledger from their own cursor."""
    bells.ring_pages(conversation.organization_id)
