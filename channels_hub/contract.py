"""What every channel adapter offers. Writing one is: subclass Adapter, add a line to CHANNEL_ADAPTERS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from channels_hub.content import (
    brazil_variants,
    clean,
    fit_options,
    measure,
    numbered,
    plan_parts,
    split_text,
)
from channels_hub.setup import Found, Hook, Sender, SetUp
from channels_hub.vocabulary import (
    BROKEN,
    FINAL,
    LADDER,
    RANK,
    AccountKey,
    Ack,
    Address,
    BadPayload,
    BadSignature,
    Capabilities,
    Choice,
    Delivery,
    HttpResponse,
    HttpStream,
    Identity,
    InboundEvent,
    Kind,
    Location,
    MaybeSent,
    MediaRef,
    MediaUnavailable,
    NotSent,
    Option,
    Outcome,
    OutMessage,
    PlatformTemplate,
    RawRequest,
    SendResult,
    State,
    Template,
    Thread,
    WindowMode,
    WindowRule,
    merge_state,
    whole_message,
)

__all__ = [
    "BROKEN", "FINAL", "LADDER", "RANK", "AccountKey", "Ack", "Adapter", "Address", "BadPayload",
    "BadSignature", "Capabilities", "Choice", "Delivery", "Found", "Hook", "Http", "HttpResponse",
    "HttpStream", "Identity", "InboundEvent", "Kind", "Location", "MaybeSent", "MediaRef",
    "MediaUnavailable", "NotSent", "Option", "OutMessage", "Outcome", "PlatformTemplate", "RawRequest",
    "SendResult", "Sender", "SetUp", "State", "Template", "Thread", "WindowMode", "WindowRule",
    "brazil_variants", "clean", "fit_options", "measure", "merge_state", "numbered", "plan_parts",
    "retry_after", "split_text", "whole_message",
]  # fmt: skip

Secrets = Mapping[str, str]


class Http(Protocol):
    """The outgoing client as an adapter sees it (`channels_hub.http.Client`). Raises NotSent or MaybeSent."""

    def request(self, method: str, url: str, **options: Any) -> HttpResponse: ...

    def stream(
        self, url: str, *, auth: Any = None, headers: Mapping[str, str] | None = None, redirects: int = 0
    ) -> HttpStream: ...


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, from a Retry-After header in either of its two forms."""
    value = headers.get("retry-after", "").strip()
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


class Adapter(ABC):
    """Translates between one platform and our words.

    Built per channel with its settings; secrets arrive as arguments, so that no test or log holds them.
    `verify`, `handshake`, `accounts`, `parse`, `ack` and `plan` are pure functions of their arguments;
    the others run in a worker.
    """

    kind: ClassVar[str]
    label: ClassVar[str]
    caps: ClassVar[Capabilities]
    window: ClassVar[WindowRule]
    url_kind: ClassVar[str] = ""  # first part of the webhook path; default: kind
    inbound_part: ClassVar[str] = ""  # last part of the webhook path that an admin enters at the platform
    kept_headers: ClassVar[tuple[str, ...]] = ("content-type",)  # what `parse` needs to see again
    required_config: ClassVar[tuple[str, ...]] = ()
    required_secrets: ClassVar[tuple[str, ...]] = ()
    allowed_media_hosts: ClassVar[tuple[str, ...]] = ()  # may receive our credentials, suffix on a dot
    api_base: ClassVar[str] = ""
    webhook_options: ClassVar[str] = ""  # what an admin enters behind the address of the webhook
    opt_out_codes: ClassVar[frozenset[str]] = frozenset()  # errors that say: this person wants no more
    once_codes: ClassVar[frozenset[str]] = frozenset()  # errors after which one more try tells enough
    setup: ClassVar[SetUp | None] = None  # what the set-up page asks for; None: the channel has no such page
    drain_task: ClassVar[str] = ""  # the job that workers of its own wait for; else the outbox's common one

    def __init__(self, config: Mapping[str, Any], address: str, *, callback_url: str = "") -> None:
        self.config = config
        self.address = address
        self.callback_url = callback_url  # public base of this channel's webhooks, ends with "/"

    # -------------------------------------------------------------- inbound
    @abstractmethod
    def verify(self, request: RawRequest, secrets: Secrets) -> None:
        """Raise BadSignature unless the platform signed this request."""

    def handshake(self, request: RawRequest, secrets: Secrets) -> Ack | None:
        """The answer when this request only proves that the URL is ours."""
        return None

    @classmethod
    def accounts(cls, request: RawRequest) -> tuple[AccountKey, ...]:
        """Whom an app-level URL was called for, as the body says; nothing is verified yet."""
        return ()

    @property
    def account_id(self) -> str:
        """This channel's id at the platform, to compare with AccountKey.account."""
        return ""

    @abstractmethod
    def parse(self, request: RawRequest) -> Iterator[InboundEvent]:
        """The events in a request, always in the same order; NOTICE for what needs no work."""

    def ack(self, request: RawRequest) -> Ack:
        """What the platform wants to hear once the events are stored."""
        return Ack()

    # -------------------------------------------------------------- outbound
    def plan(self, message: OutMessage) -> list[OutMessage]:
        """One platform call each."""
        return plan_parts(message, self.caps)

    @abstractmethod
    def send(self, part: OutMessage, http: Http, secrets: Secrets) -> SendResult:
        """Hand one part over. Never raises for what the network or the platform does."""

    @abstractmethod
    def classify(self, status: int, headers: Mapping[str, str], body: Any) -> SendResult:
        """What the platform's answer means."""

    def outcome_of(self, code: str) -> Outcome:
        """What an error code of a late status report means."""
        return Outcome.PERMANENT

    def wait_of(self, code: str) -> float | None:
        """Seconds that an error asks for where the platform's answer does not say; None: as one likes."""
        return None

    def explain(self, code: str) -> str:
        """What an admin can do about an error, in plain words; nothing where only the platform knows."""
        return ""

    def signal(self, what: str, thread: Thread, message_id: str, http: Http, secrets: Secrets) -> None:
        """Show "typing" or mark "read" where the platform can; a failure is of no consequence."""
        return None

    def open_media(self, ref: MediaRef, http: Http, secrets: Secrets) -> HttpStream:
        """The bytes of a file; credentials go to the adapter's own hosts only."""
        if not ref.url:
            raise MediaUnavailable("no url")
        return http.stream(ref.url)

    def profile(self, who: Address, http: Http, secrets: Secrets) -> Identity | None:
        """Name and picture, where the platform tells them."""
        return None

    @abstractmethod
    def check(self, http: Http, secrets: Secrets) -> SendResult:
        """Do the credentials work? Asked when an admin presses "test"; sends nothing to anybody."""

    def find_sent(
        self, part: OutMessage, since: datetime, http: Http, secrets: Secrets, known: Collection[str] = ()
    ) -> Delivery | None:
        """Look an unconfirmed message up at the platform; `known` ids belong to other messages of ours.

        None when there is no evidence, which is no proof that it was not sent.
        """
        return None

    def missed(
        self,
        since: datetime,
        http: Http,
        secrets: Secrets,
        known: Callable[[Collection[str]], Collection[str]],
    ) -> Iterator[RawRequest]:
        """What customers wrote since then, as the webhook calls that should have told it.

        `known` says which message ids need not be made up again. Raises NotSent and MaybeSent. Nothing where
        the platform lists no messages.
        """
        return iter(())

    # -------------------------------------------------------------- templates
    def templates(self, http: Http, secrets: Secrets) -> list[PlatformTemplate]:
        """Every template of the account. Raises NotSent and MaybeSent."""
        return []

    def submit_template(self, ref: str, name: str, category: str, http: Http, secrets: Secrets) -> SendResult:
        """Ask the platform to approve a template."""
        return SendResult(Outcome.PERMANENT, code="no_templates")

    # -------------------------------------------------------------- set-up
    def hooks(self) -> dict[str, str]:
        """The addresses to paste at the platform: inbound, fallback, status."""
        return {}

    def look(self, http: Http, secrets: Secrets) -> Found:
        """The account's senders and the addresses that the platform calls now. Raises NotSent, MaybeSent."""
        return Found((), tuple(Hook(name, url) for name, url in self.hooks().items()))

    def set_hooks(self, http: Http, secrets: Secrets) -> SendResult:
        """Enter our addresses at the platform."""
        return SendResult(Outcome.PERMANENT, code="by_hand")

    # -------------------------------------------------------------- common
    def clock(self, now: datetime) -> datetime:
        """The platform's idea of now; only the phone simulator shifts it."""
        return now

    def base(self) -> str:
        """Root of the platform's API: `config.api_base`, else the platform's own host."""
        return str(self.config.get("api_base") or self.api_base).rstrip("/")

    def may_see_credentials(self, url: str) -> bool:
        """Whether this URL's host is the platform's own, over TLS unless api_base says otherwise."""
        target, own = urlsplit(url), urlsplit(self.base())
        if (target.scheme, target.netloc) == (own.scheme, own.netloc):
            return True
        host = (target.hostname or "").lower()
        return target.scheme == "https" and any(
            host == allowed or host.endswith("." + allowed) for allowed in self.allowed_media_hosts
        )

    def call(self, http: Http, method: str, url: str, **options: Any) -> SendResult:
        """One API call whose every ending is a SendResult."""
        try:
            answer = http.request(method, url, **options)
        except NotSent as error:
            return SendResult(Outcome.RETRYABLE, code="not_sent", detail=str(error))
        except MaybeSent as error:
            return SendResult(Outcome.AMBIGUOUS, code="no_answer", detail=str(error))
        parsed = answer.json()
        return self.classify(answer.status, answer.headers, answer.body if parsed is None else parsed)
