"""Templates that the platform approved: which of them fit a conversation, and their words filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from channels_hub.models import MessageTemplate
from conversations.models import Conversation

MOST = 50  # templates that a picker shows; a search finds the others
LONGEST_VALUE = 1024
VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
FIRST_NAMES = frozenset({"1", "first_name", "primeiro_nome"})
FULL_NAMES = frozenset({"name", "nome", "nombre", "contact_name"})


class Unfit(Exception):
    """The template may not be sent like this; `errors` says what is wrong with which field."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__("template_invalid")
        self.errors = dict(errors)

    def __str__(self) -> str:
        return " ".join(text for texts in self.errors.values() for text in texts)


@dataclass(frozen=True, slots=True)
class Filled:
    """A template ready to go: what the outbox keeps, and the words that people read."""

    stored: dict[str, Any]
    text: str


def fitting(conversation: Conversation, q: str = "") -> list[MessageTemplate]:
    """Approved templates of the channel that agents are offered; the contact's language comes first."""
    rows = MessageTemplate.objects.filter(
        account=conversation.channel_id, approval=MessageTemplate.Approval.APPROVED, is_active=True
    )
    if q:
        rows = rows.filter(Q(name__icontains=q) | Q(body__icontains=q) | Q(category__icontains=q))
    return sorted(rows[: MOST * 4], key=lambda one: (_distance(one.language, conversation), one.name))[:MOST]


def _distance(language: str, conversation: Conversation) -> int:
    """0 for the contact's language, then its relatives, then the organization's, then any other."""
    wanted = _plain(conversation.contact.language or conversation.organization.locale)
    ours, told = _plain(conversation.organization.locale), _plain(language)
    ranked = (wanted, wanted.split("-")[0], ours, ours.split("-")[0])
    found = [rank for rank, one in enumerate(ranked) if one and one in (told, told.split("-")[0])]
    return found[0] if found else len(ranked)


def _plain(language: str) -> str:
    return language.lower().replace("_", "-")


def blanks(body: str) -> list[str]:
    """The names of a template's variables in the order in which they are read."""
    return list(dict.fromkeys(VARIABLE.findall(body)))


def suggested(
    template: MessageTemplate, conversation: Conversation, learned: Mapping[str, Any]
) -> dict[str, str]:
    """A value for each variable from what is known of the contact; empty where nothing is."""
    contact = conversation.contact
    known = {**contact.fields, **learned, "email": contact.email}
    known |= dict.fromkeys(FULL_NAMES, contact.name)
    known |= dict.fromkeys(FIRST_NAMES, contact.name.split(" ")[0])
    return {name: _one_line(known.get(name)) for name in blanks(template.body)}


def fill(conversation: Conversation, given: Mapping[str, Any]) -> Filled:
    """Check {"ref" or "name", "language", "body"} against the channel's templates. Raises Unfit."""
    template = _asked(conversation, given)
    if template.approval != MessageTemplate.Approval.APPROVED:
        raise Unfit({"template": [_("The platform has not approved this template.")]})
    body = given.get("body") or {}
    if not isinstance(body, Mapping):
        raise Unfit({"template.body": [_("Give the variables by their names.")]})
    values = {name: _one_line(body.get(name)) for name in blanks(template.body)}
    errors = {
        f"template.body.{name}": [_("A value is missing.")] for name, value in values.items() if not value
    }
    errors |= {
        f"template.body.{name}": [_("This template has no such variable.")]
        for name in body
        if name not in values
    }
    if errors:
        raise Unfit(errors)
    stored = {"ref": template.ref, "language": template.language, "name": template.name, "body": values}
    return Filled(stored, rendered(template.body, values))


def _asked(conversation: Conversation, given: Mapping[str, Any]) -> MessageTemplate:
    rows = MessageTemplate.objects.filter(account=conversation.channel_id)
    ref, name, language = (
        str(given.get(key) or "").replace("\x00", "") for key in ("ref", "name", "language")
    )
    if ref:
        found = list(rows.filter(ref=ref))
    else:
        found = [one for one in rows.filter(name=name) if language in ("", one.language)] if name else []
    if not found:
        raise Unfit({"template": [_("This channel has no such template.")]})
    return min(found, key=lambda one: _distance(one.language, conversation))


def rendered(body: str, values: Mapping[str, str]) -> str:
    """The words with the values in; braces that come from a value stay as they are."""
    return VARIABLE.sub(lambda blank: values.get(blank[1]) or blank[0], body)


def _one_line(value: Any) -> str:
    """Platforms refuse line breaks, tabs and runs of spaces inside a variable."""
    return " ".join(str(value).replace("\x00", "").split())[:LONGEST_VALUE] if value not in (None, "") else ""
