"""Signatures of every platform. All compare bytes in constant time and refuse an empty secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Digest = Callable[..., Any]
_TOLERANCE = 300  # seconds
_PORT = re.compile(r":\d*$")
_TWILIO_DIGESTS: Mapping[str, Digest] = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}


def same(expected: str | bytes, given: str | bytes | None) -> bool:
    """Constant-time comparison of bytes: comparing str raises TypeError when a header is not ASCII."""
    return hmac.compare_digest(_bytes(expected), _bytes(given or b""))


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def mac(key: str | bytes, data: bytes, digest: Digest = hashlib.sha256) -> bytes:
    """HMAC of the data."""
    return hmac.new(_bytes(key), data, digest).digest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def fresh(stamp: str, tolerance: int = _TOLERANCE, now: float | None = None) -> bool:
    """Whether a signed Unix time is recent enough to not be a replay."""
    try:
        return abs((now if now is not None else time.time()) - int(stamp)) <= tolerance
    except (TypeError, ValueError):
        return False


# ------------------------------------------------------------------ hex and base64 of the body
def meta(secret: str, body: bytes, header: str) -> bool:
    """WhatsApp Cloud, Messenger, Instagram: X-Hub-Signature-256."""
    return bool(secret) and same("sha256=" + mac(secret, body).hex(), header)


def slack(secret: str, body: bytes, stamp: str, header: str, now: float | None = None) -> bool:
    """X-Slack-Signature with X-Slack-Request-Timestamp."""
    if not secret or not fresh(stamp, now=now):
        return False
    return same("v0=" + mac(secret, b"v0:" + _bytes(stamp) + b":" + body).hex(), header)


def line(secret: str, body: bytes, header: str) -> bool:
    """X-Line-Signature."""
    return bool(secret) and same(_base64(mac(secret, body)), header)


def viber(token: str, body: bytes, header: str) -> bool:
    """X-Viber-Content-Signature."""
    return bool(token) and same(mac(token, body).hex(), header)


def telegram(secret: str, header: str) -> bool:
    """X-Telegram-Bot-Api-Secret-Token repeats the secret we gave."""
    return bool(secret) and same(secret, header)


def mailgun(key: str, stamp: str, token: str, signature: str) -> bool:
    """The three signature fields of a Mailgun event."""
    return bool(key) and same(mac(key, _bytes(stamp + token)).hex(), signature)


def rbm(client_token: str, data: str, header: str) -> bool:
    """Google RCS for Business: X-Goog-Signature over the decoded `message.data`."""
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(client_token) and same(_base64(mac(client_token, decoded, hashlib.sha512)), header)


def x_crc(consumer_secret: str, crc_token: str) -> str:
    """The answer to X's hourly challenge."""
    return "sha256=" + _base64(mac(consumer_secret, _bytes(crc_token)))


# ------------------------------------------------------------------ public keys
def discord(public_key: str, body: bytes, stamp: str, header: str) -> bool:
    """X-Signature-Ed25519 with X-Signature-Timestamp; the key is hex."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(header or ""), _bytes(stamp or "") + body)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def teams(
    authorization: str, activity: Mapping[str, Any], app_id: str, keys: Sequence[Mapping[str, Any]]
) -> bool:
    """Bot Connector bearer token; `keys` is the `keys` array of its JWKS document."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not app_id:
        return False
    try:
        kid = jwt.get_unverified_header(token)["kid"]
        jwk = next(key for key in keys if key.get("kid") == kid)
        claims = jwt.decode(
            token,
            jwt.PyJWK(dict(jwk), algorithm="RS256").key,
            algorithms=["RS256"],
            audience=app_id,
            issuer="https://api.botframework.com",
            leeway=_TOLERANCE,
            options={"require": ["exp", "aud", "iss"]},
        )
    except (jwt.PyJWTError, KeyError, StopIteration, ValueError):
        return False
    channel = activity.get("channelId")
    if channel not in jwk.get("endorsements", [channel]):
        return False
    return same(str(claims.get("serviceurl", "")), str(activity.get("serviceUrl", "-")))


# ------------------------------------------------------------------ Twilio
Form = Sequence[tuple[str, str]]


def twilio_signature(token: str, url: str, form: Form | None, digest: Digest = hashlib.sha1) -> str:
    """X-Twilio-Signature of exactly this URL; `form` is None for a JSON body."""
    values: dict[str, set[str]] = {}
    for name, value in form or ():
        values.setdefault(name, set()).add(value)
    tail = "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    # A form that is not UTF-8 keeps its bytes this way, so that a signed one can be told from a forged one.
    return _base64(mac(token, (url + tail).encode("utf-8", "surrogateescape"), digest))


def twilio(
    token: str, url: str, form: Form | None, header: str, *, body: bytes = b"", settings_header: str = ""
) -> bool:
    """Whether the header is Twilio's signature of this call.

    `url` is the public URL as configured; Twilio is inconsistent about the default port, so both
    spellings count.
    """
    digest = _TWILIO_DIGESTS.get(_twilio_algorithm(settings_header))
    if not token or digest is None:
        return False
    if form is None and not _twilio_body_matches(url, body):
        return False
    expected = [twilio_signature(token, spelling, form, digest) for spelling in _with_and_without_port(url)]
    return any(same(one, header) for one in expected)


def _twilio_algorithm(settings_header: str) -> str:
    """From X-Twilio-Webhooks-Signature-Settings: key=<id>,algorithm=HMAC_SHA256."""
    for item in (settings_header or "").split(","):
        name, _, value = item.strip().partition("=")
        if name == "algorithm" and value:
            return value.upper()
    return "HMAC_SHA1"


def _twilio_body_matches(url: str, body: bytes) -> bool:
    wanted = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0]
    return same(hashlib.sha256(body).hexdigest(), wanted.lower())


def _with_and_without_port(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    bare = _PORT.sub("", parts.netloc)
    default = "443" if parts.scheme == "https" else "80"
    spellings = (parts.netloc, bare, f"{bare}:{default}")
    return tuple(dict.fromkeys(parts._replace(netloc=netloc).geturl() for netloc in spellings))


# ------------------------------------------------------------------ Standard Webhooks
def standard_signature(secret: str, body: bytes, message_id: str, stamp: str) -> str:
    """One `v1,…` entry of a webhook-signature header. The secret is base64, with or without `whsec_`."""
    signed = _bytes(f"{message_id}.{stamp}.") + body
    return "v1," + _base64(mac(_standard_key(secret), signed))


def standard(
    secrets: Iterable[str], body: bytes, message_id: str, stamp: str, header: str, now: float | None = None
) -> bool:
    """Standard Webhooks; several live secrets allow rotation."""
    if not message_id or not fresh(stamp, now=now):
        return False
    entries = (header or "").split()
    usable = [secret for secret in secrets if _standard_key(secret)]
    expected = [standard_signature(secret, body, message_id, stamp) for secret in usable]
    return any(same(one, entry) for one in expected for entry in entries)


def _standard_key(secret: str) -> bytes:
    """The key's bytes; none when it is not base64."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"))
    except (binascii.Error, ValueError):
        return b""
