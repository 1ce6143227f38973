"""A model field for a list of codes out of a fixed set, stored as JSON."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.deconstruct import deconstructible
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget


@deconstructible
class CodeListValidator:
    """Refuses anything but a list of known codes, each once, naming what is wrong."""

    def __init__(self, codes: Sequence[str]) -> None:
        self.codes = tuple(codes)

    def __call__(self, value: object) -> None:
        if not isinstance(value, list) or not all(isinstance(code, str) for code in value):
            raise ValidationError(f"{value!r} is not a list of codes.", code="not_a_list")
        for code in value:
            if code not in self.codes:
                raise ValidationError(f"{code!r} is not known; known are {', '.join(self.codes)}.", code="unknown")
        if len(set(value)) < len(value):
            raise ValidationError(f"{value!r} names a code twice.", code="twice")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CodeListValidator) and other.codes == self.codes

    def __hash__(self) -> int:
        return hash(self.codes)


class CodeListField(models.JSONField):
    """`codes` is the known set, in the order the list is kept and shown."""

    def __init__(self, *args: Any, codes: Sequence[str] = (), **kwargs: Any) -> None:
        self.codes = tuple(codes)
        kwargs.setdefault("default", list)
        kwargs["validators"] = [CodeListValidator(self.codes)]
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("validators", None)
        return name, path, args, kwargs | {"codes": self.codes}

    def formfield(self, **kwargs: Any) -> Any:
        return forms.MultipleChoiceField(
            choices=[(code, code) for code in self.codes],
            widget=UnfoldAdminCheckboxSelectMultipleWidget,
            required=not self.blank,
            label=kwargs.get("label") or str(self.verbose_name).capitalize(),
            help_text=self.help_text,
            initial=self.get_default(),
        )
