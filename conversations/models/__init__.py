"""The facts of the desk: conversations, messages, deliveries, the ledger, deadlines."""

from conversations.models.conversation import Conversation, ConversationQuerySet
from conversations.models.hooks import HookEvent, WebhookAttempt, WebhookEndpoint, WebhookMessage
from conversations.models.ledger import Deadline, Event
from conversations.models.outbox import DEAD, Attempt, DeadLetter, Delivery, Later, LaterFile, Pace, Receipt
from conversations.models.routing import Offer, Reception, RoutingDecision, Stay
from conversations.models.talk import Attachment, FlowRun, Message, Note
from conversations.states import OPEN_STATES, CloseReason, State

__all__ = [
    "DEAD", "OPEN_STATES", "Attachment", "Attempt", "CloseReason", "Conversation", "ConversationQuerySet",
    "DeadLetter", "Deadline", "Delivery", "Event", "FlowRun", "HookEvent", "Later", "LaterFile", "Message",
    "Note", "Offer", "Pace", "Receipt", "Reception", "RoutingDecision", "State", "Stay", "WebhookAttempt",
    "WebhookEndpoint", "WebhookMessage",
]  # fmt: skip
