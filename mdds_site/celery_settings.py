"""Celery's settings for a broker URL."""


def celery_settings(broker_url: str, *, prefix: str) -> dict[str, object]:
    """JSON only, results ignored, every broker name under the system's prefix."""
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_always_eager": False,
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "task_default_queue": f"{prefix}.tasks",
        "task_default_exchange": f"{prefix}.tasks",
        "task_default_routing_key": f"{prefix}.tasks",
        "control_exchange": f"{prefix}.control",
        "event_exchange": f"{prefix}.events",
        "event_queue_prefix": f"{prefix}.events",
        # Jobs are cancelled through their row: a thread pool cannot be told to terminate a task.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "timezone": "UTC",
        "enable_utc": True,
    }
