"""Which attestations a build is to get: `--provenance`, `--sbom` and `--attest`, as buildx spells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.suggest import did_you_mean

_TYPES = ("provenance", "sbom")
_MODES = ("min", "max")
_PROVENANCE = ("mode", "builder-id", "version", "filename", "reproducible", "inline-only")
_SBOM = ("generator",)
_VERSION = "v1"


class InvalidAttestation(PybuildError):
    """An attestation was asked for in a way that cannot be read."""

    kind = Kind.INVALID
    code = "invalid-attestation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceOptions:
    """What `--provenance` says."""

    mode: str = "max"  # BuildKit's default; min leaves out what a build argument or a step could tell
    builder_id: str = ""
    file_name: str = "provenance.json"  # beside files; images know it by its type
    is_reproducible: bool = False  # the user says so
    is_inline_only: bool = False  # only with outputs that are images


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestations:
    """What is wanted of one build."""

    provenance: ProvenanceOptions | None = None
    has_sbom: bool = False

    def __bool__(self) -> bool:
        return self.provenance is not None or self.has_sbom

    @property
    def needs_index(self) -> bool:
        """Whether an output that cannot hold them must be refused; what is inline-only may be left out."""
        return self.has_sbom or (self.provenance is not None and not self.provenance.is_inline_only)


def read_attestations(attest: Sequence[str], provenance: str | None, sbom: str | None) -> Attestations:
    """The values of the three options; the shorthands count more. Raises InvalidAttestation, Unsupported."""
    wanted: dict[str, Mapping[str, str] | None] = {}
    for text in attest:
        values = _values("--attest", text)
        kind = values.get("type", "")
        if kind not in _TYPES:
            raise InvalidAttestation(
                f'--attest type "{kind}" is not known',
                hint=did_you_mean(kind, _TYPES, otherwise="it is provenance or sbom"),
            )
        if kind in wanted:
            raise InvalidAttestation(f"--attest asks for {kind} twice", hint="leave one of them out")
        wanted[kind] = _enabled(f"--attest type={kind}", values)
    for kind, given in (("provenance", provenance), ("sbom", sbom)):
        if given is not None:
            wanted[kind] = _enabled(f"--{kind}", _shorthand(kind, given))
    made = wanted.get("provenance")
    listed = wanted.get("sbom")
    return Attestations(
        provenance=None if made is None else _provenance(made),
        has_sbom=listed is not None and _is_sbom(listed),
    )


def _shorthand(kind: str, text: str) -> Mapping[str, str]:
    """``true``, ``false``, or keys; of provenance a mode alone, too."""
    switch = _boolean(text)
    if switch is not None:
        return {"type": kind, "disabled": str(not switch).lower()}
    if kind == "provenance" and text in _MODES:
        return {"type": kind, "mode": text}
    return {**_values(f"--{kind}", text), "type": kind}


def _enabled(option: str, values: Mapping[str, str]) -> Mapping[str, str] | None:
    """The values that are left; None: it is switched off."""
    known = _PROVENANCE if values["type"] == "provenance" else _SBOM
    for key in values:
        if key not in ("type", "disabled", *known):
            raise InvalidAttestation(
                f'{option} has no "{key}"',
                hint=did_you_mean(key, known, otherwise=f"it has {', '.join(known)}"),
            )
    if _flag(option, values, "disabled"):
        return None
    return {key: value for key, value in values.items() if key not in ("type", "disabled")}


def _provenance(values: Mapping[str, str]) -> ProvenanceOptions:
    mode, version = values.get("mode", "max"), values.get("version", _VERSION)
    if mode not in _MODES:
        raise InvalidAttestation(f'provenance mode "{mode}" is not known', hint="it is min or max")
    if version != _VERSION:
        raise Unsupported(
            f'provenance version "{version}" is not built yet', hint=f"leave it out: it is {_VERSION}"
        )
    name = values.get("filename", "provenance.json")
    if not name or "/" in name or name in (".", ".."):
        raise InvalidAttestation(f'provenance filename "{name}" is no name of a file')
    return ProvenanceOptions(
        mode=mode,
        builder_id=values.get("builder-id", ""),
        file_name=name,
        is_reproducible=_flag("provenance", values, "reproducible"),
        is_inline_only=_flag("provenance", values, "inline-only"),
    )


def _is_sbom(values: Mapping[str, str]) -> bool:
    generator = values.get("generator")
    if generator is not None:
        raise Unsupported(
            f'the SBOM generator "{generator}" cannot be used: images that scan are not built yet',
            hint="--sbom=true lists Debian, Alpine, RPM, Python and npm packages",
        )
    return True


def _values(option: str, text: str) -> dict[str, str]:
    import csv

    try:
        (fields,) = csv.reader([text], strict=True) if "\n" not in text else ([],)
    except (csv.Error, ValueError) as error:
        raise InvalidAttestation(f'{option} "{text}" cannot be read: {error}') from error
    values = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals or not key.strip():
            raise InvalidAttestation(f'{option}: "{field}" is no key=value', hint="write KEY=VALUE,KEY=VALUE")
        values[key.strip().lower()] = value
    return values


def _flag(option: str, values: Mapping[str, str], key: str) -> bool:
    if key not in values:
        return False
    switch = _boolean(values[key])
    if switch is None:
        raise InvalidAttestation(f'{option}: {key} cannot be "{values[key]}"', hint="it is true or false")
    return switch


def _boolean(text: str) -> bool | None:
    """As Go's strconv.ParseBool."""
    return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}.get(text.lower())
