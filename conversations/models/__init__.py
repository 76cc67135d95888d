"""The facts of the desk: conversations, messages, deliveries, the ledger, deadlines."""

from conversations.models.conversation import Conversation, ConversationQuerySet
from conversations.models.ledger import Deadline, Event
from conversations.models.outbox import Delivery
from conversations.models.routing import Offer, Reception, RoutingDecision, Stay
from conversations.models.talk import Attachment, FlowRun, Message, Note
from conversations.states import OPEN_STATES, CloseReason, State

__all__ = [
    "OPEN_STATES", "Attachment", "CloseReason", "Conversation", "ConversationQuerySet", "Deadline",
    "Delivery", "Event", "FlowRun", "Message", "Note", "Offer", "Reception", "RoutingDecision", "State",
    "Stay",
]  # fmt: skip
