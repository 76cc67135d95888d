"""The way in: right, wrong, too often, and what a person prefers."""

from __future__ import annotations

import threading

import pytest
import redis
from django.test import Client

from accounts import throttle
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_old_tries")]


def enter(client: Client, email: str, password: str, **more: str):
    return client.post(
        "/login/", {"email": email, "password": password, **more}, headers={"accept-language": "en"}
    )


def test_the_right_password_opens_and_leads_on(client, ana):
    answer = enter(client, "ANA@acme.test", PASSWORD, next="/inbox/?tab=all")

    assert (answer.status_code, answer.url) == (302, "/inbox/?tab=all")
    assert client.get("/inbox/").status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_the_way_back_never_leads_to_another_site(client, ana, target):
    assert enter(client, ana.user.email, PASSWORD, next=target).url == "/"


@pytest.mark.parametrize("email", ["ana@acme.test", "nobody@acme.test"])
def test_what_is_wrong_is_not_said_exactly(client, ana, email):
    answer = enter(client, email, "wrong")

    assert answer.status_code == 401
    assert "E-mail or password is not right." in answer.content.decode()


def test_somebody_without_an_organization_does_not_get_in(client, ana):
    ana.is_active = False
    ana.save(update_fields=["is_active"])

    assert enter(client, ana.user.email, PASSWORD).status_code == 401


def test_the_sixth_try_has_to_wait_even_with_the_right_password(client, ana):
    for _ in range(5):
        assert enter(client, ana.user.email, "wrong").status_code == 401
    answer = enter(client, ana.user.email, PASSWORD)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= throttle.PAIR.seconds
    assert f"{answer.headers['Retry-After']} seconds" in answer.content.decode()


def test_a_success_forgets_the_failures(client, ana):
    for _ in range(4):
        enter(client, ana.user.email, "wrong")
    enter(client, ana.user.email, PASSWORD)
    client.post("/logout/")

    assert enter(client, ana.user.email, "wrong").status_code == 401


def test_an_office_full_of_people_who_know_their_passwords_is_not_locked_out(client, ana):
    for _ in range(throttle.ADDRESS.tries + 1):
        assert throttle.count_try(ana.user.email, "10.0.0.2") == 0
        throttle.forget(ana.user.email, "10.0.0.2")


def test_simultaneous_tries_do_not_slip_through_together():
    waits: list[int] = []
    threads = [
        threading.Thread(target=lambda: waits.append(throttle.count_try("x@acme.test", "10.0.0.1")))
        for _ in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(1 for wait in waits if wait == 0) == throttle.PAIR.tries


def test_without_the_counters_nobody_gets_in(client, ana, monkeypatch):
    monkeypatch.setattr(throttle, "_client", lambda: redis.Redis(port=1, socket_connect_timeout=0.2))

    assert enter(client, ana.user.email, PASSWORD).status_code == 503


def test_no_address_of_a_person_stands_in_redis(client, ana):
    enter(client, ana.user.email, "wrong")

    keys = b" ".join(throttle._client().scan_iter("pytake:login:*"))
    assert keys
    assert b"ana" not in keys
    assert b"127.0.0.1" not in keys


def test_logging_out_is_a_post(client, ana):
    client.force_login(ana.user)

    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").url == "/login/"
    assert client.get("/inbox/").status_code == 302


def test_preferences_keep_language_theme_and_key(client, ana):
    client.force_login(ana.user)
    client.post("/preferences/", {"language": "es", "theme": "dark", "send_key": "ctrl-enter"})
    page = client.get("/inbox/").content.decode()
    ana.user.refresh_from_db()

    assert ana.user.locale == "es"
    assert 'lang="es" data-theme="dark"' in page
    assert 'data-send-key="ctrl-enter"' in page
    assert "Bandeja de entrada" in page


def test_a_strange_theme_cookie_is_ignored(client):
    client.cookies["theme"] = '"><script>'

    assert "data-theme" not in client.get("/login/").content.decode()


@pytest.mark.parametrize("language, word", [("pt-br", "Entrar"), ("en", "Log in"), ("es", "Contraseña")])
def test_the_log_in_speaks_three_languages(client, language, word):
    client.cookies["django_language"] = language

    assert word in client.get("/login/").content.decode()


def test_a_missing_page_has_our_look_and_a_number_to_quote(client, ana):
    client.force_login(ana.user)
    answer = client.get("/inbox/nothing/", headers={"X-Request-ID": "req-12345678"})

    assert answer.status_code == 404
    assert "req-12345678" in answer.content.decode()
    assert "app.css" in answer.content.decode()


def test_a_broken_page_has_our_look_too(ana, monkeypatch):
    client = Client(raise_request_exception=False)
    client.force_login(ana.user)
    monkeypatch.setattr("conversations.frames.here_and_now", lambda: 1 / 0)
    answer = client.get("/inbox/")

    assert answer.status_code == 500
    assert "app.css" in answer.content.decode()
