"""The facts of the desk: conversations, messages, deliveries, the ledger, deadlines."""

from conversations.models.conversation import Conversation, ConversationQuerySet
from conversations.models.hooks import HookEvent, WebhookAttempt, WebhookEndpoint, WebhookMessage
from conversations.models.ledger import Deadline, Event
from conversations.models.outbox import Attempt, Delivery, Later, Pace, Receipt
from conversations.models.routing import Offer, Reception, RoutingDecision, Stay
from conversations.models.talk import Attachment, FlowRun, Message, Note
from conversations.states import OPEN_STATES, CloseReason, State

__all__ = [
    "OPEN_STATES", "Attachment", "Attempt", "CloseReason", "Conversation", "ConversationQuerySet",
    "Deadline", "Delivery", "Event", "FlowRun", "HookEvent", "Later", "Message", "Note", "Offer", "Pace",
    "Receipt", "Reception", "RoutingDecision", "State", "Stay", "WebhookAttempt", "WebhookEndpoint",
    "WebhookMessage",
]  # fmt: skip
