"""An admin class whose every change leaves an audit entry in the same transaction."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest

from subscriptions import audit


def record(request: HttpRequest, act: str, row: Model, *, change: audit.Change = (None, None)) -> None:
    """`act` is add, change, delete or the name of an action; the optional POST field `reason` is kept too."""
    audit.append(
        f"{row._meta.label_lower}.{act}",
        str(row),
        who=request.user.get_username(),
        change=change,
        address=request.META.get("REMOTE_ADDR") or None,
        reason=request.POST.get("reason", ""),
    )


class AuditedAdmin(admin.ModelAdmin):
    """To be mixed in before the concrete admin class."""

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        stored = type(obj)._default_manager.filter(pk=obj.pk).first() if change else None
        form.audit_before = audit.fields_of(stored) if stored else None  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool) -> None:
        """The row's own entry is written here, when its many-to-many relations are saved too."""
        super().save_related(request, form, formsets, change)
        before = form.audit_before  # type: ignore[attr-defined]
        after = audit.fields_of(form.instance)
        if before is None:
            record(request, "add", form.instance, change=(None, after))
        elif before != after:
            record(request, "change", form.instance, change=audit.difference(before, after))

    def save_formset(self, request: HttpRequest, form: ModelForm, formset: BaseModelFormSet, change: bool) -> None:
        # Read again: the formset's own rows carry the new values already.
        kept = [form.instance.pk for form in formset.initial_forms]
        stored = {row.pk: audit.fields_of(row) for row in formset.model._default_manager.filter(pk__in=kept)}
        gone = [form.instance for form in formset.deleted_forms if form.instance.pk]
        for row in gone:
            record(request, "delete", row, change=(stored.get(row.pk), None))
        super().save_formset(request, form, formset, change)
        for row in formset.new_objects:
            record(request, "add", row, change=(None, audit.fields_of(row)))
        for row, _ in formset.changed_objects:
            record(request, "change", row, change=audit.difference(stored[row.pk], audit.fields_of(row)))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        record(request, "delete", obj, change=(audit.fields_of(obj), None))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            record(request, "delete", row, change=(audit.fields_of(row), None))
        super().delete_queryset(request, queryset)
