"""Admin pages of channels: settings and write-only secrets.

`conversations.admin` registers them, with what it adds from above: receptions, the raw inbox, its replay.
"""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin_base import TenantAdmin, TenantForm, asks, col, refused, told
from accounts.roles import Action
from channels_hub import registry
from channels_hub.contract import Adapter
from channels_hub.http import Client
from channels_hub.models import ChannelAccount
from channels_hub.vocabulary import Outcome, SendResult

CONFIG, SECRET = "config_", "secret_"


class WriteOnlyTextarea(UnfoldAdminTextareaWidget):
    """Never shows its value, not even what was just typed when the form comes back with an error."""

    def format_value(self, value: Any) -> str:
        return ""


def adapter_of(account: ChannelAccount | None) -> type[Adapter] | None:
    """The adapter of a channel; None when this installation no longer has it."""
    if account is None or account.kind not in registry.kinds():
        return None
    return registry.adapter_class(account.kind)


def kinds() -> list[tuple[str, str]]:
    return [(kind, registry.adapter_class(kind).label) for kind in registry.kinds()]


def _object(text: str) -> dict[str, Any]:
    """A JSON object from a text field. Raises ValidationError."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise ValidationError(_("This is not JSON: %s") % error) from error
    if not isinstance(value, dict):
        raise ValidationError(_("A JSON object is needed, for example {}."))
    return value


class NewChannelForm(TenantForm):
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=kinds, widget=UnfoldAdminSelectWidget)


class ChannelForm(TenantForm):
    """Settings and secrets of one channel. Secrets only go in: an empty field keeps what is stored."""

    other_config = forms.CharField(
        label=gettext_lazy("Other settings (JSON)"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "class": "code-area"}),
    )
    other_secrets = forms.CharField(
        label=gettext_lazy("Other secrets (JSON)"),
        required=False,
        widget=WriteOnlyTextarea(attrs={"rows": 2, "autocomplete": "off"}),
        help_text=gettext_lazy(
            "For example {“name”: “value”}; null removes one. What is stored is never shown again."
        ),
    )
    stored_in = {"other_config": "config", "other_secrets": "secrets"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = dict(self.instance.config)
        for name in self.names(CONFIG):
            self.initial[CONFIG + name] = config.pop(name, "")
        self.initial["other_config"] = json.dumps(config, indent=2, ensure_ascii=False) if config else ""

    @classmethod
    def names(cls, prefix: str) -> list[str]:
        """The settings or secrets that have a field of their own."""
        fields = cls.base_fields
        return [name.removeprefix(prefix) for name in fields if name.startswith(prefix)]

    def clean_other_config(self) -> str:
        self.config = _object(self.cleaned_data["other_config"])
        return self.cleaned_data["other_config"]

    def clean_other_secrets(self) -> str:
        given = _object(self.cleaned_data["other_secrets"])
        if not all(value is None or isinstance(value, str) for value in given.values()):
            raise ValidationError(_("Each secret is a text, or null to remove it."))
        self.given = given
        return self.cleaned_data["other_secrets"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        own = {name: data[CONFIG + name] for name in self.names(CONFIG) if data[CONFIG + name]}
        typed = {name: data[SECRET + name] for name in self.names(SECRET) if data[SECRET + name]}
        secrets = self.instance.secrets | self.given | typed
        self.instance.config = self.config | own
        self.instance.secrets = {name: value for name, value in secrets.items() if value is not None}
        if data.get("is_active") and (missing := self._missing()):
            raise ValidationError(_("Before the channel can be active, enter: %s") % ", ".join(missing))
        return data

    def _missing(self) -> list[str]:
        adapter = adapter_of(self.instance)
        if adapter is None:
            return []
        config = [name for name in adapter.required_config if not self.instance.config.get(name)]
        return config + [name for name in adapter.required_secrets if not self.instance.secrets.get(name)]


def form_for(account: ChannelAccount) -> type[ChannelForm]:
    """The form of one kind of channel: a field per setting and secret its adapter asks for."""
    adapter = adapter_of(account)
    config = adapter.required_config if adapter else ()
    secrets = sorted({*(adapter.required_secrets if adapter else ()), *account.has_secrets()})
    fields: dict[str, Any] = {}
    for name in config:
        fields[CONFIG + name] = forms.CharField(label=name, required=False, widget=UnfoldAdminTextInputWidget)
    for name in secrets:
        known = name in account.has_secrets()
        fields[SECRET + name] = forms.CharField(
            label=name,
            required=False,
            strip=True,
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
            help_text=_("Set. Empty keeps it.") if known else _("Not set."),
        )
    stored = dict.fromkeys([CONFIG + name for name in config], "config")
    stored |= dict.fromkeys([SECRET + name for name in secrets], "secrets")
    return type("AccountForm", (ChannelForm,), {**fields, "stored_in": ChannelForm.stored_in | stored})


class ChannelAdmin(TenantAdmin):
    view_action = Action.READ_CHANNELS
    change_action = Action.EDIT_CHANNELS
    addable = True
    heard = col("last_inbound_at", gettext_lazy("Last heard from"))
    health_fields = (
        col("health", gettext_lazy("Health")),
        col("health_detail", gettext_lazy("What is wrong")),
        col("health_at", gettext_lazy("As of")),
        heard,
    )
    list_display = ("name", "kind_name", "address", "is_active", "health_label", heard)
    list_filter = ("is_active", "health")
    search_fields = ("name", "address")
    ordering = ("name", "id")
    readonly_fields = ("kind_name", "webhook", "secrets_set", *health_fields)
    actions_detail = ("check_connection",)

    # ------------------------------------------------------------------ form
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewChannelForm
        elif self.has_change_permission(request, obj):
            kwargs["form"] = form_for(obj)
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: ChannelAccount | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("kind", "name", "address")})]
        fieldsets = [
            (None, {"fields": ("name", "kind_name", "address", "is_active", "webhook")}),
            (gettext_lazy("Health"), {"fields": self.health_fields}),
        ]
        if not self.has_change_permission(request, obj):
            return [*fieldsets, (gettext_lazy("Secrets"), {"fields": ("secrets_set",)})]
        form = form_for(obj)
        config = [CONFIG + name for name in form.names(CONFIG)]
        secrets = [SECRET + name for name in form.names(SECRET)]
        settings = (gettext_lazy("Settings"), {"fields": (*config, "other_config")})
        write_only = {
            "fields": (*secrets, "other_secrets"),
            "description": _("Write-only: what is stored is never shown again."),
        }
        return [fieldsets[0], settings, (gettext_lazy("Secrets"), write_only), fieldsets[1]]

    def get_readonly_fields(self, request: HttpRequest, obj: ChannelAccount | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: ChannelAccount, form: Any, change: bool) -> None:
        adapter = adapter_of(obj)
        if not change and adapter and adapter.required_secrets:
            obj.is_active = False  # until they are there
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """A new channel goes on to its settings and secrets, which depend on its kind."""
        told(request, _("The channel was created. Enter its settings and secrets, then switch it on."))
        return self.back(request, obj)

    # ------------------------------------------------------------------ acts
    @asks(
        gettext_lazy("Test the connection"),
        permission="change",
        icon="network_check",
        description=gettext_lazy(
            "Asks the platform whether the stored credentials work. Sends nothing to anybody."
        ),
    )
    def check_connection(self, request: HttpRequest, form: Any, account: ChannelAccount) -> None:
        """Not in a transaction: it calls the platform."""
        if adapter_of(account) is None:
            refused(request, _("This installation has no adapter for this kind of channel."))
            return
        client = Client()
        try:
            result = registry.adapter_for(account).check(client, account.secrets)
        finally:
            client.close()
        self._remember(request, account, result)

    def _remember(self, request: HttpRequest, account: ChannelAccount, result: SendResult) -> None:
        if result.outcome is Outcome.ACCEPTED:
            account.mark(ChannelAccount.Health.OK)
            told(request, _("The platform accepts the credentials."))
        else:
            detail = " ".join(part for part in (result.code, result.detail) if part)
            account.mark(ChannelAccount.Health.ATTENTION, detail)
            explained = registry.adapter_for(account).explain(result.code)
            refused(request, " ".join([_("The connection does not work: %s") % detail, explained]).strip())
        self.note(request, "checked", account)

    # ------------------------------------------------------------------ columns
    @display(description=gettext_lazy("Kind"), ordering="kind")
    def kind_name(self, account: ChannelAccount) -> str:
        adapter = adapter_of(account)
        return adapter.label if adapter else account.kind

    @display(description=gettext_lazy("Webhook address"))
    def webhook(self, account: ChannelAccount) -> str:
        adapter = adapter_of(account)
        return account.webhook_url() + adapter.webhook_options if adapter else "-"

    @display(description=gettext_lazy("Stored secrets"))
    def secrets_set(self, account: ChannelAccount) -> str:
        return ", ".join(account.has_secrets()) or _("none")

    @display(
        description=gettext_lazy("Health"),
        ordering="health",
        label={"ok": "success", "attention": "danger", "unknown": "info"},
    )
    def health_label(self, account: ChannelAccount) -> tuple[str, str]:
        return account.health, account.get_health_display()
