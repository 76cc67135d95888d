"""Who may do what. One table, read by pages, admin and API alike."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    VIEWER = "viewer"


class Action(StrEnum):
    READ_CONVERSATIONS = "conversations.read"
    ANSWER = "conversations.answer"  # pull, claim, reply, close, transfer, give back to the bot
    ASSIGN = "conversations.assign"  # give a conversation to somebody else
    TAKE_OVER = "conversations.take_over"
    WRITE_NOTES = "notes.write"
    READ_CONTACTS = "contacts.read"
    EDIT_CONTACTS = "contacts.edit"
    READ_QUEUES = "queues.read"
    EDIT_QUEUES = "queues.edit"
    READ_PEOPLE = "people.read"
    EDIT_PEOPLE = "people.edit"  # roles, users
    EDIT_CAPACITY = "people.capacity"
    READ_FLOWS = "flows.read"
    EDIT_FLOWS = "flows.edit"
    PUBLISH_FLOWS = "flows.publish"
    READ_CHANNELS = "channels.read"
    EDIT_CHANNELS = "channels.edit"  # with their secrets
    EDIT_API_KEYS = "api_keys.edit"
    EDIT_WEBHOOKS = "webhooks.edit"  # our own, with their secrets and what they were told
    SEND_DIRECT = "outbox.send"
    READ_OUTBOX = "outbox.read"
    REPLAY = "outbox.replay"  # raw inbox and outbox
    READ_FIGURES = "metrics.read"
    READ_AUDIT = "audit.read"
    USE_ADMIN = "admin.use"
    USE_SIMULATOR = "simulator.use"


_EVERYBODY = frozenset(Role)
_STAFF = frozenset({Role.OWNER, Role.ADMIN, Role.SUPERVISOR})
_HANDS = _STAFF | {Role.AGENT}
_TOP = frozenset({Role.OWNER, Role.ADMIN})

MATRIX: dict[Action, frozenset[Role]] = {
    Action.READ_CONVERSATIONS: _EVERYBODY,
    Action.ANSWER: _HANDS,
    Action.ASSIGN: _STAFF,
    Action.TAKE_OVER: _STAFF,
    Action.WRITE_NOTES: _HANDS,
    Action.READ_CONTACTS: _EVERYBODY,
    Action.EDIT_CONTACTS: _HANDS,
    Action.READ_QUEUES: _EVERYBODY,
    Action.EDIT_QUEUES: _STAFF,
    Action.READ_PEOPLE: _EVERYBODY,
    Action.EDIT_PEOPLE: _TOP,
    Action.EDIT_CAPACITY: _STAFF,
    Action.READ_FLOWS: _STAFF | {Role.VIEWER},
    Action.EDIT_FLOWS: _STAFF,
    Action.PUBLISH_FLOWS: _TOP,
    Action.READ_CHANNELS: _STAFF,
    Action.EDIT_CHANNELS: _TOP,
    Action.EDIT_API_KEYS: _TOP,
    Action.EDIT_WEBHOOKS: _TOP,
    Action.SEND_DIRECT: _STAFF,
    Action.READ_OUTBOX: _STAFF,
    Action.REPLAY: _STAFF,
    Action.READ_FIGURES: _EVERYBODY,
    Action.READ_AUDIT: _TOP,
    Action.USE_ADMIN: _STAFF,
    Action.USE_SIMULATOR: _HANDS,
}


def may(role: str | None, action: Action) -> bool:
    """Whether a role may do an action; no role may do nothing."""
    return role is not None and Role(role) in MATRIX[action]


def scope_of(action: Action) -> str:
    """The API-key scope that an action needs: `conversations:read` or `conversations:write`."""
    subject, _, verb = action.value.partition(".")
    return f"{subject}:{'read' if verb == 'read' else 'write'}"
