"""What is tried again, how often, and after how long."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import formatdate
from functools import partial

import pytest

from builder.core.descriptor import OCI_LAYER_GZIP, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import Cancelled, Kind
from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.core.reference import Reference
from builder.registry.client import HttpRegistryClient
from builder.registry.config import Endpoint
from builder.registry.interface import RegistryDenied, RegistryError, RegistryUnavailable
from builder.registry.retry import EndpointFailed, Retry, is_transient, retry_after_s
from tests.support.registry import Answer, FakeRegistry

BLOB = bytes(range(256)) * 12_000


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        server.push_image("app", "1", [], {})
        server.push_blob("app", BLOB)
        yield server


class Patient:
    """A client that writes down how long it would have slept."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.naps: list[float] = []
        self.client = HttpRegistryClient.open(patience=Patience(sleep=self.naps.append))
        self.reference = Reference.parse(f"{registry.host}/app:1")

    def manifest(self) -> bytes:
        return self.client.fetch_manifest(self.reference).raw

    def blob(self) -> bytes:
        got: list[bytes] = []
        descriptor = Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest.of(BLOB), size=len(BLOB))
        self.client.fetch_blob(self.reference, descriptor, got.append)
        return b"".join(got)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_status_is_tried_again(registry: FakeRegistry, status: int) -> None:
    """Four more times, with growing pauses that are not the same for everybody."""
    registry.fail("/manifests/", status, times=4)
    patient = Patient(registry)

    assert patient.manifest()
    assert len(registry.log) == 5
    for number, nap in enumerate(patient.naps):
        assert 0.25 * 2**number <= nap <= 0.5 * 2**number


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 418])
def test_final_status_is_not_tried_again(registry: FakeRegistry, status: int) -> None:
    """What the client did wrong stays wrong."""
    registry.fail("/manifests/", status)
    patient = Patient(registry)

    with pytest.raises(RegistryError):
        patient.manifest()
    assert len(registry.log) == 1
    assert patient.naps == []


def test_persistent_failure_is_unavailable_with_the_registrys_words(registry: FakeRegistry) -> None:
    """Five tries, then the status and the message."""
    registry.fail("/manifests/", 503, body=b'{"errors": [{"code": "X", "message": "storage is down"}]}')
    patient = Patient(registry)

    with pytest.raises(RegistryUnavailable, match=r"503 Service Unavailable \(storage is down\)") as caught:
        patient.manifest()
    assert caught.value.kind is Kind.UNAVAILABLE
    assert len(registry.log) == 5


def test_forbidden_is_denied(registry: FakeRegistry) -> None:
    """403 is about who asks, and says how to become somebody else."""
    registry.fail("/manifests/", 403)

    with pytest.raises(RegistryDenied) as caught:
        Patient(registry).manifest()
    assert caught.value.hint is not None
    assert f"pybuild login {registry.host}" in caught.value.hint


def test_retry_after_is_obeyed(registry: FakeRegistry) -> None:
    """Not sooner than the server says, and a little later."""
    registry.fail("/manifests/", 429, times=1, headers={"Retry-After": "7"})
    patient = Patient(registry)
    patient.manifest()

    assert len(patient.naps) == 1
    assert 7 <= patient.naps[0] <= 8


def test_a_long_retry_after_is_the_end(registry: FakeRegistry) -> None:
    """Docker Hub's limit lifts after hours: that is told, not waited for."""
    registry.fail("/manifests/", 429, headers={"Retry-After": "21600"})
    patient = Patient(registry)

    with pytest.raises(RegistryUnavailable) as caught:
        patient.manifest()
    assert "429" in caught.value.message
    assert caught.value.hint is not None
    assert "limits how often" in caught.value.hint
    assert patient.naps == []


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("0", 0, 0), ("12", 12, 12), ("99999999999", 1e8, 1e9), (formatdate(0, usegmt=True), 0, 0)],
)
def test_retry_after_forms(text: str, low: float, high: float) -> None:
    """Seconds, or a date, which may be past."""
    value = retry_after_s({"Retry-After": text})

    assert value is not None
    assert low <= value <= high


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "²"])
def test_nonsense_in_retry_after_is_ignored(text: str) -> None:
    """Then the usual pause holds."""
    assert retry_after_s({"Retry-After": text}) is None


def test_is_transient_table() -> None:
    """408, 429 and every server error."""
    assert [s for s in range(200, 600) if is_transient(s)] == [408, 429, *range(500, 600)]


def test_dropped_connection_is_tried_again(registry: FakeRegistry) -> None:
    """An answer that never came."""
    registry.drop("/manifests/", times=3)
    patient = Patient(registry)

    assert patient.manifest()
    assert len(registry.log) == 4


def test_truncated_manifest_is_fetched_again(registry: FakeRegistry) -> None:
    """Half a manifest is none."""
    registry.truncate("/manifests/", 10, times=2)

    assert Patient(registry).manifest()
    assert len(registry.log) == 3


def test_nobody_listens(registry: FakeRegistry) -> None:
    """One second try, and the reason in plain words."""
    patient = Patient(registry)
    with FakeRegistry() as gone:
        patient.reference = Reference.parse(f"{gone.host}/app")

    with pytest.raises(RegistryUnavailable, match="connection refused"):
        patient.manifest()
    assert len(patient.naps) == 1


def test_truncated_blob_goes_on_where_it_stopped(registry: FakeRegistry) -> None:
    """By Range; no byte is asked for twice."""
    registry.truncate("/blobs/", 1000, times=1)
    registry.truncate("/blobs/", 2000, times=1)

    assert Patient(registry).blob() == BLOB
    assert [r.headers.get("range") for r in registry.log] == [None, "bytes=1000-", "bytes=3000-"]


def test_blob_goes_on_without_ranges(registry: FakeRegistry) -> None:
    """A server may send all of it again: the known part is passed over."""
    registry.serves_ranges = False
    registry.truncate("/blobs/", 1_500_000, times=2)

    assert Patient(registry).blob() == BLOB
    assert len(registry.log) == 3


def test_progress_resets_the_count(registry: FakeRegistry) -> None:
    """A line that breaks every 1.1 MB still brings a large blob home; one that brings nothing does not."""
    registry.truncate("/blobs/", 1_100_000, times=2)
    registry.drop("/blobs/", times=3)
    patient = Patient(registry)

    assert patient.blob() == BLOB
    assert len(registry.log) == 6


def test_a_trickle_is_no_progress(registry: FakeRegistry) -> None:
    """A few bytes and a broken connection, for ever: five times."""
    registry.truncate("/blobs/", 10, times=None)

    with pytest.raises(RegistryUnavailable):
        Patient(registry).blob()
    assert len(registry.log) == 5


def test_short_blob_is_cut_not_accepted(registry: FakeRegistry) -> None:
    """A body whose own length is less than the manifest says."""
    registry.change("/blobs/", lambda a: Answer(200, {}, a.body[:100]))

    with pytest.raises(DigestMismatch, match="100 bytes"):
        Patient(registry).blob()


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-99/3072000", "bytes 999-3071999/3072000", "bytes 1001-3071999/*", "nonsense", ""],
)
def test_wrong_part_is_not_taken(registry: FakeRegistry, content_range: str) -> None:
    """Bytes from elsewhere in the blob would be found out by the digest at the very end: all is asked for."""
    registry.truncate("/blobs/", 1000, times=1)
    registry.change("/blobs/", lambda a: a._replace(headers={**a.headers, "Content-Range": content_range}))

    assert Patient(registry).blob() == BLOB
    assert ["range" in request.headers for request in registry.log] == [False, True, False]


def test_part_of_another_whole_is_refused(registry: FakeRegistry) -> None:
    """The total in Content-Range is the size, or unknown."""
    registry.truncate("/blobs/", 1000, times=1)
    registry.change(
        "/blobs/", lambda a: a._replace(headers={**a.headers, "Content-Range": "bytes 1000-3071999/9999999"})
    )

    with pytest.raises(DigestMismatch, match="9999999 bytes"):
        Patient(registry).blob()


def test_cancel_ends_the_pause(registry: FakeRegistry) -> None:
    """Waiting for a server to recover is no reason to ignore Ctrl-C."""
    cancel = Cancel()
    client = HttpRegistryClient.open()

    def stop(_: Answer) -> Answer:
        cancel.cancel()
        return Answer(503, {"Retry-After": "30"})

    registry.change("/v2/other/", stop)
    with pytest.raises(Cancelled):
        client.fetch_manifest(Reference.parse(f"{registry.host}/other:1"), cancel=cancel)


def test_retry_keeps_no_state_between_runs() -> None:
    """Every run starts with the first pause."""
    naps: list[float] = []
    retry = Retry(sleep=naps.append, jitter=lambda: 1.0)
    for _ in range(2):
        answers = iter([503, 503, 200])
        retry.run(partial(attempt, answers), has_alternative=False, cancel=None)

    assert naps == [0.5, 1.0, 0.5, 1.0]


def attempt(answers: Iterator[int]) -> None:
    status = next(answers)
    if status != 200:
        raise EndpointFailed(Endpoint("https", "x.example"), "no", status=status, limit=5)
