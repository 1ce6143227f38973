"""A form field for a list of words, typed with commas, spaces or lines between, kept as a JSON list."""

import re
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget


class WordListField(forms.CharField):
    """`empty` is what an empty text means: [] or None."""

    def __init__(self, *, empty: list[str] | None, **kwargs: Any) -> None:
        self.empty = empty
        super().__init__(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        words = [word for word in re.split(r"[\s,;]+", super().clean(value)) if word]
        return list(dict.fromkeys(words)) or (None if self.empty is None else list(self.empty))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return (initial or self.empty) != self.clean(data)
