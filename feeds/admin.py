"""The admin of the upstream rows."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline

from feeds.models import BoardFacts, Exchange, Feed, Instrument, Line, WorkerHeartbeat


@admin.register(Exchange)
class ExchangeAdmin(ModelAdmin):
    list_display = ["code", "name", "timezone"]
    search_fields = ["code", "name"]


class LineInline(TabularInline):
    model = Line
    extra = 0
    min_num = 1
    max_num = 2


@admin.register(Feed)
class FeedAdmin(ModelAdmin):
    list_display = ["name", "exchange", "market_codes", "enabled", "line_addresses"]
    list_filter = ["enabled", "exchange"]
    search_fields = ["name"]
    inlines = [LineInline]
    list_select_related = ["exchange"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feed]:
        return super().get_queryset(request).prefetch_related("lines")

    @admin.display(description="markets")
    def market_codes(self, feed: Feed) -> str:
        return ", ".join(feed.markets)

    @admin.display(description="lines")
    def line_addresses(self, feed: Feed) -> str:
        return " · ".join(f"{line.name} {line.group}:{line.port}" for line in feed.lines.all())


class BoardFactsInline(TabularInline):
    model = BoardFacts
    extra = 0


@admin.register(Instrument)
class InstrumentAdmin(ModelAdmin):
    list_display = ["ticker", "isin", "market", "name", "updated_at"]
    list_filter = ["market"]
    search_fields = ["ticker", "isin", "name", "english_name"]
    inlines = [BoardFactsInline]
    show_full_result_count = False


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ModelAdmin):
    """Read only: the workers write it."""

    list_display = ["kind", "name", "host", "pid", "state", "started_at", "seen_at"]
    list_filter = ["kind", "host"]

    @admin.display
    def state(self, row: WorkerHeartbeat) -> str:
        if row.stopped_at:
            return "stopped"
        age_s = (timezone.now() - row.seen_at).total_seconds()
        return "running" if age_s < 5 else f"silent for {age_s:.0f} s"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
