"""The admin of API keys: issue one (its secret is shown on the answering page, once), rotate, revoke."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from unfold.admin import ModelAdmin

from subscriptions import api_keys, audit, key_rotation
from subscriptions.audited_admin import AuditedAdmin, record
from subscriptions.models import ApiKey
from subscriptions.word_list import WordListField


class ApiKeyForm(forms.ModelForm):
    addresses = WordListField(empty=[], help_text="Addresses or networks such as 203.0.113.0/24; empty: any.")

    class Meta:
        model = ApiKey
        fields = ["subscriber", "name", "scopes", "addresses", "expires_at"]


class RotationForm(forms.Form):
    overlap_hours = forms.IntegerField(
        label="Overlap (hours)",
        min_value=0,
        max_value=int(key_rotation.OVERLAP_MAX.total_seconds() // 3600),
        initial=24,
        help_text="So long both keys are valid; then the old one expires.",
    )
    reason = forms.CharField(required=False, max_length=200, help_text="Kept in the audit trail.")


@admin.register(ApiKey)
class ApiKeyAdmin(AuditedAdmin, ModelAdmin):
    form = ApiKeyForm
    list_display = ["name", "subscriber", "public_id", "state", "scope_names", "expires_at", "last_used_at"]
    list_filter = ["subscriber"]
    search_fields = ["name", "public_id", "subscriber__code"]
    list_select_related = ["subscriber"]
    readonly_fields = ["public_id", "created_at", "last_used_at", "revoked_at", "replaces"]
    actions = ["rotate", "revoke"]

    @admin.display
    def state(self, key: ApiKey) -> str:
        now = timezone.now()
        if key.revoked_at and key.revoked_at <= now:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= now else "valid"

    @admin.display(description="scopes")
    def scope_names(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """A key stays its subscriber's."""
        return [*self.readonly_fields, "subscriber"] if obj else list(self.readonly_fields)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keys are revoked, never deleted: the audit trail and the usage refer to them."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm, change: bool) -> None:
        if not change:
            secret = api_keys.generate()
            obj.public_id = secret.public_id
            obj.digest = api_keys.digest(secret, site_secret=settings.SECRET_KEY)
            # Lives until the answer is rendered: not in the row, the session, a message (a cookie) or a log.
            request.issued_key = secret  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        secret: api_keys.SecretKey = request.issued_key  # type: ignore[attr-defined]
        return self._secret_page(request, obj, secret, title=f"API key {obj.name} was issued")

    def _secret_page(
        self, request: HttpRequest, obj: ApiKey, secret: api_keys.SecretKey, *, title: str
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": title,
            "opts": self.opts,
            "key": obj,
            "secret": secret.text,
        }
        response = TemplateResponse(request, "subscriptions/api_key_secret.html", context).render()
        add_never_cache_headers(response)
        return response

    @admin.action(description="Rotate (a successor; both valid for a while)", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Asks for the overlap, then shows the successor's secret, once."""
        key = queryset.first()
        if queryset.count() != 1 or key is None:
            self.message_user(request, "Rotate one key at a time: each secret is shown once.", level="error")
            return None
        form = RotationForm(request.POST if "overlap_hours" in request.POST else None)
        if not form.is_valid():
            context = self.admin_site.each_context(request) | {
                "title": f"Rotate API key {key.name}", "opts": self.opts, "key": key, "form": form,
            }  # fmt: skip
            return TemplateResponse(request, "subscriptions/api_key_rotate.html", context)
        before = audit.fields_of(key)
        overlap = timedelta(hours=form.cleaned_data["overlap_hours"])
        try:
            successor, secret = key_rotation.rotate(
                key, overlap=overlap, at=timezone.now(), site_secret=settings.SECRET_KEY
            )
        except key_rotation.NotRotatable as error:
            self.message_user(request, str(error), level="error")
            return None
        key.refresh_from_db()
        record(request, "rotate", key, change=audit.difference(before, audit.fields_of(key)))
        record(request, "add", successor, change=(None, audit.fields_of(successor)))
        return self._secret_page(request, successor, secret, title=f"API key {key.name} was rotated")

    @admin.action(description="Revoke (live sessions end)", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        now = timezone.now()
        keys = list(queryset.filter(revoked_at=None))
        for key in keys:  # one by one: each save sends its notice
            key.revoked_at = now
            key.save(update_fields=["revoked_at"])
            record(request, "revoke", key, change=({"revoked_at": None}, {"revoked_at": now}))
        self.message_user(request, f"{len(keys)} key(s) revoked.")
