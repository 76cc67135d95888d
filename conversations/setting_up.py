"""Is a channel set up, and if not, what is wrong? Our own facts and what the platform just said, in words."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Count
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from channels_hub.contract import Adapter, Found, Outcome, SendResult, State
from channels_hub.http import is_public
from channels_hub.models import ChannelAccount
from channels_hub.registry import adapter_for
from conversations import troubles
from conversations.models import Delivery, Pace

LATELY = timedelta(days=7)
REFUSED_LATELY = timedelta(days=1)
MOST_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` is None where nobody knows yet."""

    ok: bool | None
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the platform said just now, as far as it was asked."""

    result: SendResult | None = None
    found: Found | None = None


def missing(account: ChannelAccount) -> list[str]:
    """The titles of what must be entered before the platform can be asked."""
    adapter, known = adapter_for(account), account.keys()
    titles = {**adapter.setup.config, **adapter.setup.secrets} if adapter.setup else {}
    lacking = [name for name in adapter.required_config if not account.config.get(name)]
    lacking += [name for name in adapter.required_secrets if not known.get(name)]
    return [str(titles.get(name, name)) for name in lacking]


def sender_of(account: ChannelAccount) -> str:
    """The address that customers see, or the pool of senders behind it."""
    setup = adapter_for(account).setup
    return account.address or str(account.config.get(setup.service) or "" if setup else "")


def checks(account: ChannelAccount, asked: Asked, *, host: str, now: datetime) -> list[Check]:
    """Everything that can be wrong, in the order in which it is put right."""
    adapter = adapter_for(account)
    platform = adapter.setup.platform if adapter.setup else adapter.label
    found = [
        _credentials(account, adapter, platform, asked.result),
        _sender(account),
        _public_url(platform, host),
        *_addresses(platform, asked.found),
        _switched_on(account),
        _signatures(account, now),
        _heard(account),
        *_rest(account, platform, now),
        *_failures(account, adapter, now),
    ]
    return found


def _credentials(
    account: ChannelAccount, adapter: Adapter, platform: str, result: SendResult | None
) -> Check:
    if lacking := missing(account):
        return Check(False, _("Still to be entered: %s") % ", ".join(lacking))
    if result is None and account.health == ChannelAccount.Health.UNKNOWN:
        return Check(None, _("The credentials were not tested yet."), _("Press “Check everything”."))
    if (result is None and account.health == ChannelAccount.Health.OK) or (
        result is not None and result.outcome is Outcome.ACCEPTED
    ):
        return Check(True, _("%s accepts the credentials.") % platform)
    code = result.code if result else account.health_detail.partition(" ")[0]
    text = _("%(platform)s says: %(detail)s") % {"platform": platform, "detail": account.health_detail}
    return Check(False, text, adapter.explain(code))


def _sender(account: ChannelAccount) -> Check:
    if sender := sender_of(account):
        return Check(True, _("Messages go out from %s.") % sender)
    return Check(False, _("No sender is chosen yet."))


def _public_url(platform: str, host: str) -> Check:
    public = urlsplit(settings.PUBLIC_URL)
    named = {"platform": platform, "url": settings.PUBLIC_URL, "host": host}
    if _is_private(public.hostname or ""):
        return Check(
            False,
            _("%(platform)s cannot reach %(url)s: that address is of this machine or network.") % named,
            _("Set PUBLIC_URL to the address under which the internet sees this desk."),
        )
    if public.scheme != "https":
        return Check(False, _("%(url)s is not encrypted.") % named, _("Give PUBLIC_URL an https:// address."))
    if host != public.netloc:
        return Check(
            None,
            _("You opened this page at %(host)s, but PUBLIC_URL says %(url)s.") % named,
            _("Signatures are made over PUBLIC_URL: behind a proxy it must be what the platform calls."),
        )
    return Check(True, _("%(platform)s can reach this desk at %(url)s.") % named)


def _is_private(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
    return not is_public(host)


def _addresses(platform: str, found: Found | None) -> Iterator[Check]:
    if found is None:
        return
    told = [hook for hook in found.hooks if hook.found is not None]
    if not told:
        yield Check(None, _("What %s calls now cannot be read.") % platform, str(found.note))
    elif all(hook.is_set for hook in told):
        yield Check(True, _("%s calls the right addresses.") % platform, str(found.note))
    else:
        advice = _("Press “Set it for me”, or paste the addresses at the platform.")
        yield Check(False, _("%s does not call this desk yet.") % platform, advice)


def _switched_on(account: ChannelAccount) -> Check:
    if account.is_active:
        return Check(True, _("The channel is switched on."))
    return Check(False, _("The channel is switched off."), _("Switch it on when the rest is fine."))


def _signatures(account: ChannelAccount, now: datetime) -> Check:
    refused, heard = account.refused_at, account.last_inbound_at
    if refused is None or refused < now - REFUSED_LATELY or (heard and heard > refused):
        return Check(True, _("No call with a wrong signature lately."))
    return Check(
        False,
        _("A call with a wrong signature came on %s.") % _when(refused),
        _("Either the auth token is of another account, or PUBLIC_URL is not exactly what is called."),
    )


def _heard(account: ChannelAccount) -> Check:
    if account.last_inbound_at:
        return Check(True, _("Last heard from a customer on %s.") % _when(account.last_inbound_at))
    return Check(None, _("No message came in yet."), _("Write one to the sender from your own phone."))


def _rest(account: ChannelAccount, platform: str, now: datetime) -> Iterator[Check]:
    pace = Pace.objects.filter(channel=account).first()
    if pace is None or pace.rests_until is None or pace.rests_until <= now:
        return
    because = {
        "unreachable": _("%s could not be reached several times in a row. It is tried again by itself."),
        "rate_limited": _("%s asked to send more slowly. It goes on by itself."),
    }.get(pace.rests_because, "")
    text = _("Sending rests until %s.") % _when(pace.rests_until)
    yield Check(False, text, because % platform if because else "")


def _failures(account: ChannelAccount, adapter: Adapter, now: datetime) -> Iterator[Check]:
    rows = Delivery.objects.filter(
        organization_id=account.organization_id, channel=account, status=State.FAILED,
        settled_at__gte=now - LATELY,
    )  # fmt: skip
    codes = rows.values_list("error_code").annotate(n=Count("pk")).order_by("-n", "error_code")
    found = list(codes[:MOST_ERRORS])
    if not found:
        yield Check(True, _("Nothing failed in the last 7 days."))
    for code, count in found:
        told: dict[str, Any] = {"count": count, "code": code}
        text = ngettext(
            "%(count)d message failed in the last 7 days: %(code)s",
            "%(count)d messages failed in the last 7 days: %(code)s",
            count,
        )
        advice = adapter.explain(code) or troubles.meaning(code, str(adapter.outcome_of(code)))
        yield Check(False, text % told, advice)


def _when(moment: datetime) -> str:
    return str(date_format(localtime(moment), "SHORT_DATETIME_FORMAT"))
