"""Replay jobs in the admin: to read. They are submitted and cancelled in the portal."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from replay import states
from replay.models import ReplayJob


@admin.register(ReplayJob)
class ReplayJobAdmin(ModelAdmin):
    """The record of every replay: who asked for what, and how it ended. Rows are changed by the player alone."""

    list_display = ("id", "feed", "from_at", "to_at", "speed", "state_label", "messages_sent", "submitted_by", "page")
    list_filter = ("state", "feed", "submitted_by")
    search_fields = ("id", "feed__name", "submitted_by__username", "error")
    date_hierarchy = "submitted_at"
    list_select_related = ("feed", "submitted_by")
    readonly_fields = tuple(field.name for field in ReplayJob._meta.fields)

    @display(
        description="state",
        ordering="state",
        label={
            states.COMPLETED: "success",
            states.RUNNING: "info",
            states.CANCELLED: "warning",
            states.FAILED: "danger",
        },
    )
    def state_label(self, job: ReplayJob) -> str:
        return job.state

    @admin.display(description="portal")
    def page(self, job: ReplayJob) -> SafeString:
        return format_html('<a href="{}">watch</a>', reverse("portal:replay-job", args=[job.pk]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ReplayJob | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ReplayJob | None = None) -> bool:
        return False
