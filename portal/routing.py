"""The portal's WebSocket routes."""

from django.urls import path

from portal.live import StatusConsumer

websocket_urlpatterns = [path("portal/live", StatusConsumer.as_asgi())]
