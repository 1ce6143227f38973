"""The admin of subscribers, their rights, and the audit trail."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from feeds import admin as feeds_admin
from feeds.models import Exchange, Feed, Instrument
from subscriptions import api_key_admin  # noqa: F401
from subscriptions.audited_admin import AuditedAdmin, record
from subscriptions.models import AuditEntry, Contract, Entitlement, Product, Subscriber
from subscriptions.word_list import WordListField

# The upstream knows nothing of the audit trail: its admin classes get it here.
for _model, _admin in (
    (Exchange, feeds_admin.ExchangeAdmin),
    (Feed, feeds_admin.FeedAdmin),
    (Instrument, feeds_admin.InstrumentAdmin),
):
    admin.site.unregister(_model)
    admin.site.register(_model, type(f"Audited{_admin.__name__}", (AuditedAdmin, _admin), {}))


class EntitlementForm(forms.ModelForm):
    symbols = WordListField(empty=None, help_text="Tickers such as FPT, VNM; empty: all symbols of the product.")

    class Meta:
        model = Entitlement
        fields = ["contract", "product", "starts_on", "ends_on", "symbols"]


class EntitlementInline(TabularInline):
    model = Entitlement
    form = EntitlementForm
    extra = 0


class ContractInline(TabularInline):
    model = Contract
    fields = ["number", "starts_on", "ends_on"]
    extra = 0
    show_change_link = True


@admin.register(Product)
class ProductAdmin(AuditedAdmin, ModelAdmin):
    list_display = ["code", "name", "market_codes", "channel_names", "level", "timeliness", "delay_s", "public"]
    list_filter = ["timeliness", "public"]
    search_fields = ["code", "name"]

    @admin.display(description="markets")
    def market_codes(self, product: Product) -> str:
        return ", ".join(product.markets)

    @admin.display(description="channels")
    def channel_names(self, product: Product) -> str:
        return ", ".join(product.channels)


@admin.register(Subscriber)
class SubscriberAdmin(AuditedAdmin, ModelAdmin):
    list_display = ["code", "name", "contact_email", "professional", "blocked"]
    list_filter = ["blocked", "professional"]
    search_fields = ["code", "name", "contact_email"]
    inlines = [ContractInline]
    actions = ["block", "unblock"]

    @admin.action(description="Block (live sessions end)", permissions=["change"])
    def block(self, request: HttpRequest, queryset: QuerySet[Subscriber]) -> None:
        self._set_blocked(request, queryset, True)

    @admin.action(description="Unblock", permissions=["change"])
    def unblock(self, request: HttpRequest, queryset: QuerySet[Subscriber]) -> None:
        self._set_blocked(request, queryset, False)

    def _set_blocked(self, request: HttpRequest, queryset: QuerySet[Subscriber], blocked: bool) -> None:
        changed = list(queryset.filter(blocked=not blocked))
        for subscriber in changed:  # one by one: each save sends its notice
            subscriber.blocked = blocked
            subscriber.save(update_fields=["blocked"])
            act = "block" if blocked else "unblock"
            record(request, act, subscriber, change=({"blocked": not blocked}, {"blocked": blocked}))
        self.message_user(request, f"{len(changed)} subscriber(s) {'blocked' if blocked else 'unblocked'}.")


@admin.register(Contract)
class ContractAdmin(AuditedAdmin, ModelAdmin):
    list_display = ["number", "subscriber", "starts_on", "ends_on", "sessions_max", "takeover", "symbols_max"]
    list_filter = ["subscriber"]
    search_fields = ["number", "subscriber__code", "subscriber__name"]
    date_hierarchy = "starts_on"
    inlines = [EntitlementInline]
    list_select_related = ["subscriber"]


@admin.register(Entitlement)
class EntitlementAdmin(AuditedAdmin, ModelAdmin):
    form = EntitlementForm
    list_display = ["contract", "subscriber", "product", "starts_on", "ends_on", "symbol_list"]
    list_filter = ["product", "contract__subscriber"]
    search_fields = ["contract__number", "contract__subscriber__code", "product__code"]
    list_select_related = ["contract__subscriber", "product"]

    @admin.display(ordering="contract__subscriber")
    def subscriber(self, entitlement: Entitlement) -> Subscriber:
        return entitlement.contract.subscriber

    @admin.display(description="symbols")
    def symbol_list(self, entitlement: Entitlement) -> str:
        return ", ".join(entitlement.symbols) if entitlement.symbols else "all"


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):
    """Read only, for everybody."""

    list_display = ["at", "who", "what", "subject", "address", "reason"]
    list_filter = ["what", "who"]
    search_fields = ["who", "what", "subject"]
    date_hierarchy = "at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
