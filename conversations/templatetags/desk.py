"""Template tags of the pages: icons, the viewer's theme, the number on an error page."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils import translation
from django.utils.html import format_html

from accounts.roles import Action
from channels_hub.models import ChannelAccount
from channels_hub.uploads import Carries, carried_by
from conversations.pages import initials

logger = logging.getLogger(__name__)
register = template.Library()
THEMES = ("light", "dark")


@register.simple_tag
def icon(name: str, css: str = "") -> str:
    """A symbol of the sprite; always beside a text or a label, so it is hidden from readers."""
    return format_html(
        '<svg class="i {}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        css,
        static("inbox/i.svg"),
        name,
    )


@register.simple_tag
def carries(channel: ChannelAccount) -> Carries:
    """What may be attached to an answer on this channel."""
    return carried_by(channel)


@register.simple_tag(takes_context=True)
def theme(context: template.Context) -> str:
    """light or dark when the person chose one, else empty: the system decides."""
    request = context.get("request")
    chosen = request.COOKIES.get("theme", "") if request else ""
    return chosen if chosen in THEMES else ""


@register.simple_tag(takes_context=True)
def viewer(context: template.Context) -> dict[str, Any]:
    """Who looks at the page and which ways the rail may offer; asks the database nothing."""
    member = context["request"].member
    return {
        "member": member,
        "initials": initials(member.name),
        "may_admin": member.may(Action.USE_ADMIN),
        "may_simulate": member.may(Action.USE_SIMULATOR),
        "may_answer": member.may(Action.ANSWER),
        "send_key": "ctrl-enter" if context["request"].COOKIES.get("send_key") == "ctrl-enter" else "enter",
    }


@register.simple_tag
def languages() -> list[tuple[str, str]]:
    return list(settings.LANGUAGES)


@register.simple_tag
def html_lang() -> str:
    """The page's language as HTML wants it: pt-BR."""
    return translation.to_locale(translation.get_language() or settings.LANGUAGE_CODE).replace("_", "-")


@register.simple_tag(takes_context=True)
def request_id(context: template.Context) -> str:
    """The number a person can quote from an error page; it stands beside the error in the log."""
    request: Any = context.get("request")
    given = request.headers.get("X-Request-ID", "") if request else ""
    number = given if re.fullmatch(r"[\w-]{8,64}", given) else secrets.token_hex(6)
    logger.warning("error page shown: request %s", number)
    return number
