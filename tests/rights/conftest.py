"""A running gateway for the tests of rights, as the gateway's own have it."""

from tests.gateway.conftest import gateway

__all__ = ["gateway"]
