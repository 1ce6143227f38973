"""The admin of the upstream rows."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline

from feeds.calendar_rows import ship_trading_day
from feeds.models import (
    BoardFacts,
    Exchange,
    Feed,
    FeedEvent,
    Instrument,
    Line,
    SpecialDay,
    TradingSession,
    WorkerHeartbeat,
)


class TradingSessionInline(TabularInline):
    model = TradingSession
    extra = 0


class SpecialDayInline(TabularInline):
    model = SpecialDay
    extra = 0


@admin.register(Exchange)
class ExchangeAdmin(ModelAdmin):
    """The exchange with its trading calendar; running workers take a change within two seconds."""

    list_display = ["code", "name", "timezone"]
    search_fields = ["code", "name"]
    inlines = [TradingSessionInline, SpecialDayInline]
    actions = ["ship_krx_day"]

    @admin.action(description="Enter the trading day of KRX where there is none", permissions=["change"])
    def ship_krx_day(self, request: HttpRequest, queryset: QuerySet[Exchange]) -> None:
        made = sum(ship_trading_day(exchange) for exchange in queryset)
        self.message_user(request, f"{made} trading sessions entered.")


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


@admin.register(FeedEvent)
class FeedEventAdmin(ModelAdmin):
    """Read only: the history is what happened."""

    list_display = ["at", "feed", "kind", "state", "line", "stream", "first", "last", "epoch"]
    list_filter = ["feed", "kind"]
    list_select_related = ["feed"]
    date_hierarchy = "at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
