"""The page with the phones, and what its forms and its poll do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages as notices
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import Membership
from accounts.roles import Action
from channels_hub.models import ChannelAccount
from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.simulator import api, platform, services
from channels_hub.simulator.forms import PLACES, MessageForm, PhoneForm, PhoneSwitches, PlatformSwitches

SHOWN = 60  # bubbles per phone
HERE = "simulator"  # which entry of the rail is the current one
View = Callable[..., HttpResponse]


def for_user(view: View) -> View:
    """Only people who may use the simulator, and only on their own organization's phone channel."""

    @wraps(view)
    def checked(request: HttpRequest, **where: Any) -> HttpResponse:
        member: Membership | None = getattr(request, "member", None)
        if member is None or not member.may(Action.USE_SIMULATOR):
            raise PermissionDenied
        return view(request, platform.account_of_scope(), **where)

    return login_required(checked)


def for_phone(view: View) -> View:
    """The same, with the phone of the URL; 404 for any other organization's."""

    @wraps(view)
    def found(
        request: HttpRequest, account: ChannelAccount | None, *, phone_id: UUID, **where: Any
    ) -> HttpResponse:
        phone = get_object_or_404(SimPhone, pk=phone_id, account=account)
        return view(request, account, phone, **where)

    return for_user(found)


# ------------------------------------------------------------------ page
@require_GET
@for_user
def page(request: HttpRequest, account: ChannelAccount | None) -> HttpResponse:
    if account is None:
        return render(request, "simulator/no_channel.html", {"here": HERE})
    phones = [_shown(phone) for phone in account.phones.all()]
    context = {
        "here": HERE,
        "account": account,
        "phones": phones,
        "full": len(phones) >= services.MAX_PHONES,
        "places": PLACES,
        **_platform(account),
    }
    return render(request, "simulator/page.html", context)


def _platform(account: ChannelAccount) -> dict[str, Any]:
    switches = platform.switches_of(account)
    return {
        "switches": switches,
        "failures": platform.Failure.choices,
        "max_latency": platform.MAX_LATENCY_MS,
        "clock": platform.clock(account),
        "days_ahead": round(platform.offset(account) / platform.DAY),
        "is_failing": switches.failure != platform.Failure.NONE or switches.latency_ms > 0,
    }


def _shown(phone: SimPhone) -> dict[str, Any]:
    latest = phone.messages.defer("photo").order_by("-place")[:SHOWN]
    return {
        "phone": phone,
        "bubbles": _bubbles(reversed(latest)),
        "is_typing": _is_typing(phone),
        "revision": _stamp(phone),
    }


def _bubbles(messages: Iterable[SimMessage]) -> list[dict[str, Any]]:
    return [{"message": one, "is_list": services.is_list(one)} for one in messages]


def _is_typing(phone: SimPhone) -> bool:
    return phone.typing_until is not None and phone.typing_until > timezone.now()


# ------------------------------------------------------------------ poll
@require_POST
@for_user
def poll(request: HttpRequest, account: ChannelAccount | None) -> HttpResponse:
    """What changed on the phones that the page shows; showing and reading is confirmed to the desk.

    Takes {"phones": {id: revision}, "focused": id | null}, gives {"phones": [{"id", "revision", "html"}],
    "reload": whether phones came or went}.
    """
    try:
        known, focused = _seen(request.body)
    except (ValueError, TypeError, KeyError, AttributeError):
        return JsonResponse({"code": "content"}, status=400)
    if account is not None:
        services.confirm_all(account, focused)
    phones = list(account.phones.all()) if account else []
    changed = [phone for phone in phones if known.get(str(phone.pk)) != _stamp(phone)]
    return JsonResponse(
        {
            "phones": [_answer(phone, request) for phone in changed],
            "reload": set(known) != {str(phone.pk) for phone in phones},
        }
    )


def _seen(body: bytes) -> tuple[dict[str, str], UUID | None]:
    data = json.loads(body)
    focused = UUID(str(data["focused"])) if data.get("focused") else None
    return {str(key): str(value) for key, value in data["phones"].items()}, focused


def _stamp(phone: SimPhone) -> str:
    """Changes with everything the chat shows; "typing" ends by itself."""
    return f"{phone.revision}{'t' if _is_typing(phone) else ''}"


def _answer(phone: SimPhone, request: HttpRequest) -> dict[str, Any]:
    html = render_to_string("simulator/_chat.html", _shown(phone), request)
    return {"id": str(phone.pk), "revision": _stamp(phone), "html": html}


# ------------------------------------------------------------------ phones
@require_POST
@for_user
def add(request: HttpRequest, account: ChannelAccount | None) -> HttpResponse:
    form = PhoneForm(request.POST)
    if account is None or not form.is_valid():
        return _refuse(request, form, _("This phone cannot be added."))
    try:
        phone = services.add_phone(account, form.cleaned_data["name"])
    except services.TooMany:
        return _refuse(request, form, _("There is no room for another phone."))
    return _done(request, phone)


@require_POST
@for_phone
def remove(request: HttpRequest, account: ChannelAccount, phone: SimPhone) -> HttpResponse:
    """The phone and its chat go; what the desk received stays with the desk."""
    phone.delete()
    return _done(request)


@require_POST
@for_phone
def switch(request: HttpRequest, account: ChannelAccount, phone: SimPhone) -> HttpResponse:
    form = PhoneSwitches(request.POST)
    if not form.is_valid():
        return _refuse(request, form)
    services.set_phone(phone.pk, **form.cleaned_data)
    return _done(request, phone)


@require_POST
@for_phone
def say(request: HttpRequest, account: ChannelAccount, phone: SimPhone) -> HttpResponse:
    """The customer writes; answers what the desk's webhook answered."""
    form = MessageForm(request.POST, request.FILES)
    if not form.is_valid():
        return _refuse(request, form)
    written = _written(phone, form.cleaned_data)
    if written is None:
        return _refuse(request, form, _("This option is not on offer any more."))
    message, status = services.write(account, phone.pk, written)
    if _wants_json(request):
        answer = {"message_id": str(message.pk), "webhook_status": status}
        return JsonResponse(answer, status=status or 502)
    if message.state == SimMessage.State.FAILED:
        notices.error(request, _("The desk did not take the message (%(why)s).") % {"why": message.trouble})
    return _done(request, phone)


def _written(phone: SimPhone, data: dict[str, Any]) -> services.Written | None:
    """What the form says, in the words of the service; None for a choice that nobody offered."""
    if data["choice"]:
        message_id, option_id = data["choice"]
        option = services.option_of(phone, message_id, option_id)
        if option is None:
            return None
        return services.Written(text=option["title"], choice=option, reply_to=str(message_id))
    photo, photo_type = data["photo"] or (None, "")
    return services.Written(
        text=data["text"], location=PLACES.get(data["place"]), photo=photo, photo_type=photo_type
    )


@require_GET
@for_phone
def photo(
    request: HttpRequest, account: ChannelAccount, phone: SimPhone, *, message_id: UUID
) -> HttpResponse:
    return api.photo_response(phone.messages.filter(pk=message_id).first())


# ------------------------------------------------------------------ platform
@require_POST
@for_user
def set_platform(request: HttpRequest, account: ChannelAccount | None) -> HttpResponse:
    form = PlatformSwitches(request.POST)
    if account is None or not form.is_valid():
        return _refuse(request, form)
    platform.set_switches(account.pk, **form.cleaned_data)
    return _done(request)


@require_POST
@for_user
def set_clock(request: HttpRequest, account: ChannelAccount | None) -> HttpResponse:
    """`to=later` moves the platform 24 hours on, `to=now` back to the real time."""
    if account is None or request.POST.get("to") not in {"later", "now"}:
        return _refuse(request, PhoneForm())
    platform.move_clock(account.pk, platform.DAY if request.POST["to"] == "later" else None)
    return _done(request)


# ------------------------------------------------------------------ answers
def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def _done(request: HttpRequest, phone: SimPhone | None = None) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse({"ok": True})
    return redirect("/simulator/" + (f"#phone-{phone.pk}" if phone else ""))


def _refuse(request: HttpRequest, form: Form, why: str = "") -> HttpResponse:
    errors = [str(text) for listed in form.errors.values() for text in listed] if form.is_bound else []
    detail = why or " ".join(errors) or _("This did not work.")
    if _wants_json(request):
        return JsonResponse({"code": "invalid", "detail": detail}, status=422)
    notices.error(request, detail)
    return redirect("/simulator/")
