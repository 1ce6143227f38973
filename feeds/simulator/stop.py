"""A flag that SIGINT and SIGTERM set, for loops that end themselves."""

import signal
from types import FrameType, TracebackType
from typing import Self


class StopFlag:
    """A context manager; call it to ask whether to stop. The former handlers are put back at the end."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._set = False
        self._former: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._set = True
