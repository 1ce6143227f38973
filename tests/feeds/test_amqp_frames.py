"""What we encode for a publish is what pamqp reads: method, properties, headers, body in frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pamqp import body as pamqp_body
from pamqp import frame, header
from pamqp.commands import Basic

from feeds.bus.amqp.frames import PublishEncoder

NAMES = st.text(min_size=1, max_size=20)
VALUES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=50))


def frames_of(data: bytes) -> list[tuple[int, object]]:
    found: list[tuple[int, object]] = []
    while data:
        size, channel, value = frame.unmarshal(data)
        found.append((channel, value))
        data = data[size:]
    return found


@given(
    headers=st.dictionaries(NAMES, VALUES, max_size=12),
    body=st.binary(max_size=300),
    route=st.text(max_size=40),
    mandatory=st.booleans(),
    persistent=st.booleans(),
)
def test_pamqp_reads_what_was_meant(
    headers: dict[str, str | int], body: bytes, route: str, mandatory: bool, persistent: bool
) -> None:
    encoder = PublishEncoder("exchange", 7, persistent=persistent, mandatory=mandatory, body_bytes_max=100)
    for message_id in ("1", "2"):  # the second time from what was kept of the first
        method, content, *bodies = frames_of(encoder.encode(route, message_id, headers=headers, body=body))
        assert {channel for channel, _ in (method, content, *bodies)} == {7}
        publish = method[1]
        assert isinstance(publish, Basic.Publish)
        assert (publish.exchange, publish.routing_key, publish.mandatory, publish.immediate) == (
            "exchange", route, mandatory, False,
        )  # fmt: skip
        told = content[1]
        assert isinstance(told, header.ContentHeader)
        assert told.body_size == len(body)
        assert told.properties.headers == headers
        assert (told.properties.delivery_mode, told.properties.message_id) == (2 if persistent else 1, message_id)
        parts = [part.value for _, part in bodies if isinstance(part, pamqp_body.ContentBody)]
        assert (b"".join(parts), [len(part) <= 100 for part in parts]) == (body, [True] * -(-len(body) // 100))
