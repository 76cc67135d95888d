"""How often somebody may try to log in. Counted in Redis in one atomic step; without Redis nobody gets in.

Keys are hashes: neither addresses of people nor of machines are stored. A try is counted before the password
is looked at, so that simultaneous tries cannot slip through the limit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac

COUNT = """
local n = redis.call('INCR', KEYS[1])
if n == 1 or redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {n, redis.call('TTL', KEYS[1])}
"""


class Unavailable(Exception):
    """The counters cannot be reached: refuse."""


@dataclass(frozen=True, slots=True)
class Limit:
    name: str
    tries: int
    seconds: int


PAIR = Limit("pair", 5, 300)  # one account from one address
ACCOUNT = Limit("account", 20, 900)  # one account from anywhere
ADDRESS = Limit("address", 100, 3600)  # one address on any account


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)


def count_try(email: str, address: str) -> int:
    """Count one try; the seconds to wait when there were too many, else 0. Raises Unavailable."""
    try:
        waits = [_count(limit, *parts) for limit, parts in _keys(email, address)]
    except redis.RedisError as error:
        raise Unavailable from error
    return max(waits)


def forget(email: str, address: str) -> None:
    """The right password was given: no failure of the account nor of the office it came from."""
    pair, account, place = (_key(limit, *parts) for limit, parts in _keys(email, address))
    try:
        _client().delete(pair, account)
        _client().decr(place)
    except redis.RedisError:
        return  # the counts expire by themselves


def _keys(email: str, address: str) -> Sequence[tuple[Limit, tuple[str, ...]]]:
    who = email.strip().lower()
    return [(PAIR, (who, address)), (ACCOUNT, (who,)), (ADDRESS, (address,))]


def _key(limit: Limit, *parts: str) -> str:
    digest = salted_hmac(f"login.{limit.name}", "\x1f".join(parts), algorithm="sha256").hexdigest()
    return f"pytake:login:{limit.name}:{digest[:40]}"


def _count(limit: Limit, *parts: str) -> int:
    tries, left = _client().eval(COUNT, 1, _key(limit, *parts), limit.seconds)
    return max(1, int(left)) if tries > limit.tries else 0
