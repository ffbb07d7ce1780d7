"""Golden definitions and image configs: a case is a directory under testdata/llb.

``args.toml`` holds what the command line would say and the images there are: target, platform, network,
no_cache, build_args, labels, images.NAME.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.core.digest import Digest
from builder.core.errors import PybuildError
from builder.core.image import ImageConfig
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.interface import FrontendRequest, FrontendResult, ResolvedImage
from builder.llb.show import show

TESTDATA = Path(__file__).parents[2] / "testdata"
AMD64 = Platform("linux", "amd64")

Golden = Callable[[Path, str], None]


def cases() -> list[Path]:
    found = sorted(path for path in (TESTDATA / "llb").iterdir() if path.is_dir())
    assert len(found) >= 20
    return found


class ImagesOfCase:
    """The bridge: any name is an image, with the config that the case gives it."""

    def __init__(self, images: Mapping[str, dict[str, Any]]) -> None:
        self.images = images

    def resolve_image(self, reference: str, platform: Platform) -> ResolvedImage:
        full = str(Reference.parse(reference).with_default_tag())
        document = {
            "os": platform.os,
            "architecture": platform.architecture,
            "variant": platform.variant,
            "config": self.images.get(reference, {}),
        }
        config = ImageConfig.from_json(json.dumps(document).encode())
        return ResolvedImage(full, Digest.of(f"{full} {platform}".encode()), config)


def convert(case: Path) -> FrontendResult:
    args = tomllib.loads((case / "args.toml").read_text()) if (case / "args.toml").exists() else {}
    request = FrontendRequest(
        source=(case / "Dockerfile").read_bytes(),
        build_args=args.get("build_args", {}),
        target=args.get("target"),
        labels=args.get("labels", {}),
        platform=Platform.parse(args.get("platform", "linux/amd64")),
        build_platform=AMD64,
        network=args.get("network"),
        ignores_cache=args.get("no_cache", False),
    )
    return DockerfileFrontend().convert(request, ImagesOfCase(args.get("images", {})))


def as_text(result: FrontendResult) -> str:
    document = json.loads(result.image.to_json())
    lines = [show(result.definition).rstrip("\n"), "", f"platform {result.image.platform}"]
    lines += [f"{name} {document[name]}" for name in ("author",) if name in document]
    lines += [f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in document["config"].items()]
    lines.append("")
    for entry in result.image.history:
        kind = "-----" if entry.is_empty_layer else "layer"
        lines.append(f"{kind} {json.dumps(entry.created_by, ensure_ascii=False)}")
    if result.warnings:
        lines.append("")
    for message, hint, location, _ in result.warnings:
        place = f"{location.start_line}:{location.start_column} " if location else ""
        lines.append(f"warning {place}{message} ({hint})")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", cases(), ids=lambda path: path.name)
def test_definition(case: Path, golden: Golden) -> None:
    """A Dockerfile converts to the vertices, config and history that its case shows, or to its error."""
    try:
        text = as_text(convert(case))
    except PybuildError as error:
        place = f"{error.location.start_line}:{error.location.start_column} " if error.location else ""
        text = f"error {place}[{error.code}] {error.message} ({error.hint})\n"
    golden(case / "llb.txt", text)
