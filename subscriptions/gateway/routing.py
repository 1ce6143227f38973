"""The path of the client stream."""

from django.urls import path

from subscriptions.gateway.consumer import StreamConsumer

websocket_urlpatterns = [path("stream/v1", StreamConsumer.as_asgi())]
