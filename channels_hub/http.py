"""The one outgoing HTTP client: checked addresses, limits of time and size, quiet logs.

The address check sits where the socket is opened, so that neither a redirect nor a second DNS answer gets
around it: the connection goes to the very address that was checked, with Host and TLS name unchanged.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from channels_hub.vocabulary import HttpResponse, HttpStream, MaybeSent, NotSent

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
TOTAL_SECONDS = 40.0  # a server that sends a byte now and then is cut off here
MAX_ANSWER = 2 * 1024 * 1024
CHUNK = 64 * 1024
REDIRECTS = {301, 302, 303, 307, 308}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ODD_NETWORKS = tuple(
    ipaddress.ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "fec0::/10")
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddress(NotSent):
    """The URL leads somewhere we do not go: a private network, an odd scheme, credentials in the URL."""


# ------------------------------------------------------------------ addresses
def is_public(address: str) -> bool:
    """Whether an IP address is on the open internet, also when one is wrapped in another."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_plainly_public(one) for one in (found, *_inside(found)))


def _is_plainly_public(one: Address) -> bool:
    odd = one.is_multicast or one.is_reserved or one.is_unspecified or one.is_link_local
    listed = any(one in net for net in _ODD_NETWORKS if net.version == one.version)
    # The NAT64 prefix is reserved by the letter; what counts is the address inside it.
    return not listed and (one in _NAT64 or (one.is_global and not odd))


def _inside(address: Address) -> Iterator[Address]:
    """IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def is_allowed_private(host: str, port: int) -> bool:
    """Whether the installation's owner listed this very host and port."""
    return f"{host.strip('[]').lower()}:{port}" in {
        one.lower() for one in settings.PYTAKE_ALLOW_PRIVATE_HOSTS
    }


def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host; if one of them is private, none is used."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSent("name does not resolve") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not is_allowed_private(host, port) and not all(is_public(one) for one in addresses):
        raise ForbiddenAddress("address is not public")
    return addresses


def check_url(url: str) -> None:
    """Refuse what no platform's URL looks like, before anything is resolved."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenAddress("not a URL") from error
    odd = any(char.isspace() or ord(char) < 32 or char == "\\" for char in url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None or odd:
        raise ForbiddenAddress("not a plain http or https URL")
    if port == 0:
        raise ForbiddenAddress("no such port")


# ------------------------------------------------------------------ connections
_thread = threading.local()


@contextmanager
def not_after(moment: float) -> Iterator[None]:
    """What this thread asks for leaves before that moment of the monotonic clock, else it is NotSent."""
    _thread.latest = moment
    try:
        yield
    finally:
        del _thread.latest


class _NotConnected(NewConnectionError):
    """Raised while connecting: nothing of the request has left."""

    def __init__(self, connection: HTTPConnection, cause: Exception) -> None:
        super().__init__(connection, type(cause).__name__)
        self.cause = cause


class _Checked:
    """Opens the socket to an address that was checked a moment before."""

    def _new_conn(self: Any) -> socket.socket:
        trouble: Exception = NotSent("no address")
        for address in resolve(self._dns_host, self.port):
            try:
                opened = socket.create_connection((address, self.port), timeout=CONNECT_SECONDS)
            except OSError as error:
                trouble = error
            else:
                # Headers and body leave in two writes; without this each call waits 40 ms for an ACK.
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return opened
        raise trouble

    def connect(self: Any) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except (NotSent, OSError, HTTPError) as error:  # refused, unresolved, slow, or TLS that fails
            raise _NotConnected(self, error) from error

    def endheaders(self: Any, *args: Any, **kwargs: Any) -> None:
        """The last moment before anything leaves: connecting may have taken long, the machine have slept."""
        if self.sock is None:
            self.connect()
        if time.monotonic() > getattr(_thread, "latest", math.inf):
            raise _NotConnected(self, NotSent("its time was over"))
        super().endheaders(*args, **kwargs)  # type: ignore[misc]  # of the connection it is mixed into


class _Http(_Checked, HTTPConnection):
    pass


class _Https(_Checked, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Transport(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


# ------------------------------------------------------------------ client
class Client:
    """Outgoing requests of one worker. Raises NotSent when trying again is safe, MaybeSent when it is not."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy from the environment would connect for us, unchecked
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": "PyTake", "Accept": "*/*"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Transport(max_retries=0))

    def request(
        self,
        method: str,
        url: str,
        *,
        read_seconds: float = READ_SECONDS,
        max_bytes: int = MAX_ANSWER,
        **options: Any,
    ) -> HttpResponse:
        """One call, its answer read completely. Options: params, data, json, headers, auth."""
        started = time.monotonic()
        response = self._open(method, url, read_seconds, options)
        with response:
            body = b"".join(_limited(response, max_bytes, started + TOTAL_SECONDS))
        return HttpResponse(response.status_code, _lower(response.headers), body)

    def stream(
        self, url: str, *, auth: Any = None, headers: Mapping[str, str] | None = None, redirects: int = 0
    ) -> HttpStream:
        """A GET whose body is read by the caller; a redirect to another host travels without credentials."""
        own = _origin(url)
        for _hop in range(redirects + 1):
            trusted = {"auth": auth, "headers": headers} if _origin(url) == own else {}
            response = self._open("GET", url, READ_SECONDS, trusted)
            target = response.headers.get("location")
            if response.status_code not in REDIRECTS or not target:
                return HttpStream(
                    response.status_code, _lower(response.headers), _chunks(response), response.close
                )
            response.close()
            url = urljoin(url, target)
        raise NotSent("too many redirects")

    def close(self) -> None:
        self._session.close()

    def _open(
        self, method: str, url: str, read_seconds: float, options: Mapping[str, Any]
    ) -> requests.Response:
        check_url(url)
        host, started = urlsplit(url).hostname, time.monotonic()
        try:
            response = self._session.request(
                method,
                url,
                timeout=(CONNECT_SECONDS, read_seconds),
                allow_redirects=False,
                stream=True,
                **options,
            )
        except requests.RequestException as error:
            meaning = _meaning(error)
            logger.warning("%s %s: %s", method, host, type(meaning).__name__)
            raise meaning from error
        # Neither path nor query: tokens and telephone numbers travel there.
        milliseconds = (time.monotonic() - started) * 1000
        logger.info("%s %s: %s in %d ms", method, host, response.status_code, milliseconds)
        return response


def _meaning(error: requests.RequestException) -> NotSent | MaybeSent:
    """Whether the request can have reached the other side."""
    inner = error.args[0] if error.args else None
    reason = inner.reason if isinstance(inner, MaxRetryError) else inner
    if isinstance(reason, _NotConnected):
        cause = reason.cause
        return cause if isinstance(cause, NotSent) else NotSent(f"no connection: {type(cause).__name__}")
    never_left = (requests.ConnectTimeout, requests.URLRequired, requests.exceptions.InvalidURL)
    if isinstance(reason, ConnectTimeoutError) or isinstance(error, never_left):
        return NotSent(f"no connection: {type(error).__name__}")
    return MaybeSent(f"no answer: {type(error).__name__}")


def _limited(response: requests.Response, max_bytes: int, deadline: float) -> Iterator[bytes]:
    """The body in pieces, cut when it is too big or too slow."""
    size = 0
    for chunk in _chunks(response):
        size += len(chunk)
        if size > max_bytes:
            raise MaybeSent("the answer is too big")
        if time.monotonic() > deadline:
            raise MaybeSent("the answer took too long")
        yield chunk


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        # read1: what is there now. `iter_content` waits for a full piece, past every deadline.
        while chunk := response.raw.read1(CHUNK, decode_content=True):
            yield chunk
    except (requests.RequestException, HTTPError, OSError) as error:
        raise MaybeSent(f"the answer broke off: {type(error).__name__}") from error


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
