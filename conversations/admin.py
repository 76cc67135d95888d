"""Admin pages of conversations: read-only, moved only by the same verbs as everywhere, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.enums import ActionVariant

from accounts.admin_base import TenantForm, TenantInline, asks, col, may, refused, told
from accounts.roles import Action
from channels_hub import templates
from channels_hub.contract import MaybeSent, NotSent
from channels_hub.models import ChannelAccount
from contacts.admin import matching
from contacts.models import Contact
from conversations import (
    admin_agents,
    admin_dead,
    admin_hooks,
    admin_inbox,
    admin_index,
    admin_overflow,
    admin_records,
    admin_templates,
    handoff,
    selectors,
)
from conversations.admin_bulk import REFUSALS, BulkMixin, enter_line, why_not
from conversations.admin_dialogs import AssignDialog, CloseDialog, ReleaseDialog, TestDialog, TransferDialog
from conversations.admin_setup import SetUpAdmin
from conversations.admin_why import WhyAdmin
from conversations.models import Conversation, FlowRun, Reception
from flows.models import Flow
from queues.models import AgentProfile

__all__ = [
    "ConversationAdmin", "DeskChannelAdmin", "admin_agents", "admin_dead", "admin_hooks", "admin_inbox",
    "admin_index", "admin_overflow", "admin_records", "admin_templates",
]  # fmt: skip

MATCHES = 200  # contacts that a search looks into
STATE_COLOURS = {
    "pending": "danger",
    "bot": "info",
    "queued": "warning",
    "human_handoff": "success",
    "closed": "default",
}


# ---------------------------------------------------------------------- channels, with who receives
class ReceptionForm(TenantForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "default_flow" in self.fields:
            self.fields["default_flow"].queryset = Flow.objects.defer("draft").order_by("name")


class ReceptionInline(TenantInline):
    model = Reception
    form = ReceptionForm
    view_action = Action.READ_CHANNELS
    change_action = Action.EDIT_CHANNELS
    addable = deletable = True
    max_num = 1
    fields = ("default_flow", "default_queue")
    hide_title = True
    verbose_name = verbose_name_plural = gettext_lazy("Who receives a first message (a flow, else a queue)")


@admin.register(ChannelAccount)
class DeskChannelAdmin(SetUpAdmin):
    inlines = (ReceptionInline,)

    actions_detail = ("set_up", "check_connection", "send_test", "fetch_templates")

    def get_inlines(self, request: HttpRequest, obj: ChannelAccount | None) -> Any:
        return self.inlines if obj else ()

    @asks(
        gettext_lazy("Send a test message"),
        permission="change",
        icon="send",
        description=gettext_lazy("To a number of your own that wrote to this channel within 24 hours."),
        form=TestDialog,
    )
    def send_test(self, request: HttpRequest, form: TestDialog, account: ChannelAccount) -> None:
        if self.write_test(request, account, form.cleaned_data["phone"]):
            told(request, _("The test message is on its way. The outbox shows what becomes of it."))

    @asks(
        gettext_lazy("Fetch templates"),
        permission="change",
        icon="sync",
        description=gettext_lazy("Reads this channel's templates and their approval from the platform, now."),
    )
    def fetch_templates(self, request: HttpRequest, form: Any, account: ChannelAccount) -> None:
        """Not in a transaction: it calls the platform."""
        if not templates.has_templates(account):
            refused(request, _("This kind of channel has no templates."))
            return
        try:
            count = templates.sync(account)
        except (NotSent, MaybeSent) as error:
            refused(request, _("The platform did not give its list: %s") % error)
            return
        self.note(request, "templates_fetched", account)
        told(request, _("Templates at the platform: %d") % count)


# ---------------------------------------------------------------------- filters
class AgentFilter(DropdownFilter):
    title = gettext_lazy("agent")
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        agents = AgentProfile.objects.select_related("member__user").order_by("member__user__name")
        return [(str(agent.member_id), agent.member.name) for agent in agents]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        try:
            return queryset.filter(assigned_agent_id=UUID(self.value())) if self.value() else queryset
        except ValueError:
            return queryset.none()


# ---------------------------------------------------------------------- conversations
class RunInline(TenantInline):
    model = FlowRun
    view_action = Action.READ_CONVERSATIONS
    fields = (
        col("version", gettext_lazy("Version")),
        col("trigger", gettext_lazy("Started by")),
        col("started_at", gettext_lazy("Began")),
        col("ended_at", gettext_lazy("Ended")),
        col("outcome", gettext_lazy("Outcome")),
    )
    readonly_fields = fields
    hide_title = True
    ordering = ("-started_at",)
    per_page = 10
    tab = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlowRun]:
        return super().get_queryset(request).select_related("version").defer("state", "version__document")


@admin.register(Conversation)
class ConversationAdmin(BulkMixin, WhyAdmin):
    view_action = Action.READ_CONVERSATIONS
    contact = col("contact", gettext_lazy("Contact"))
    queue = col("queue", gettext_lazy("Queue"))
    agent = col("assigned_agent", gettext_lazy("Agent"))
    priority = col("queue_priority", gettext_lazy("Priority"))
    channel = col("channel", gettext_lazy("Channel"))
    unread = col("unread", gettext_lazy("Unread"))
    since = col("queued_at", gettext_lazy("Waiting since"))
    last = col("last_message_at", gettext_lazy("Last message"))
    list_display = (contact, "state_label", queue, agent, priority, channel, unread, since, last)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("queue", RelatedDropdownFilter),
        ("channel", RelatedDropdownFilter),
        AgentFilter,
    )
    list_select_related = ("contact", "queue", "channel", "assigned_agent__user")
    search_fields = ("contact__name",)
    search_help_text = gettext_lazy("The contact's name, or a whole telephone number or e-mail")
    ordering = ("-last_message_at", "-id")
    sortable_by = ()
    inlines = (admin_records.EventInline, RunInline)
    actions = BulkMixin.bulk_actions
    actions_row = ("transfer", "assign", "release", "close")
    actions_detail = ({"title": gettext_lazy("Move"), "icon": "move_down", "items": list(actions_row)},)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "contact_link",
                    col("identity", gettext_lazy("Address")),
                    col("state", gettext_lazy("State")),
                    col("close_reason", gettext_lazy("Closed because")),
                    queue,
                    priority,
                    agent,
                    col("flow", gettext_lazy("Flow")),
                    channel,
                    "records",
                )
            },
        ),
        (
            gettext_lazy("Times"),
            {
                "classes": ["tab"],
                "fields": (
                    col("created_at", gettext_lazy("Opened")),
                    last,
                    col("last_inbound_at", gettext_lazy("Last message of the customer")),
                    since,
                    col("waited_seconds", gettext_lazy("Waited, in seconds")),
                    col("handoff_at", gettext_lazy("Handed over")),
                    col("assigned_at", gettext_lazy("With the agent since")),
                    col("first_response_at", gettext_lazy("First answer")),
                    col("snoozed_until", gettext_lazy("Snoozed until")),
                    col("closed_at", gettext_lazy("Closed")),
                ),
            },
        ),
        (
            gettext_lazy("Inside"),
            {
                "classes": ["tab"],
                "fields": (
                    col("id", gettext_lazy("Id")),
                    col("seq", gettext_lazy("Ledger lines")),
                    unread,
                    col("bot_epoch", gettext_lazy("Bot's turn no.")),
                    col("extra_data", gettext_lazy("Details")),
                ),
            },
        ),
    )
    readonly_fields = tuple(name for _title, part in fieldsets for name in part["fields"])

    # ------------------------------------------------------------------ reading
    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        found = selectors.visible_to(request.member).select_related(
            "contact", "queue", "channel", "assigned_agent__user", "identity", "flow"
        )
        return found.defer("flow__draft", "channel__secrets", "channel__config").order_by(*self.ordering)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        """Through the contacts, so that no join runs over a million conversations."""
        if not (term := search_term.strip()):
            return queryset, False
        contacts = Contact.objects.filter(matching(term)).order_by("-created_at").values_list("pk", flat=True)
        return queryset.filter(contact_id__in=list(contacts[:MATCHES])), False

    # ------------------------------------------------------------------ permissions of the acts
    def has_answer_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.ANSWER)

    def has_assign_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.ASSIGN)

    # ------------------------------------------------------------------ acts on one
    def _move(
        self, request: HttpRequest, conversation: Conversation, verb: Callable[[], Any], done: str
    ) -> None:
        try:
            verb()
        except REFUSALS as error:
            refused(request, why_not(error, conversation))
        else:
            told(request, done)

    @asks(
        gettext_lazy("Close conversation"),
        permission="answer",
        form=CloseDialog,
        icon="check_circle",
        description=gettext_lazy("The next message of the contact opens a new conversation."),
    )
    def close(self, request: HttpRequest, form: CloseDialog, conversation: Conversation) -> None:
        reason = form.cleaned_data["reason"]
        self._move(
            request,
            conversation,
            lambda: handoff.close(conversation.pk, actor=request.member, reason=reason, cause="admin"),
            _("The conversation is closed."),
        )

    @asks(
        gettext_lazy("Transfer to a queue"),
        permission="answer",
        form=TransferDialog,
        icon="move_down",
        submit=gettext_lazy("Transfer"),
    )
    def transfer(self, request: HttpRequest, form: TransferDialog, conversation: Conversation) -> None:
        self._move(
            request,
            conversation,
            lambda: enter_line(conversation, form.cleaned_data, request.member),
            _("The conversation waits in a queue."),
        )

    @asks(
        gettext_lazy("Back to the bot"),
        permission="answer",
        form=ReleaseDialog,
        icon="smart_toy",
        variant=ActionVariant.DEFAULT,
    )
    def release(self, request: HttpRequest, form: ReleaseDialog, conversation: Conversation) -> None:
        flow = form.cleaned_data["flow"]
        self._move(
            request,
            conversation,
            lambda: handoff.release_to_bot(conversation.pk, actor=request.member, flow=flow, cause="admin"),
            _("The bot has the conversation."),
        )

    @asks(gettext_lazy("Assign to an agent"), permission="assign", form=AssignDialog, icon="person_add")
    def assign(self, request: HttpRequest, form: AssignDialog, conversation: Conversation) -> None:
        agent: AgentProfile = form.cleaned_data["agent"]
        self._move(
            request,
            conversation,
            lambda: handoff.assign_agent(
                conversation.pk,
                agent.member_id,
                actor=request.member,
                cause="admin",
                over_capacity=form.cleaned_data["over_capacity"],
            ),
            _("%(name)s has the conversation.") % {"name": agent.member.name},
        )

    # ------------------------------------------------------------------ columns
    @display(description=gettext_lazy("State"), ordering="state", label=STATE_COLOURS)
    def state_label(self, conversation: Conversation) -> tuple[str, str]:
        return str(conversation.state), conversation.get_state_display()

    @display(description=gettext_lazy("Contact"))
    def contact_link(self, conversation: Conversation) -> str:
        url = reverse("admin:contacts_contact_change", args=[conversation.contact_id])
        return format_html('<a href="{}" class="record-link">{}</a>', url, conversation.contact)

    @display(description=gettext_lazy("Records"))
    def records(self, conversation: Conversation) -> str:
        pages = (
            ("conversations_message", _("Messages")),
            ("conversations_delivery", _("Outbox")),
            ("conversations_event", _("Ledger")),
            ("conversations_deadline", _("Deadlines")),
            ("conversations_routingdecision", _("Routing decisions")),
        )
        links = [
            f"{reverse(f'admin:{name}_changelist')}?conversation={conversation.pk}" for name, _title in pages
        ]
        line = " · ".join('<a href="{}" class="record-link">{}</a>' for _page in pages)
        return format_html(
            line, *(part for link, page in zip(links, pages, strict=True) for part in (link, page[1]))
        )
