"""The Prometheus metrics of the replay jobs that this process plays; one step a window or a job, none a message."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

MESSAGES_SENT = Counter("mdds_replay_messages_sent_total", "Messages of the exchange sent again and confirmed.")
ENDED = Counter("mdds_replay_jobs_ended_total", "Runs of replay jobs that ended in this process, by state.", ["state"])
RUNNING = Gauge("mdds_replay_jobs_running", "Replay jobs that this process plays now.")
