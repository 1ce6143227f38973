"""Which of two images is the newer, whatever the order in which they come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from subscriptions.cache.images import ImageBook, epoch_of, lines_of
from subscriptions.cache.store import MemoryImages
from tests.gateway import cast

EPOCHS = ("20261120-1", "20261120-2", "20261121-1")


def test_an_epoch_is_a_number_that_rises() -> None:
    assert [epoch_of(text.encode()) for text in EPOCHS] == [2026112001, 2026112002, 2026112101]
    assert epoch_of(b"") == epoch_of(b"today") == 0


def test_images_replace_each_other_by_identity_and_events_are_not_kept() -> None:
    book = ImageBook()
    book.note(
        b"\n".join(
            [
                cast.depth("FPT", 1),
                cast.trade("FPT", 1),
                cast.depth("FPT", 2, mt="W"),
                cast.depth("FPT", 3, bd="T1"),
                cast.record("foreign", "FPT", 1, mt="MF"),
                cast.record("foreign", "FPT", 2, mt="MT"),
                b"not a record",
            ]
        )
    )
    kept = {key: [image.number for image in stream.images.values()] for key, stream in book.streams.items()}
    assert kept == {b'{"ch":"depth","s":"FPT"': [2, 3], b'{"ch":"foreign","s":"FPT"': [1, 2]}
    assert book.unreadable == 1


def test_what_changed_is_taken_once_and_given_back_when_it_could_not_be_written() -> None:
    book = ImageBook()
    book.note(cast.depth("FPT", 1))
    batch = book.take()
    assert book.take() == {}
    book.note(cast.depth("FPT", 2))
    book.note(cast.depth("VNM", 7))
    book.give_back(batch)
    assert sorted(image.number for one in book.take().values() for image in one.images.values()) == [2, 7]


@given(st.lists(st.tuples(st.sampled_from(EPOCHS), st.integers(1, 30), st.sampled_from(["G1", "T1"])), max_size=60))
def test_a_store_ends_with_the_newest_whatever_came_when(arrivals: list[tuple[str, int, str]]) -> None:
    store, one_by_one = MemoryImages(), ImageBook()
    for epoch, number, board in arrivals:
        one_by_one.note(cast.depth("FPT", number, ep=epoch, bd=board))
        store.put(one_by_one.take())
    newest = max((epoch for epoch, _, _ in arrivals), default="")
    expected = {}
    for epoch, number, board in arrivals:
        if epoch == newest:
            expected[board] = max(number, expected.get(board, 0))
    lines = [cast.depth("FPT", number, ep=newest, bd=board) for board, number in expected.items()]
    assert sorted(store.get("depth", "FPT")) == sorted(lines)
    stream = next(iter(one_by_one.streams.values()), None)
    assert lines_of(stream.images.values() if stream else []) == store.get("depth", "FPT")
