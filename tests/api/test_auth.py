"""The ways in: token pairs, API keys, sessions; and what ends them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, AuditEntry, IdempotencyKey, Membership, RefreshFamily
from tests.api.caller import Caller, Calls
from tests.conftest import PASSWORD


@pytest.fixture
def ana(ana: Membership) -> Membership:
    """Ana under an address of her own: tries are counted in Redis, which outlives a test."""
    ana.user.email = f"ana.{uuid4().hex}@acme.test"
    ana.user.save(update_fields=["email"])
    return ana


def log_in(place: str, email: str, password: str = PASSWORD) -> Any:
    caller = Caller()
    caller.client = Client(REMOTE_ADDR=place)
    return caller.post("auth/token", {"email": email, "password": password})


def bearer(access: str) -> Caller:
    return Caller(Authorization=f"Bearer {access}")


def test_a_password_gives_a_pair(ana: Membership, place: str) -> None:
    answer = log_in(place, ana.user.email.upper())

    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    assert answer["Cache-Control"] == "no-store"


def test_the_claims_name_the_person_and_are_checked(ana: Membership, place: str) -> None:
    access = log_in(place, ana.user.email).json()["access"]
    claims = jwt.decode(access, options={"verify_signature": False})

    assert claims["sub"] == str(ana.user_id)
    assert claims["member"] == str(ana.pk)
    assert claims["organization"] == str(ana.organization_id)
    assert (claims["aud"], claims["iss"], claims["token_type"]) == ("pytake-api", "pytake", "access")
    assert claims["exp"] - claims["iat"] == 600


@pytest.mark.parametrize(
    "change", [{"aud": "other"}, {"iss": "other"}, {"token_type": "refresh"}, {"exp": 1}]
)
def test_a_token_with_other_claims_is_refused(ana: Membership, place: str, change: dict[str, Any]) -> None:
    access = log_in(place, ana.user.email).json()["access"]
    claims = jwt.decode(access, options={"verify_signature": False}) | change
    forged = jwt.encode(claims, settings.SIMPLE_JWT["SIGNING_KEY"], algorithm="HS256")

    assert bearer(forged).get("me").status_code == 401


def test_a_refresh_token_is_no_access_token(ana: Membership, place: str) -> None:
    pair = log_in(place, ana.user.email).json()

    assert bearer(pair["refresh"]).get("me").status_code == 401
    assert Caller().post("auth/token/refresh", {"refresh": pair["access"]}).status_code == 401


def test_wrong_password_and_unknown_person_read_the_same(ana: Membership, place: str) -> None:
    wrong = log_in(place, ana.user.email, "wrong")
    nobody = log_in(place, f"no.{ana.user.email}", "wrong")

    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()
    assert wrong["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("prefix", ["", "nobody."])
def test_the_sixth_try_is_refused_with_retry_after(ana: Membership, place: str, prefix: str) -> None:
    email = prefix + ana.user.email
    tries = [log_in(place, email, "wrong").status_code for _ in range(5)]
    sixth = log_in(place, email)

    assert tries == [401] * 5
    assert sixth.status_code == 429
    assert sixth.json()["code"] == "too_many_tries"
    assert int(sixth["Retry-After"]) > 0


def test_tries_from_elsewhere_do_not_lock_the_account(ana: Membership, place: str) -> None:
    for _ in range(6):
        log_in(place, ana.user.email, "wrong")

    assert log_in(f"{place}:9", ana.user.email).status_code == 200


def test_logging_in_is_on_record(ana: Membership, place: str) -> None:
    log_in(place, ana.user.email, "wrong")
    log_in(place, ana.user.email)

    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == [
        "login.failed",
        "login.succeeded",
    ]


def test_a_refresh_gives_a_new_pair_that_works(ana: Membership, place: str) -> None:
    first = log_in(place, ana.user.email).json()
    second = Caller().post("auth/token/refresh", {"refresh": first["refresh"]}).json()
    third = Caller().post("auth/token/refresh", {"refresh": second["refresh"]})

    assert third.status_code == 200
    assert bearer(third.json()["access"]).get("me").status_code == 200


def test_a_refresh_token_used_twice_kills_its_family(ana: Membership, place: str) -> None:
    first = log_in(place, ana.user.email).json()
    second = Caller().post("auth/token/refresh", {"refresh": first["refresh"]}).json()

    again = Caller().post("auth/token/refresh", {"refresh": first["refresh"]})

    assert again.status_code == 401
    assert Caller().post("auth/token/refresh", {"refresh": second["refresh"]}).status_code == 401
    assert bearer(second["access"]).get("me").status_code == 401
    assert AuditEntry.objects.filter(action="token.reused", actor=ana).count() == 1


def test_logout_ends_the_pair(ana: Membership, place: str) -> None:
    pair = log_in(place, ana.user.email).json()

    assert bearer(pair["access"]).post("auth/logout").status_code == 204
    assert bearer(pair["access"]).get("me").status_code == 401
    assert Caller().post("auth/token/refresh", {"refresh": pair["refresh"]}).status_code == 401


def retire(member: Membership) -> None:
    Membership.objects.filter(pk=member.pk).update(is_active=False)


def switch_off(member: Membership) -> None:
    member.user.is_active = False
    member.user.save(update_fields=["is_active"])


def change_password(member: Membership) -> None:
    member.user.set_password("another battery staple")
    member.user.save(update_fields=["password"])


@pytest.mark.parametrize("end", [retire, switch_off, change_password])
def test_what_ends_a_member_ends_their_tokens(
    ana: Membership, place: str, end: Callable[[Membership], None]
) -> None:
    pair = log_in(place, ana.user.email).json()

    end(ana)

    assert bearer(pair["access"]).get("me").status_code == 401
    assert Caller().post("auth/token/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_a_family_past_its_end_gives_nothing(ana: Membership, place: str) -> None:
    pair = log_in(place, ana.user.email).json()
    RefreshFamily.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert Caller().post("auth/token/refresh", {"refresh": pair["refresh"]}).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x.y.z", "Bearer \x00", "Api-Key", "Api-Key pk.x", "Basic YTpi", "Api-Key é"],
)
def test_without_good_credentials_it_is_401_and_says_how(db: None, header: str) -> None:
    answer = Caller(Authorization=header).get("me")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    assert answer["Content-Type"] == "application/problem+json"


def test_me_tells_who_calls(ana: Membership, by: Calls) -> None:
    assert by(ana).get("me").json() == {
        "id": str(ana.pk),
        "email": ana.user.email,
        "name": "Ana",
        "role": "agent",
        "organization": {"id": str(ana.organization_id), "name": "Acme"},
    }


def test_a_session_of_the_pages_calls_too(ana: Membership) -> None:
    client = Client()
    client.force_login(ana.user)

    assert client.get("/api/v1/me").json()["id"] == str(ana.pk)


def test_a_session_writes_only_with_the_csrf_token(ana: Membership) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana.user)

    answer = client.put("/api/v1/me/presence", {"status": "away"}, content_type="application/json")

    assert answer.status_code == 403


def test_presence_is_kept(ana: Membership, by: Calls) -> None:
    answer = by(ana).put("me/presence", {"status": "busy"})

    assert (answer.status_code, answer.json()) == (200, {"status": "busy"})
    assert Membership.objects.get(pk=ana.pk).agent.presence == "busy"


def test_presence_takes_only_the_four_words(ana: Membership, by: Calls) -> None:
    assert by(ana).put("me/presence", {"status": "asleep"}).status_code == 400


# ---------------------------------------------------------------- API keys
def test_a_key_is_shown_once(olivia: Membership, by: Calls) -> None:
    made = by(olivia).post("api-keys", {"name": "robot", "scopes": ["queues:read"]})
    key = made.json()["key"]

    assert made.status_code == 201
    assert set(made.json()) == {
        "id", "name", "prefix", "scopes", "creator", "expires_at", "last_used_at", "created_at", "key",
    }  # fmt: skip
    assert Caller(Authorization=f"Api-Key {key}").get("queues").status_code == 200
    assert "key" not in by(olivia).get(f"api-keys/{made.json()['id']}").json()
    assert key not in by(olivia).get("api-keys").content.decode()


def test_only_the_hash_of_a_key_is_stored(olivia: Membership, by: Calls) -> None:
    answer = by(olivia).post("api-keys", {"name": "robot", "scopes": ["queues:read"]}, Idempotency_Key="one")
    again = by(olivia).post("api-keys", {"name": "robot", "scopes": ["queues:read"]}, Idempotency_Key="one")
    key = answer.json()["key"]
    stored = str(ApiKey.objects.values()) + str(IdempotencyKey.objects.values())

    assert again.json()["key"] == key  # the stored answer, which is encrypted
    assert key not in stored
    assert key.partition(".")[2] not in stored


def test_a_key_does_only_what_its_scopes_say(olivia: Membership, make_key: Callable[..., Caller]) -> None:
    robot = make_key(olivia, "queues:read")

    assert robot.get("queues").status_code == 200
    assert robot.get("contacts").status_code == 403
    assert robot.post("departments", {"name": "X"}).status_code == 403


def test_a_key_never_exceeds_its_creator_of_today(
    olivia: Membership, make_key: Callable[..., Caller]
) -> None:
    robot = make_key(olivia, "queues:read", "queues:write")
    assert robot.post("departments", {"name": "One"}).status_code == 201

    Membership.objects.filter(pk=olivia.pk).update(role="viewer")

    assert robot.get("queues").status_code == 200
    assert robot.post("departments", {"name": "Two"}).status_code == 403


def test_a_key_cannot_grant_more_than_itself(olivia: Membership, make_key: Callable[..., Caller]) -> None:
    robot = make_key(olivia, "api_keys:write")

    refused = robot.post("api-keys", {"name": "big", "scopes": ["channels:write"]})

    assert refused.status_code == 400
    assert "scopes" in refused.json()["errors"]


def test_a_deleted_or_expired_key_is_no_way_in(
    olivia: Membership, by: Calls, make_key: Callable[..., Caller]
) -> None:
    robot = make_key(olivia, "queues:read")
    assert by(olivia).delete(f"api-keys/{ApiKey.objects.get().pk}").status_code == 204
    assert robot.get("queues").status_code == 401

    late = make_key(olivia, "queues:read")
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert late.get("queues").status_code == 401


def test_the_last_use_of_a_key_is_noted(olivia: Membership, make_key: Callable[..., Caller]) -> None:
    make_key(olivia, "queues:read").get("queues")

    assert ApiKey.objects.get().last_used_at is not None
