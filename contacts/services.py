"""Recognising people: from the addresses of a message to one contact."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from contacts.addresses import canonical, equivalence
from contacts.models import Contact, Identity


@dataclass(frozen=True, slots=True)
class KnownBy:
    """An address as a platform gave it."""

    scheme: str
    value: str
    raw: str = ""


def recognise(
    organization_id: UUID, addresses: Sequence[KnownBy], *, name: str = "", language: str = ""
) -> tuple[Contact, Identity]:
    """The contact behind these addresses, made when nobody is known by any of them.

    Call inside a transaction: an advisory lock per address lets exactly one of several first messages
    make the contact. New spellings and second addresses (a business-scoped id beside a phone) are
    attached to the contact found. When they point at two contacts nothing is linked: the first address wins.
    Returns the contact and the identity of the first address. Raises InvalidAddress.
    """
    keys = [(a.scheme, equivalence(a.scheme, a.value)) for a in addresses]
    _lock_addresses(organization_id, keys)
    known = {
        (i.scheme, i.equivalence): i
        for i in Identity.objects.filter(
            scheme__in={k[0] for k in keys}, equivalence__in={k[1] for k in keys}
        ).select_related("contact")
    }
    found = [known[key] for key in keys if key in known]
    contact = found[0].contact if found else _new_contact(organization_id, name, language)
    for address, key in zip(addresses, keys, strict=True):
        if key not in known:
            known[key] = Identity.objects.create(
                organization_id=organization_id,
                contact=contact,
                scheme=address.scheme,
                value=canonical(address.scheme, address.value),
                raw=address.raw or address.value,
                equivalence=key[1],
            )
    _refresh_name(contact, name)
    first = known[keys[0]]
    _refresh_raw(first, addresses[0])
    return contact, first


def _new_contact(organization_id: UUID, name: str, language: str) -> Contact:
    return Contact.objects.create(organization_id=organization_id, name=name[:200], language=language[:10])


def _refresh_name(contact: Contact, name: str) -> None:
    """A profile name fills an empty name; what a colleague typed is never overwritten."""
    if name and not contact.name:
        contact.name = name[:200]
        contact.save(update_fields=["name"])


def _refresh_raw(identity: Identity, address: KnownBy) -> None:
    """The spelling that the platform used last is the one that goes back on the wire."""
    if address.raw and identity.raw != address.raw:
        identity.raw = address.raw
        identity.save(update_fields=["raw"])


def _lock_addresses(organization_id: UUID, keys: Sequence[tuple[str, str]]) -> None:
    """Where no row exists yet there is nothing to lock: lock the address itself, in a fixed order."""
    numbers = sorted(
        int.from_bytes(hashlib.sha256(f"{organization_id}|{s}|{v}".encode()).digest()[:8], "big", signed=True)
        for s, v in keys
    )
    with connection.cursor() as cursor:
        for number in numbers:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
