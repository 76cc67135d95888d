"""Every address of the desk. A newcomer starts here."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language

from channels_hub.views import public_media
from conversations.webhooks import ChannelWebhook
from pytake import health
from pytake.metrics import metrics

webhook = ChannelWebhook.as_view()

urlpatterns = [
    # Platforms: /webhooks/<kind>/<public_id>/[part], and Twilio's bare forms, whose body names the channel.
    path("webhooks/twilio", webhook, {"kind": "twilio"}, name="webhook-twilio"),
    path(
        "webhooks/twilio/status", webhook, {"kind": "twilio", "part": "status"}, name="webhook-twilio-status"
    ),
    path("webhooks/<slug:kind>/<str:public_id>/", webhook, name="webhook"),
    path("webhooks/<slug:kind>/<str:public_id>/<slug:part>", webhook, name="webhook-part"),
    path("webhooks/<slug:kind>/<str:public_id>/<slug:part>/", webhook, name="webhook-part-slash"),
    # People
    path("", include("accounts.urls")),
    path("", include("conversations.urls")),
    path("", include("insights.urls")),
    path("simulator/", include("channels_hub.simulator.urls")),
    path("admin/", admin.site.urls),
    path("language/", set_language, name="set-language"),
    # Machines
    path("media/<str:token>/", public_media, name="public-media"),
    path("api/v1/", include("pytake.api_urls")),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("statusz", health.status, name="statusz"),
    path("metrics", metrics, name="metrics"),
]
