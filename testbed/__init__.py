"""Real services for tests and benches: private RabbitMQ, Redis and PostgreSQL instances on free loopback ports.

Used by `tests/` and `benches/` only; the product never imports it (import-linter holds that).
"""
