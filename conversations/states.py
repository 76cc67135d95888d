"""The words for where a conversation stands and why it ended."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    PENDING = "pending", _("pending")  # the contact wrote, nothing handled it yet
    BOT = "bot", _("bot")
    QUEUED = "queued", _("queued")
    HUMAN_HANDOFF = "human_handoff", _("with an agent")
    CLOSED = "closed", _("closed")


OPEN_STATES = (State.PENDING, State.BOT, State.QUEUED, State.HUMAN_HANDOFF)


class CloseReason(models.TextChoices):
    AGENT = "agent", _("closed by an agent")
    BOT_DONE = "bot_done", _("finished by the bot")
    EXPIRED = "expired", _("the customer stopped answering the bot")
    ABANDONED = "abandoned", _("gave up waiting")
    OUT_OF_HOURS = "out_of_hours", _("written outside opening hours")
    SPAM = "spam", _("spam")
    MERGED = "merged", _("merged")
    ERASED = "erased", _("erased")
