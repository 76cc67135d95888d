"""The sockets. Consumers reach for models: `asgi` names this module and loads it when the apps are there."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from conversations.consumers import InboxConsumer
from insights.consumers import WallConsumer

application = AllowedHostsOriginValidator(
    AuthMiddlewareStack(
        URLRouter(
            [
                path("ws/inbox/", InboxConsumer.as_asgi()),
                path("ws/wall/", WallConsumer.as_asgi()),
            ]
        )
    )
)
