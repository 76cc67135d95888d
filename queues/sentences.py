"""Sentences of the deciding code: marked here, put into people's language where they are shown. Pure."""

from __future__ import annotations


def gettext_noop(msgid: str) -> str:
    """Mark a sentence for translation; deciding code may not know Django."""
    return msgid


class Unreadable(ValueError):
    """Something that was written down can't be read; the sentence says where and what to write instead."""

    def __init__(self, text: str, **params: object) -> None:
        super().__init__(text % params if params else text)
        self.text, self.params = text, params
