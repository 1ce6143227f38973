"""A parser's checkpoint: the state after which its RAW messages may be acknowledged.

Order of things: PARSED confirmed, then the checkpoint kept, then RAW acknowledged. A parser that dies is succeeded by
one that starts from the checkpoint and gets everything after it again: it makes the same records with the same
numbers, and readers drop what they have by the record numbers in the headers.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from feeds.parser.context import Context
from feeds.parser.pipeline import Pipeline


class Checkpoint(NamedTuple):
    """`run` names the numbering generation, `owner` the parser that wrote it."""

    run: str
    owner: str
    contexts: list[Context]


def encode(pipeline: Pipeline, run: str, owner: str) -> bytes:
    """The state of `pipeline` as JSON."""
    contexts = [context.state() for context in pipeline.contexts.values()]
    return json.dumps({"run": run, "owner": owner, "contexts": contexts}, separators=(",", ":")).encode()


def decode(body: bytes) -> Checkpoint:
    """The inverse of `encode`. Raises ValueError for what is no checkpoint."""
    try:
        value = json.loads(body)
        return Checkpoint(value["run"], value["owner"], [Context.restore(state) for state in value["contexts"]])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no parser checkpoint: {type(error).__name__}: {error}") from error
