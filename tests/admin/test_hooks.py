"""Our own webhooks in the admin: made, tried out, given a new secret, told again."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.test import Client

from conversations.models import WebhookEndpoint, WebhookMessage
from tests.admin.pages import act, form_data, page, said
from tests.admin.world import World
from tests.receiver import receiving


def test_a_new_endpoint_shows_its_secret_once(boss: Client, ours: World) -> None:
    new = {"url": "https://erp.example.com/hook", "events": ["message.status"], "is_active": "on"}
    response = boss.post(page(WebhookEndpoint, "add"), new)

    made = WebhookEndpoint.objects.get(url=new["url"])
    secret = made.keys()["current"]
    assert (made.events, response.status_code) == (["message.status"], 302)
    assert any(secret in line for line in said(response))
    boss.get("/admin/")  # shows the messages that wait
    assert secret not in boss.get(page(WebhookEndpoint, "change", made.pk)).content.decode()


def test_a_private_address_is_refused_at_its_field(boss: Client, ours: World) -> None:
    response = boss.post(page(WebhookEndpoint, "add"), {"url": "https://10.0.0.8/hook", "is_active": "on"})

    assert "url" in response.context["adminform"].form.errors


def test_switching_it_on_again_forgives(boss: Client, ours: World) -> None:
    rows = WebhookEndpoint.objects.filter(pk=ours[WebhookEndpoint].pk)
    rows.update(is_active=False, disabled_because="gone")
    url = page(WebhookEndpoint, "change", ours[WebhookEndpoint].pk)
    shown = boss.get(url)
    assert "410" in shown.content.decode()

    assert boss.post(url, form_data(shown) | {"is_active": "on"}).status_code == 302
    assert rows.values_list("is_active", "disabled_because").get() == (True, "")


def test_a_test_says_how_it_went(boss: Client, ours: World, settings: Any) -> None:
    with receiving() as receiver:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [urlsplit(receiver.url).netloc]
        WebhookEndpoint.objects.update(url=receiver.url)
        receiver.script = [200, 500]
        good, bad = (act(boss, ours[WebhookEndpoint], "try_out")[-1] for _ in range(2))

    assert "200" in good
    assert "500" in bad
    assert [body for _headers, body in receiver.calls if b"webhook.test" in body]


def test_a_new_secret_is_shown_once_and_the_old_one_kept(boss: Client, ours: World) -> None:
    old = ours[WebhookEndpoint].keys()["current"]
    (line,) = act(boss, ours[WebhookEndpoint], "rotate_secret")

    held = WebhookEndpoint.objects.get(pk=ours[WebhookEndpoint].pk).keys()
    assert held["current"] in line
    assert held["previous"] == old


def test_what_failed_is_told_again(boss: Client, ours: World) -> None:
    message = ours[WebhookMessage]
    act(boss, message, "resend")

    assert WebhookMessage.objects.get(pk=message.pk).state == "pending"
    act(boss, message, "resend")  # refused, and nothing breaks
    assert ours.mark in boss.get(page(WebhookMessage, "change", message.pk)).content.decode()


def test_deleting_takes_its_log_along(boss: Client, ours: World) -> None:
    boss.post(page(WebhookEndpoint, "delete", ours[WebhookEndpoint].pk), {"post": "yes"})

    assert not WebhookMessage.objects.exists()
