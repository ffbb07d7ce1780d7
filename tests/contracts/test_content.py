"""What every ContentStore promises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.digest import Digest, DigestMismatch
from builder.store.content import LocalContentStore
from builder.store.interface import BlobNotFound, ContentStore
from builder.store.state import StateDir

ABSENT = Digest.of(b"absent")


@pytest.fixture(params=["local"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ContentStore]:
    with StateDir.open(tmp_path) as state:
        yield LocalContentStore(state)


def test_what_is_put_can_be_read(content: ContentStore) -> None:
    """A blob has its own bytes, its own size, and the digest of its bytes."""
    digest = content.put(b"some bytes")
    with content.open(digest) as blob:
        assert blob.read() == b"some bytes"

    assert digest == Digest.of(b"some bytes")
    assert content.size(digest) == 10
    assert content.put(b"some bytes") == digest


def test_empty_blob(content: ContentStore) -> None:
    """No bytes are bytes too."""
    assert content.size(content.put(b"")) == 0


def test_absent_blob(content: ContentStore) -> None:
    """What is not there has no size and cannot be opened."""
    assert content.size(ABSENT) is None
    with pytest.raises(BlobNotFound):
        content.open(ABSENT)


def test_deleting_is_idempotent(content: ContentStore) -> None:
    """A blob that is gone can be deleted again."""
    digest = content.put(b"x")
    content.delete(digest)
    content.delete(digest)

    assert content.size(digest) is None


def test_open_blob_outlives_its_deletion(content: ContentStore) -> None:
    """Who is reading goes on reading."""
    digest = content.put(b"x" * 100_000)
    with content.open(digest) as blob:
        content.delete(digest)
        assert len(blob.read()) == 100_000


def test_nothing_before_commit(content: ContentStore) -> None:
    """A writer that is left without a commit leaves no trace."""
    with content.writer() as writer:
        assert writer.write(b"half") == 4

    assert content.size(Digest.of(b"half")) is None


def test_nothing_after_an_error(content: ContentStore) -> None:
    """Nor does one whose block ends in an error."""

    def fail() -> None:
        with content.writer() as writer:
            writer.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert content.size(Digest.of(b"half")) is None


def test_commit_checks_the_digest(content: ContentStore) -> None:
    """Bytes that are not what they were announced as are refused, and not kept."""
    with content.writer() as writer:
        writer.write(b"evil")
        with pytest.raises(DigestMismatch):
            writer.commit(expected=ABSENT)

    assert content.size(ABSENT) is None
    assert content.size(Digest.of(b"evil")) is None


def test_two_writers_of_one_blob(content: ContentStore) -> None:
    """Success means that the blob is there, whoever was first."""
    with content.writer() as one, content.writer() as two:
        one.write(b"same")
        two.write(b"same")
        first, second = one.commit(), two.commit()

    assert first == second == (Digest.of(b"same"), 4)
    assert content.size(first[0]) == 4


def test_many_threads(content: ContentStore) -> None:
    """Threads put blobs side by side, their own and each other's."""
    digests: list[Digest] = []

    def work(n: int) -> None:
        digests.extend(content.put(b"%d" % (number % 20)) for number in range(n, n + 30))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(digests) == 240
    assert all(content.size(digest) is not None for digest in digests)
