"""Opens a worker's own Prometheus port."""

import errno

from prometheus_client import start_http_server


class MetricsPortBusy(RuntimeError):
    """The metrics port cannot be bound."""


def start_metrics_port(port: int, *, host: str = "127.0.0.1") -> None:
    """Serves the process's metrics on a thread of its own until the process ends."""
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        busy = error.errno == errno.EADDRINUSE
        why = "is in use by another process" if busy else f"cannot be bound: {error.strerror}"
        raise MetricsPortBusy(f"metrics port {host}:{port} {why}; set MDDS_PORT, or --metrics-port") from error
