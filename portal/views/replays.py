"""The replay pages: submit, list, watch, cancel."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.access import may_operate, operator_required, viewer_required
from portal.replay_form import ReplayForm
from portal.replay_list import job_list
from portal.replay_view import JobView
from replay import jobs, tasks
from replay.models import ReplayJob
from replay.submission import ReplayRefused, check, estimate_request, submit


@require_http_methods(["GET", "HEAD", "POST"])
@viewer_required
def jobs_page(request: HttpRequest) -> HttpResponse:
    """The form and the list of jobs; a POST submits."""
    now = timezone.now()
    if request.method == "POST":
        return _submitted(request)
    return _jobs_page(request, ReplayForm.for_the_last_minutes(now))


@operator_required
def _submitted(request: HttpRequest) -> HttpResponse:
    form = ReplayForm(request.POST)
    if form.is_valid():
        try:
            job = submit(form.request(), user=request.user, data_dir=settings.MDDS.data_dir, now=timezone.now())
        except ReplayRefused as refusal:
            form.refuse(refusal)
        else:
            tasks.enqueue(job)
            return redirect("portal:replay-job", job.pk)
    return _jobs_page(request, form, status=422)


def _jobs_page(request: HttpRequest, form: ReplayForm, *, status: int = 200) -> HttpResponse:
    listed = job_list(request.GET, now=timezone.now())
    context = {"section": "replay", "form": form, "list": listed, "may_operate": may_operate(request.user)}
    template = "portal/replay/list.html" if request.headers.get("HX-Request") else "portal/replay/page.html"
    return render(request, template, context, status=status)


@require_safe
@viewer_required
def estimate_part(request: HttpRequest) -> HttpResponse:
    """What the range in the form holds, or what is wrong with the form."""
    form, found = ReplayForm(request.GET), None
    if form.is_valid():
        try:
            check(form.request(), now=timezone.now())
            found = estimate_request(form.request(), data_dir=settings.MDDS.data_dir)
        except ReplayRefused as refusal:
            form.refuse(refusal)
    duration_s = form.play_s(found) if found else None
    return render(request, "portal/replay/estimate.html", {"form": form, "estimate": found, "duration_s": duration_s})


@require_safe
@viewer_required
def job_page(request: HttpRequest, job_id: int) -> HttpResponse:
    """One job, followed while it runs."""
    return render(request, "portal/replay/job.html", _job_context(request, job_id))


@require_safe
@viewer_required
def progress_part(request: HttpRequest, job_id: int) -> HttpResponse:
    """The part of a job's page that changes; it asks for itself each second until the job has ended."""
    return render(request, "portal/replay/progress.html", _job_context(request, job_id))


@require_POST
@operator_required
def cancel(request: HttpRequest, job_id: int) -> HttpResponse:
    """Cancel a job, or ask its player to stop."""
    if not ReplayJob.objects.filter(pk=job_id).exists():
        raise Http404
    if not jobs.cancel(job_id, now=timezone.now()):
        messages.warning(request, f"Replay {job_id} had ended already, or its cancel was asked for before.")
    return redirect("portal:replay-job", job_id)


def _job_context(request: HttpRequest, job_id: int) -> dict[str, object]:
    job = ReplayJob.objects.select_related("feed", "submitted_by").filter(pk=job_id).first()
    if job is None:
        raise Http404
    return {
        "section": "replay",
        "job": JobView.of(job, now=timezone.now()),
        "may_operate": may_operate(request.user),
    }
