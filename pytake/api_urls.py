"""Addresses of the REST API, under /api/v1/. Each answers with and without a slash at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.decorators import csp_replace
from django.urls import URLPattern
from django.urls.resolvers import RoutePattern
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts import api as accounts
from accounts.resources import NotHere, Resource
from channels_hub import api as channels
from contacts import api as contacts
from conversations.api import channels as receiving
from conversations.api import files, moves, offers, planning, reading, sending, talking, webhooks, why
from conversations.api import presence as attending
from conversations.api import queues as lines
from flows import api as flows
from queues import api as queues
from queues import api_calendars as calendars
from queues import api_sla as promises


class EitherSlash(RoutePattern):
    """A route that matches with and without a slash at its end."""

    def match(self, path: str) -> Any:
        return super().match(path.removesuffix("/"))


def at(route: str, view: Callable[..., Any], name: str) -> URLPattern:
    return URLPattern(EitherSlash(route, name=name, is_endpoint=True), view, None, f"api-{name}")


def resource(route: str, views: type[Resource], word: str) -> list[URLPattern]:
    """The two addresses of a kind of object: all of them, and one."""
    one = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}
    return [
        at(route, views.as_view({"get": "list", "post": "create"}), f"{word}s"),
        at(f"{route}/<uuid:pk>", views.as_view(one), word),
    ]


OPEN: dict[str, Any] = {"authentication_classes": (), "permission_classes": ()}
# The documentation page loads its own files only, but writes styles.
docs = csp_replace({"style-src": ["'self'", "'unsafe-inline'"]})(
    SpectacularSwaggerSplitView.as_view(url_name="api-schema", **OPEN)
)

urlpatterns = [
    at("schema", SpectacularAPIView.as_view(**OPEN), "schema"),
    at("docs", docs, "docs"),
    # Auth and the caller
    at("auth/token", accounts.TokenView.as_view(), "token"),
    at("auth/token/refresh", accounts.RefreshView.as_view(), "token-refresh"),
    at("auth/logout", accounts.LogoutView.as_view(), "logout"),
    at("me", accounts.MeView.as_view(), "me"),
    at("me/offers", offers.OffersView.as_view(), "offers"),
    at("me/presence", attending.PresenceView.as_view(), "presence"),
    # People
    *resource("departments", queues.Departments, "department"),
    *resource("members", queues.Members, "member"),
    at("members/<uuid:pk>/presence", attending.MemberPresenceView.as_view(), "member-presence"),
    *resource("break-reasons", queues.BreakReasons, "break-reason"),
    *resource("skills", queues.Skills, "skill"),
    *resource("api-keys", accounts.ApiKeys, "api-key"),
    *resource("calendars", calendars.Calendars, "calendar"),
    *resource("sla-policies", promises.SlaPolicies, "sla-policy"),
    at("desk-settings", promises.DeskSettingsView.as_view(), "desk-settings"),
    at("calendars/<uuid:pk>/explain", calendars.ExplainView.as_view(), "calendar-explain"),
    at("calendars/<uuid:pk>/import", calendars.ImportView.as_view(), "calendar-import"),
    # Channels
    *resource("channels", receiving.Channels, "channel"),
    at("channels/<uuid:pk>/test", channels.CheckView.as_view(), "channel-test"),
    at("channels/<uuid:pk>/health", channels.HealthView.as_view(), "channel-health"),
    # Contacts
    *resource("contacts", contacts.Contacts, "contact"),
    at("contacts/<uuid:pk>/identities", contacts.Identities.as_view(), "identities"),
    at("contacts/<uuid:pk>/identities/<uuid:identity>", contacts.IdentityView.as_view(), "identity"),
    at("contacts/<uuid:pk>/block", contacts.BlockView.as_view(), "contact-block"),
    # Conversations
    at("conversations", reading.Conversations.as_view(), "conversations"),
    at("conversations/lookup", reading.LookupView.as_view(), "conversation-lookup"),
    at("conversations/<uuid:pk>", reading.ConversationView.as_view(), "conversation"),
    at("conversations/<uuid:pk>/messages", talking.Messages.as_view(), "conversation-messages"),
    at("media", files.UploadView.as_view(), "media"),
    at("media/<uuid:pk>", files.FileView.as_view(), "file"),
    at("conversations/<uuid:pk>/notes", talking.Notes.as_view(), "conversation-notes"),
    at("conversations/<uuid:pk>/later", planning.Laters.as_view(), "conversation-laters"),
    at("conversations/<uuid:pk>/later/<uuid:later>", planning.LaterView.as_view(), "conversation-later"),
    at("conversations/<uuid:pk>/events", reading.Events.as_view(), "conversation-events"),
    at("conversations/<uuid:pk>/routing", reading.Routing.as_view(), "conversation-routing"),
    at("conversations/<uuid:pk>/why", why.WhyView.as_view(), "conversation-why"),
    at("conversations/<uuid:pk>/request-handoff", moves.RequestHandoffView.as_view(), "request-handoff"),
    at("conversations/<uuid:pk>/claim", moves.ClaimView.as_view(), "claim"),
    at("conversations/<uuid:pk>/take-over", moves.TakeOverView.as_view(), "take-over"),
    at("conversations/<uuid:pk>/assign", moves.AssignView.as_view(), "assign"),
    at("conversations/<uuid:pk>/transfer", moves.TransferView.as_view(), "transfer"),
    at("conversations/<uuid:pk>/release-to-bot", moves.ReleaseView.as_view(), "release-to-bot"),
    at("conversations/<uuid:pk>/close", moves.CloseView.as_view(), "close"),
    at("conversations/<uuid:pk>/priority", moves.PriorityView.as_view(), "priority"),
    at("conversations/<uuid:pk>/snooze", moves.SnoozeView.as_view(), "snooze"),
    at("conversations/<uuid:pk>/hold", moves.HoldView.as_view(), "hold"),
    at("conversations/<uuid:pk>/resume", moves.ResumeView.as_view(), "resume"),
    at("conversations/<uuid:pk>/decline", moves.DeclineView.as_view(), "decline"),
    # Queues
    *resource("queues", lines.Queues, "queue"),
    at("queues/<uuid:pk>/metrics", lines.MetricsView.as_view(), "queue-metrics"),
    at("queues/<uuid:pk>/expected-wait", lines.ExpectedWaitView.as_view(), "queue-expected-wait"),
    at("queue/pull", moves.PullView.as_view(), "pull"),
    # Flows
    *resource("flows", flows.Flows, "flow"),
    at("flows/<uuid:pk>/draft", flows.DraftView.as_view(), "flow-draft"),
    at("flows/<uuid:pk>/validate", flows.ValidateView.as_view(), "flow-validate"),
    at("flows/<uuid:pk>/publish", flows.PublishView.as_view(), "flow-publish"),
    at("flows/<uuid:pk>/versions", flows.Versions.as_view(), "flow-versions"),
    at("flows/<uuid:pk>/versions/<int:number>/restore", flows.RestoreView.as_view(), "flow-restore"),
    at("flows/<uuid:pk>/simulate", flows.SimulateView.as_view(), "flow-simulate"),
    # Outbox
    at("messages", sending.SendView.as_view(), "messages"),
    at("messages/<uuid:pk>", sending.MessageView.as_view(), "message"),
    at("messages/<uuid:pk>/retry", sending.RetryView.as_view(), "message-retry"),
    at("messages/<uuid:pk>/cancel", sending.CancelView.as_view(), "message-cancel"),
    at("outbox/stats", sending.StatsView.as_view(), "outbox-stats"),
    # Our own webhooks
    *resource("webhooks", webhooks.Webhooks, "webhook"),
    at("webhooks/<uuid:pk>/rotate-secret", webhooks.RotateView.as_view(), "webhook-rotate-secret"),
    at("webhooks/<uuid:pk>/test", webhooks.TestView.as_view(), "webhook-test"),
    at("webhooks/<uuid:pk>/messages", webhooks.WebhookMessages.as_view(), "webhook-messages"),
    at("webhooks/<uuid:pk>/messages/<uuid:message>/resend", webhooks.ResendView.as_view(), "webhook-resend"),
    # Everything else under /api/v1/ is refused in the API's own shape.
    at("<path:rest>", NotHere.as_view(), "nowhere"),
]
