"""How urgent a conversation is."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Priority(models.IntegerChoices):
    """Priority of a conversation in its queue."""

    LOW = 10, _("low")
    NORMAL = 50, _("normal")
    HIGH = 80, _("high")
    URGENT = 100, _("urgent")


PRIORITY_BY_NAME = {"low": 10, "normal": 50, "high": 80, "urgent": 100}
