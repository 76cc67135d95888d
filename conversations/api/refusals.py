"""What the verbs raise, as answers: 409 for who was faster, 422 for what may not be said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_fsm import TransitionNotAllowed
from rest_framework.exceptions import NotFound

from accounts.problems import Problem
from conversations import bot, notices, templates
from conversations.api.shapes import MessageShape, messages_of
from conversations.attaching import NoSuchFile, NotReady
from conversations.handoff import Conflict, Full, NoQueue, OutOfHours
from conversations.models import Conversation, Message, State
from conversations.outbox import NotYours, Refused, StaleView, TooLate

WHY = {
    "window_closed": gettext_lazy("The messaging window is closed: only a template may be sent."),
    "blocked": gettext_lazy("This contact is blocked."),
    "opted_out": gettext_lazy("This contact does not want messages."),
    "channel_inactive": gettext_lazy("This channel is switched off."),
    "no_address": gettext_lazy("There is no address to send to."),
    "media_unsupported": gettext_lazy("This channel does not take this kind of file."),
    "template_unsupported": gettext_lazy("This channel has no template messages."),
}


@contextmanager
def refusals(conversation: Conversation | None = None) -> Iterator[None]:
    """Translate what verbs refuse; anything else passes. `conversation`: whose templates fit instead."""
    try:
        yield
    except Conflict as error:
        raise Problem(409, "conflict", str(error)) from error
    except TransitionNotAllowed as error:
        raise Problem(409, "conflict", _illegal(error)) from error
    except Full as error:
        raise Problem(409, "capacity", str(error)) from error
    except OutOfHours as error:
        opens = error.next_open.isoformat() if error.next_open else None
        raise Problem(409, "closed", notices.refusal(error), next_open=opens) from error
    except NotYours as error:
        raise not_yours() from error
    except NoQueue as error:
        raise Problem(422, "no_queue", _("This department has no active queue.")) from error
    except TooLate as error:
        raise Problem(409, "conflict", _("The message is past the point where this can be done.")) from error
    except NoSuchFile as error:
        raise NotFound from error
    except NotReady as error:
        raise _not_ready(error) from error
    except StaleView as error:
        raise _stale_view(error) from error
    except Refused as error:
        more = {"templates": _fitting(conversation)} if error.code == "window_closed" else {}
        text = WHY.get(error.code, _("This may not be sent."))
        raise Problem(422, error.code, text, **more) from error


def unfit(error: templates.Unfit) -> Problem:
    return Problem(422, "template_invalid", _("This template cannot be sent like this."), errors=error.errors)


def _fitting(conversation: Conversation | None) -> list[dict[str, Any]]:
    """What may be said while the window is closed, the variables filled in where they are known."""
    if conversation is None:
        return []
    learned = bot.variables_of(conversation)
    return [
        {
            "ref": one.ref,
            "name": one.name,
            "language": one.language,
            "category": one.category,
            "text": one.body,
            "body": templates.suggested(one, conversation, learned),
        }
        for one in templates.fitting(conversation)
    ]


def _illegal(error: TransitionNotAllowed) -> str:
    conversation = getattr(error, "object", None)
    state = State(conversation.state).label if conversation is not None else ""
    move = getattr(getattr(error, "method", None), "__name__", "")
    return _("“%(move)s” is not possible while the conversation is “%(state)s”.") % {
        "move": move,
        "state": state,
    }


def not_yours() -> Problem:
    return Problem(409, "not_yours", _("Only the agent who has the conversation does this."))


def _not_ready(error: NotReady) -> Problem:
    if error.pending:
        return Problem(409, "media_pending", _("A file is still being prepared. Try again in a moment."))
    return Problem(422, "media_unavailable", _("A file could not be read and cannot be sent."))


def _stale_view(error: StaleView) -> Problem:
    missed = messages_of(Message.objects.filter(pk__in=[m.pk for m in error.missed])).order_by("seq")
    text = _("A colleague answered meanwhile. Send again with force to answer all the same.")
    return Problem(409, "stale_view", text, missed=MessageShape(missed, many=True).data)
