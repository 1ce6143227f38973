"""The only AMQP door: RAW, PARSED, dead letters and retained values on RabbitMQ through aio-pika."""

from feeds.bus.amqp.bus import AmqpBus

__all__ = ["AmqpBus"]
