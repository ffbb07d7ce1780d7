"""Examples of every build check and of every error of a Dockerfile, and the page that is made of them."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest

from builder.core.errors import PybuildError
from builder.core.platform import Platform
from builder.engine.context import Dockerfile
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.dockerfile.rules import RULES
from builder.frontend.interface import FrontendRequest, ResolvedImage
from builder.fs.ignore import IgnoreRules
from tests.support import pages
from tests.unit.frontend.frontend_bridge import AMD64, ARM64, BUSYBOX, FakeBridge

ERRORS = sorted(path.name for path in pages.ERROR_CASES.iterdir() if path.is_dir())


class Bridge(FakeBridge):
    """Has an image for one platform only, whatever is asked for."""

    def resolve_image(self, reference: str, platform: Platform) -> ResolvedImage:
        if reference == "only-for-arm64":
            found = super().resolve_image("busybox", platform)
            return found._replace(config=dataclasses.replace(BUSYBOX, platform=ARM64))
        if reference.startswith("busybox"):
            return super().resolve_image("busybox", platform)
        return super().resolve_image(reference, platform)


def request(folder: Path) -> FrontendRequest:
    args = tomllib.loads((folder / "args.toml").read_text()) if (folder / "args.toml").exists() else {}
    ignore = folder / ".dockerignore"
    rules = IgnoreRules.parse(ignore.read_bytes(), ".dockerignore") if ignore.exists() else None
    file = folder / "Dockerfile"
    return FrontendRequest(
        source=file.read_bytes(),
        build_args=args.get("build_args", {}),
        platform=AMD64,
        build_platform=AMD64,
        excluding=Dockerfile("Dockerfile", file.read_bytes(), rules, file).excluding,
    )


def codes(folder: Path) -> list[str]:
    """Of the error that a build ends with, if any."""
    try:
        result = DockerfileFrontend().convert(request(folder), Bridge())
    except PybuildError as error:
        return [error.code]
    return ["lint-violation"] if result.violated else []


@pytest.mark.parametrize("name", RULES)
def test_bad_example_of_a_rule_breaks_it(name: str) -> None:
    """And no other rule; there is no error beside it."""
    result = DockerfileFrontend().check(request(pages.RULE_CASES / name / "bad"), Bridge())

    assert [name] == [warning.rule for warning in result.warnings]
    assert result.errors == ()


@pytest.mark.parametrize("name", RULES)
def test_good_example_of_a_rule_keeps_all(name: str) -> None:
    """There is nothing to say about it."""
    result = DockerfileFrontend().check(request(pages.RULE_CASES / name / "good"), Bridge())

    assert (result.warnings, result.errors) == ((), ())


@pytest.mark.parametrize("code", ERRORS)
def test_examples_of_an_error(code: str) -> None:
    """The bad one is refused with that code, the good one is not."""
    assert [code] == codes(pages.ERROR_CASES / code / "bad")
    assert codes(pages.ERROR_CASES / code / "good") == []


def test_every_error_has_examples() -> None:
    """A new error gets a folder of testdata/errors or a line of elsewhere.toml; one that is gone loses it."""
    named = {*ERRORS, *pages.elsewhere()}

    assert set(pages.error_classes()) == named


def test_every_rule_has_examples() -> None:
    """The folders of testdata/rules are the 22 rules."""
    assert sorted(RULES) == sorted(path.name for path in pages.RULE_CASES.iterdir())
    assert len(RULES) == 22


def test_page_is_up_to_date() -> None:
    """`python -m tests.support.pages` has nothing to change."""
    assert pages.page() == pages.PAGE.read_text()
