"""Addresses under /simulator/: the page and its forms, and the platform's API that the desk calls."""

from django.urls import path

from channels_hub.simulator import api, views

urlpatterns = [
    path("", views.page, name="simulator"),
    path("poll", views.poll, name="simulator-poll"),
    path("platform", views.set_platform, name="simulator-platform"),
    path("clock", views.set_clock, name="simulator-clock"),
    path("phones", views.add, name="simulator-phones"),
    path("phones/<uuid:phone_id>/messages", views.say, name="simulator-messages"),
    path("phones/<uuid:phone_id>/switches", views.switch, name="simulator-switches"),
    path("phones/<uuid:phone_id>/remove", views.remove, name="simulator-remove"),
    path("phones/<uuid:phone_id>/photos/<uuid:message_id>", views.photo, name="simulator-photo"),
    path("api/<str:device>/messages", api.messages, name="simulator-api-messages"),
    path("api/<str:device>/signals", api.signals, name="simulator-api-signals"),
    path("api/<str:device>/media/<uuid:message_id>", api.media, name="simulator-api-media"),
]
