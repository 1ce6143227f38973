"""The list of replay jobs: filtered by the URL, paged by the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet

from portal.replay_view import JobView
from replay import states
from replay.models import ReplayJob

PAGE_ROWS = 25


@dataclass(frozen=True, slots=True)
class JobList:
    """One page of jobs, and the filter that led to it."""

    jobs: list[JobView]
    page: Page[ReplayJob]
    search: str
    state: str
    any_active: bool
    states: tuple[str, ...] = states.ALL

    @property
    def filtered(self) -> bool:
        """Whether a filter is set: an empty list then says so."""
        return bool(self.search or self.state)

    @property
    def filter_query(self) -> str:
        """The filter as a query string, without the page."""
        return urlencode([(name, value) for name, value in (("q", self.search), ("state", self.state)) if value])


def matching(parameters: Mapping[str, str]) -> QuerySet[ReplayJob]:
    """The jobs that the URL's filter (`q`, `state`) lets through. An unknown state is no filter."""
    found = ReplayJob.objects.select_related("feed", "submitted_by")
    search = parameters.get("q", "").strip()
    if search:
        number = search.removeprefix("replay:")
        condition = Q(feed__name__icontains=search) | Q(submitted_by__username__icontains=search)
        if number.isdecimal() and len(number) < 19:
            condition |= Q(pk=int(number))
        found = found.filter(condition)
    state = parameters.get("state", "")
    return found.filter(state=state) if state in states.ALL else found


def job_list(parameters: Mapping[str, str], *, now: datetime) -> JobList:
    """The page of jobs that the URL names."""
    page = Paginator(matching(parameters), PAGE_ROWS).get_page(parameters.get("page"))
    rows = list(page.object_list)
    state = parameters.get("state", "")
    return JobList(
        jobs=[JobView.of(job, now=now) for job in rows],
        page=page,
        search=parameters.get("q", "").strip(),
        state=state if state in states.ALL else "",
        any_active=any(job.active for job in rows),
    )
