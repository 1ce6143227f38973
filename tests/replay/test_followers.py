"""What a gateway is told of a job that a session wants to follow: whose it is, and how fresh what it plays can be."""

from __future__ import annotations

import asyncio
from pathlib import Path

from django.contrib.auth.models import User

from replay.models import ReplayJob
from replay.session_port import DatabaseReplays, _find
from replay.submission import unix_ns
from subscriptions.gateway.replays import NEVER_NS, PlayedJob
from subscriptions.models import Subscriber


def test_an_operators_job_is_for_everybody_and_a_subscribers_is_its_own(job: ReplayJob, alice: User) -> None:
    end_ns = unix_ns(job.to_at)
    assert _find(job.pk) == PlayedJob(None, end_ns)
    owner = Subscriber.objects.create(code="acme", name="Acme")
    ReplayJob.objects.filter(pk=job.pk).update(submitted_by=None, subscriber=owner)
    assert _find(job.pk) == PlayedJob(owner.pk, end_ns)


def test_a_job_that_goes_on_live_has_no_end(job: ReplayJob) -> None:
    ReplayJob.objects.filter(pk=job.pk).update(then_live=True)
    assert _find(job.pk) == PlayedJob(None, NEVER_NS)


def test_a_job_whose_owner_is_gone_and_one_that_never_was_are_nobodys(job: ReplayJob, alice: User) -> None:
    alice.delete()
    assert [_find(number) for number in (job.pk, job.pk + 1, 10**18 - 1)] == [None, None, None]


def test_it_is_asked_in_a_thread(db: None, tmp_path: Path) -> None:
    assert asyncio.run(DatabaseReplays(data_dir=tmp_path, partitions=1).find(1)) is None
