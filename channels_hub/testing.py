"""What every adapter has to pass: inherit AdapterContract in a test class and fill in its names."""

# ruff: noqa: S101 - these are tests, kept here so that an adapter in another package can inherit them

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from channels_hub.contract import (
    Adapter,
    Address,
    BadPayload,
    BadSignature,
    Kind,
    Option,
    Outcome,
    OutMessage,
    RawRequest,
    measure,
)


class AdapterContract(ABC):
    """Recorded payloads in, promises checked. Every request a test builds is signed by `sign`."""

    adapter: ClassVar[Adapter]
    secrets: ClassVar[Mapping[str, str]]
    signature_header: ClassVar[str]
    answers: ClassVar[tuple[tuple[int, Any, Outcome], ...]]  # status, parsed body, what it means

    @abstractmethod
    def sign(self, request: RawRequest) -> RawRequest:
        """The request with a good signature."""

    @abstractmethod
    def recorded(self) -> list[RawRequest]:
        """Calls as the platform makes them, not signed yet."""

    @abstractmethod
    def unknown(self) -> RawRequest:
        """An event type that nobody has heard of."""

    @abstractmethod
    def unreadable(self) -> RawRequest:
        """A body that is not in the platform's format."""

    # -------------------------------------------------------------- signatures
    def test_recorded_requests_are_accepted(self) -> None:
        for request in self.recorded():
            self.adapter.verify(self.sign(request), self.secrets)

    def test_unsigned_requests_are_refused(self) -> None:
        for request in self.recorded():
            with pytest.raises(BadSignature):
                self.adapter.verify(request, self.secrets)

    def test_one_changed_byte_is_refused(self) -> None:
        for request in self.recorded():
            signed = self.sign(request)
            with pytest.raises(BadSignature):
                self.adapter.verify(replace(signed, body=signed.body[:-1] + b"~"), self.secrets)

    @pytest.mark.parametrize("value", ["", "é", "sha256=é", "AAAA", "v1,AAAA", "\x00", "x" * 9000])
    def test_nonsense_signatures_are_refused(self, value: str) -> None:
        signed = self.sign(self.recorded()[0])
        headers = {**signed.headers, self.signature_header: value}
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(signed, headers=headers), self.secrets)

    @pytest.mark.parametrize("value", ["", "whsec_", "another secret"])
    def test_an_empty_or_other_secret_never_matches(self, value: str) -> None:
        signed = self.sign(self.recorded()[0])
        with pytest.raises(BadSignature):
            self.adapter.verify(signed, dict.fromkeys(self.secrets, value))
        with pytest.raises(BadSignature):
            self.adapter.verify(signed, {})

    def test_a_get_is_no_event(self) -> None:
        with pytest.raises(BadSignature):
            self.adapter.verify(replace(self.sign(self.recorded()[0]), method="GET"), self.secrets)

    # -------------------------------------------------------------- events
    def test_the_same_request_twice_gives_the_same_keys(self) -> None:
        for request in self.recorded():
            once, twice = (list(self.adapter.parse(request)) for _time in range(2))
            assert once == twice
            assert [event.dedup_key for event in once] == [event.dedup_key for event in twice]

    def test_different_requests_have_different_keys(self) -> None:
        keys = [event.dedup_key for request in self.recorded() for event in self.adapter.parse(request)]
        assert len(keys) == len(set(keys))

    def test_times_are_aware_and_keys_are_there(self) -> None:
        for event in (event for request in self.recorded() for event in self.adapter.parse(request)):
            assert event.occurred_at.tzinfo
            assert event.dedup_key

    def test_messages_say_who_and_where(self) -> None:
        events = [event for request in self.recorded() for event in self.adapter.parse(request)]
        messages = [event for event in events if event.kind is Kind.MESSAGE]
        assert messages
        assert all(event.sender and event.sender.addresses and event.thread for event in messages)

    def test_an_unknown_event_is_a_notice(self) -> None:
        self.adapter.verify(self.sign(self.unknown()), self.secrets)
        assert [event.kind for event in self.adapter.parse(self.unknown())] == [Kind.NOTICE]

    def test_an_unreadable_body_is_a_bad_payload(self) -> None:
        self.adapter.verify(self.sign(self.unreadable()), self.secrets)
        with pytest.raises(BadPayload):
            list(self.adapter.parse(self.unreadable()))

    def test_every_request_gets_a_good_answer(self) -> None:
        for request in [*self.recorded(), self.unknown(), self.unreadable()]:
            assert 200 <= self.adapter.ack(request).status < 300

    # -------------------------------------------------------------- out
    def test_answers_mean_what_the_table_says(self) -> None:
        for status, body, outcome in self.answers:
            assert self.adapter.classify(status, {}, body).outcome is outcome, (status, body)

    def test_every_status_is_understood(self) -> None:
        for status in range(200, 600):
            found = self.adapter.classify(status, {}, b"<html>")
            assert found.outcome is not Outcome.ACCEPTED, "an answer without an id proves nothing"

    def test_long_text_is_split_and_options_come_last(self) -> None:
        caps = self.adapter.caps
        text = "Olá, tudo bem? 👋🏽 " * (caps.text_limit * 3 // 18)
        options = tuple(Option(str(number), f"Opção {number}") for number in range(3))
        parts = self.adapter.plan(
            OutMessage("ref", Address("phone", "+5511987654321"), text=text, options=options)
        )
        assert all(0 < measure(part.text, caps.text_unit) <= caps.text_limit for part in parts)
        assert "".join(part.text for part in parts).replace(" ", "").startswith(text.replace(" ", ""))
        assert not any(part.options for part in parts[:-1])
        assert len({part.client_ref for part in parts}) == len(parts)
