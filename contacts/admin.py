"""Admin pages of contacts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from accounts.admin_base import TenantAdmin, TenantForm, TenantInline, asks, col, told
from accounts.roles import Action
from contacts.addresses import InvalidAddress, equivalence
from contacts.models import Contact, Identity


def matching(term: str) -> Q:
    """Contacts by a part of the name, or by a whole telephone number or e-mail in any spelling."""
    found = Q(name__icontains=term)
    for scheme in ("phone", "email"):
        try:
            same = Identity.objects.filter(scheme=scheme, equivalence=equivalence(scheme, term))
        except InvalidAddress:
            continue
        found |= Q(pk__in=same.values("contact_id"))
    return found


class IdentityInline(TenantInline):
    model = Identity
    view_action = Action.READ_CONTACTS
    fields = (
        col("scheme", gettext_lazy("Kind")),
        col("value", gettext_lazy("Address")),
        col("unreachable_at", gettext_lazy("Unreachable since")),
        col("created_at", gettext_lazy("Known since")),
    )
    hide_title = True
    readonly_fields = fields
    ordering = ("created_at", "id")
    per_page = 20


class ContactForm(TenantForm):
    def clean_fields(self) -> dict[str, Any]:
        value = self.cleaned_data["fields"]
        if not isinstance(value, dict):
            raise ValidationError(_("A JSON object with the contact's own fields, for example {}."))
        return value


@admin.register(Contact)
class ContactAdmin(TenantAdmin):
    view_action = Action.READ_CONTACTS
    change_action = Action.EDIT_CONTACTS
    form: type[forms.ModelForm] = ContactForm
    since = col("created_at", gettext_lazy("Known since"))
    list_display = ("__str__", "email", "language", "state", since)
    search_fields = ("name",)
    search_help_text = gettext_lazy("A part of the name, or a whole telephone number or e-mail")
    ordering = ("-created_at", "-id")
    readonly_fields = (
        col("blocked_at", gettext_lazy("Blocked since")),
        col("opted_out_at", gettext_lazy("Opted out since")),
        since,
    )
    fields = ("name", "email", "language", "fields", *readonly_fields)
    inlines = (IdentityInline,)
    actions_detail = ("block", "unblock")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Contact], search_term: str
    ) -> tuple[QuerySet[Contact], bool]:
        return (queryset.filter(matching(search_term.strip())) if search_term.strip() else queryset), False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Of blocking and unblocking only the one that makes sense."""
        blocked = Contact.objects.filter(pk=object_id, blocked_at__isnull=False).exists()
        useless = "contacts_contact_block" if blocked else "contacts_contact_unblock"
        return [one for one in super().get_actions_detail(request, object_id) if one.action_name != useless]

    @asks(
        gettext_lazy("Block"),
        permission="change",
        icon="block",
        description=gettext_lazy("What this contact writes is no longer taken in."),
    )
    def block(self, request: HttpRequest, form: Any, contact: Contact) -> None:
        if Contact.objects.filter(pk=contact.pk, blocked_at__isnull=True).update(blocked_at=Now()):
            self.note(request, "blocked", contact)
        told(request, _("The contact is blocked."))

    @asks(gettext_lazy("Unblock"), permission="change", icon="check")
    def unblock(self, request: HttpRequest, form: Any, contact: Contact) -> None:
        if Contact.objects.filter(pk=contact.pk, blocked_at__isnull=False).update(blocked_at=None):
            self.note(request, "unblocked", contact)
        told(request, _("The contact is not blocked."))

    @display(
        description=gettext_lazy("State"),
        label={"blocked": "danger", "opted_out": "warning", "fine": "success"},
    )
    def state(self, contact: Contact) -> tuple[str, str]:
        if contact.blocked_at:
            return "blocked", _("blocked")
        return ("opted_out", _("opted out")) if contact.opted_out_at else ("fine", _("reachable"))
