"""`--provenance`, `--sbom` and `--attest` as buildx spells them."""

from __future__ import annotations

import pytest

from builder.attest.options import Attestations, InvalidAttestation, ProvenanceOptions, read_attestations
from builder.core.errors import PybuildError, Unsupported


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", ProvenanceOptions()),
        ("1", ProvenanceOptions(mode="max")),
        ("min", ProvenanceOptions(mode="min")),
        ("mode=min", ProvenanceOptions(mode="min")),
        ("mode=max,builder-id=https://ci/7,version=v1", ProvenanceOptions(builder_id="https://ci/7")),
        ('"builder-id=a,b",reproducible=true', ProvenanceOptions(builder_id="a,b", is_reproducible=True)),
        ("inline-only=true,filename=p.json", ProvenanceOptions(is_inline_only=True, file_name="p.json")),
        ("false", None),
        ("disabled=true", None),
    ],
)
def test_provenance(text: str, expected: ProvenanceOptions | None) -> None:
    """The shorthand and the long form mean the same."""
    assert read_attestations((), text, None).provenance == expected
    if "=" in text:
        assert read_attestations((f"type=provenance,{text}",), None, None).provenance == expected


def test_together() -> None:
    """Nothing is on by itself; a shorthand has the last word."""
    assert not read_attestations((), None, None)
    assert read_attestations(("type=sbom",), None, None) == Attestations(has_sbom=True)
    assert not read_attestations(("type=sbom", "type=provenance"), "false", "false")
    assert read_attestations(("type=sbom,disabled=true",), None, "true").has_sbom


@pytest.mark.parametrize(
    ("attest", "provenance", "sbom", "error", "message"),
    [
        (["type=vex"], None, None, InvalidAttestation, '"vex"'),
        (["mode=max"], None, None, InvalidAttestation, 'type ""'),
        (["type=sbom", "type=sbom,disabled=true"], None, None, InvalidAttestation, "sbom twice"),
        ([], "mode=full", None, InvalidAttestation, '"full"'),
        ([], "yes", None, InvalidAttestation, '"yes" is no key=value'),
        ([], "mod=max", None, InvalidAttestation, 'has no "mod"'),
        ([], "filename=../x", None, InvalidAttestation, '"../x"'),
        ([], "reproducible=maybe", None, InvalidAttestation, '"maybe"'),
        ([], '"mode=max', None, InvalidAttestation, "cannot be read"),
        ([], "version=v0.2", None, Unsupported, '"v0.2"'),
        ([], None, "generator=docker/buildkit-syft-scanner", Unsupported, '"docker/buildkit-syft-scanner"'),
        ([], None, "mode=max", InvalidAttestation, 'has no "mode"'),
    ],
)
def test_refused(
    attest: list[str], provenance: str | None, sbom: str | None, error: type[PybuildError], message: str
) -> None:
    """What is not understood, and what is not built, is refused by name."""
    with pytest.raises(error) as raised:
        read_attestations(attest, provenance, sbom)

    assert message in raised.value.message
