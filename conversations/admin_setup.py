"""The set-up page of a channel: credentials, sender, addresses to paste, a test message, what is wrong.

Nothing is asked of the platform but by a POST, and none of it inside a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from accounts.admin_base import refused, told
from channels_hub import registry
from channels_hub.admin import ChannelAdmin, adapter_of
from channels_hub.contract import Hook, MaybeSent, NotSent, Outcome
from channels_hub.http import Client
from channels_hub.models import ChannelAccount
from contacts.addresses import InvalidAddress
from conversations import outbox, setting_up, troubles
from conversations.admin_records import STATUS_COLOURS, STATUS_NAMES
from conversations.models import Message
from conversations.setting_up import Asked

CONFIG, SECRET = "config_", "secret_"
LED = "set_up"  # in the address of the form of a channel that goes on to its set-up page
FINAL = ("delivered", "read", "failed", "expired", "cancelled")
HOOK_NAMES: Mapping[str, Any] = {
    "inbound": gettext_lazy("When a message comes in"),
    "fallback": gettext_lazy("When that fails (fallback)"),
    "status": gettext_lazy("Status callback"),
}


class CredentialsForm(forms.Form):
    """A field per setting and secret. Secrets only go in: an empty field keeps what is stored."""

    def __init__(self, account: ChannelAccount, data: Any = None) -> None:
        super().__init__(data)
        setup, known = registry.adapter_class(account.kind).setup, account.has_secrets()
        for name, title in (setup.config if setup else {}).items():
            self.fields[CONFIG + name] = forms.CharField(
                label=title, required=False, initial=account.config.get(name, ""),
                widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
            )  # fmt: skip
        for name, title in (setup.secrets if setup else {}).items():
            self.fields[SECRET + name] = forms.CharField(
                label=title, required=False,
                widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
                help_text=_("Set. Empty keeps it.") if name in known else _("Not set."),
            )  # fmt: skip

    def store(self, account: ChannelAccount) -> None:
        given = {name: value.strip() for name, value in self.cleaned_data.items()}
        config = {name.removeprefix(CONFIG): text for name, text in given.items() if name.startswith(CONFIG)}
        secrets = {
            name.removeprefix(SECRET): text
            for name, text in given.items()
            if name.startswith(SECRET) and text
        }
        kept = {name: value for name, value in account.config.items() if name not in config}
        account.config = kept | {name: text for name, text in config.items() if text}
        account.secrets = account.keys() | secrets


class SenderForm(forms.Form):
    address = forms.CharField(
        label=gettext_lazy("Number or name"),
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
    )
    service = forms.CharField(
        label=gettext_lazy("Pool of senders (Messaging Service)"),
        required=False,
        max_length=64,
        widget=UnfoldAdminTextInputWidget,
    )


class PhoneForm(forms.Form):
    phone = forms.CharField(label=gettext_lazy("Phone number"), widget=UnfoldAdminTextInputWidget)


class SetUpAdmin(ChannelAdmin):
    """Channels, with the page that sets one up."""

    actions_list = ("set_up_new",)

    def has_set_up_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Where a kind of channel has such a page, for those who may change the channel."""
        if not self.has_change_permission(request):
            return False
        account = self.get_object(request, unquote(str(object_id)))
        adapter = adapter_of(account)
        return account is None or (adapter is not None and adapter.setup is not None)

    @action(
        description=gettext_lazy("Set up a channel"),
        url_path="set-up-new",
        permissions=["add"],
        icon="add_link",
    )
    def set_up_new(self, request: HttpRequest) -> HttpResponse:
        """A new channel goes on to its own set-up page."""
        kind = next(one for one in registry.kinds() if registry.adapter_class(one).setup)
        return redirect(f"{reverse('admin:channels_hub_channelaccount_add')}?kind={kind}&{LED}=1")

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        if LED not in request.GET or not registry.adapter_class(obj.kind).setup:
            return super().response_add(request, obj, post_url_continue)
        told(request, _("The channel was created. Three steps are left."))
        return redirect(_address(obj))

    @action(
        description=gettext_lazy("Set up"),
        url_path="set-up",
        permissions=["set_up"],
        icon="checklist",
        variant=ActionVariant.PRIMARY,
    )
    def set_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account = self.get_object(request, unquote(object_id))
        if account is None:
            raise Http404
        if request.method != "POST":
            return self._page(request, account)
        step = STEPS.get(request.POST.get("step", ""))
        answer = step(self, request, account) if step else Asked()
        return answer if isinstance(answer, HttpResponse) else self._page(request, account, answer)

    # ------------------------------------------------------------------ steps
    def _enter(self, request: HttpRequest, account: ChannelAccount) -> Asked:
        form = CredentialsForm(account, request.POST)
        if form.is_valid():
            form.store(account)
            self._save(request, account, ["config", "secrets"])
        return self._look(request, account)

    def _choose(self, request: HttpRequest, account: ChannelAccount) -> Asked:
        form, setup = SenderForm(request.POST), registry.adapter_class(account.kind).setup
        if not form.is_valid() or setup is None:
            return Asked()
        account.address = form.cleaned_data["address"].strip().removeprefix("whatsapp:")
        service = form.cleaned_data["service"].strip()
        kept = {name: value for name, value in account.config.items() if name != setup.service}
        account.config = kept | ({setup.service: service} if service else {})
        try:
            account.validate_constraints()
        except ValidationError:
            refused(request, _("Another channel has this sender already."))
            account.refresh_from_db()
        else:
            self._save(request, account, ["address", "config"])
        return self._look(request, account)

    def _look(self, request: HttpRequest, account: ChannelAccount) -> Asked:
        """The credentials first; only with good ones is the rest asked."""
        if setting_up.missing(account):
            return Asked()
        adapter, found = registry.adapter_for(account), None
        with closing(Client()) as client:
            result = adapter.check(client, account.keys())
            if result.outcome is Outcome.ACCEPTED:
                try:
                    found = adapter.look(client, account.keys())
                except (NotSent, MaybeSent) as error:
                    refused(request, _("The platform did not give its list: %s") % error)
        self._remember(request, account, result)
        return Asked(result, found)

    def _connect(self, request: HttpRequest, account: ChannelAccount) -> Asked:
        adapter = registry.adapter_for(account)
        with closing(Client()) as client:
            result = adapter.set_hooks(client, account.keys())
        if result.outcome is Outcome.ACCEPTED:
            self.note(request, "connected", account)
            told(request, _("The addresses are set at the platform."))
        else:
            why = adapter.explain(result.code) or f"{result.code} {result.detail}".strip()
            refused(request, _("The platform did not take the addresses: %s") % why)
        return self._look(request, account)

    def _switch_on(self, request: HttpRequest, account: ChannelAccount) -> Asked:
        if lacking := setting_up.missing(account):
            refused(request, _("Before the channel can be active, enter: %s") % ", ".join(lacking))
        else:
            account.is_active = True
            self._save(request, account, ["is_active"])
        return Asked()

    def _test(self, request: HttpRequest, account: ChannelAccount) -> HttpResponse | Asked:
        """By the outbox, as any other message: what works here works there."""
        form = PhoneForm(request.POST)
        phone = form.cleaned_data["phone"] if form.is_valid() else ""
        if (message := self.write_test(request, account, phone)) is None:
            return Asked()
        return redirect(f"{_address(account)}?test={message.pk}#test")

    def write_test(self, request: HttpRequest, account: ChannelAccount, phone: str) -> Message | None:
        try:
            message = outbox.add_message(
                phone, _("This is a test."), account.organization_id, account.pk, priority=5
            )
        except InvalidAddress:
            refused(request, _("This is no phone number: write it like +5511987654321."))
        except ChannelAccount.DoesNotExist:
            refused(request, _("Switch the channel on first."))
        else:
            self.note(request, "tested", account)
            return message
        return None

    def _save(self, request: HttpRequest, account: ChannelAccount, fields: list[str]) -> None:
        account.revision = F("revision") + 1
        account.save(update_fields=[*fields, "revision"])
        account.refresh_from_db(fields=["revision"])
        self.note(request, "changed", account, fields)

    # ------------------------------------------------------------------ page
    def _page(
        self, request: HttpRequest, account: ChannelAccount, asked: Asked | None = None
    ) -> HttpResponse:
        asked, adapter = asked or Asked(), registry.adapter_for(account)
        context: dict[str, Any] = {"original": account, "test": _test_of(request, account)}
        if "part" in request.GET:
            return TemplateResponse(request, "admin/channels_hub/test.html", context)
        setup, found = adapter.setup, asked.found
        hooks = found.hooks if found else [Hook(name, url) for name, url in adapter.hooks().items()]
        context |= {
            **self.admin_site.each_context(request),
            "title": _("Set up %s") % account,
            "subtitle": None,
            "opts": self.opts,
            "label": adapter.label,
            "platform": setup.platform if setup else "",
            "checks": setting_up.checks(account, asked, host=request.get_host(), now=timezone.now()),
            "credentials": CredentialsForm(account),
            "sender": SenderForm(initial=_sender_now(account)),
            "phone": PhoneForm(),
            "found": found,
            "hooks": [(HOOK_NAMES[hook.name], hook) for hook in hooks],
            "lacking": setting_up.missing(account),
        }
        return TemplateResponse(request, "admin/channels_hub/set_up.html", context)


Step = Callable[[SetUpAdmin, HttpRequest, ChannelAccount], HttpResponse | Asked]
STEPS: Mapping[str, Step] = {
    "credentials": SetUpAdmin._enter,
    "sender": SetUpAdmin._choose,
    "look": SetUpAdmin._look,
    "connect": SetUpAdmin._connect,
    "switch_on": SetUpAdmin._switch_on,
    "test": SetUpAdmin._test,
}


def _address(account: ChannelAccount) -> str:
    return reverse("admin:channels_hub_channelaccount_set_up", args=[account.pk])


def _sender_now(account: ChannelAccount) -> dict[str, Any]:
    setup = registry.adapter_class(account.kind).setup
    return {"address": account.address, "service": account.config.get(setup.service) if setup else ""}


def _test_of(request: HttpRequest, account: ChannelAccount) -> dict[str, Any] | None:
    """The test message that the address names, and how far it has come."""
    try:
        message = Message.objects.filter(channel=account, pk=UUID(request.GET["test"])).first()
    except (KeyError, ValueError):
        return None
    if message is None:
        return None
    code = message.error_code
    adapter = registry.adapter_for(account)
    return {
        "pk": message.pk,
        "status": STATUS_NAMES.get(message.status, message.status),
        "colour": STATUS_COLOURS.get(message.status, "info"),
        "is_final": message.status in FINAL,
        "code": code,
        "advice": adapter.explain(code) or troubles.meaning(code, str(adapter.outcome_of(code))),
    }
