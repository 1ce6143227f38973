"""Channels' layers: the stream layer of our own for data, Redis pub/sub (or memory) for control."""


def channel_layers(redis_url: str, *, prefix: str) -> dict[str, dict[str, object]]:
    """`default` carries records inside one process; `control` carries notices between processes."""
    control: dict[str, object] = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    if redis_url:
        # socket_timeout None: redis-py 8 would drop an idle subscription after 5 s.
        host = {"address": redis_url, "socket_timeout": None, "socket_connect_timeout": 2}
        control = {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [host], "prefix": f"{prefix}.control"},
        }
    return {"default": {"BACKEND": "subscriptions.gateway.layer.StreamLayer"}, "control": control}
