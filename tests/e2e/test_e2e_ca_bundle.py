"""Certificates of one's own, for pybuild and for what runs in its steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.registry import TLS_PEM, FakeRegistry
from tests.support.stores import Write

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

_SHOW = "for name in SSL_CERT_FILE PIP_CERT; do eval echo $name=\\$$name; done; cat $SSL_CERT_FILE"


def test_a_registry_is_trusted_by_it(pybuild: Pybuild, tmp_path: Path) -> None:
    """And by nothing else; the option may stand before the command and behind its name."""
    with FakeRegistry(tls=True) as registry:
        name = f"{registry.host}/a:1"
        # This machine's own names would be asked in the clear.
        (pybuild.home / "config.toml").write_text(f'[registry."{registry.host}"]\ninsecure = false\n')
        pybuild("tag", "busybox", name)
        refused = pybuild("push", name, code=1)
        pybuild("--ca-bundle", TLS_PEM, "push", name)
        pybuild("pull", f"--ca-bundle={TLS_PEM}", name)
        pybuild("pull", name, env={"PYBUILD_CA_BUNDLE": str(TLS_PEM)})

    assert "certificate" in refused.err


def test_a_step_sees_it(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """While it runs; afterwards neither layer, configuration nor key tell of it."""
    context = write(f"FROM busybox\nENV PIP_CERT=/mine\nRUN {_SHOW}\n")
    built = pybuild.build(context, "--ca-bundle", TLS_PEM, "-t", "made")
    again = pybuild.build(context)
    without = pybuild.build(context, "--no-cache")

    assert "SSL_CERT_FILE=/run/pybuild/ca-bundle.pem" in built.err
    assert "PIP_CERT=/mine" in built.err
    assert "-----BEGIN CERTIFICATE-----" in built.err
    assert set(again.steps.values()) == {"CACHED"}
    assert again.image == built.image
    assert "SSL_CERT_FILE=\n" in without.err
    assert (
        pybuild.run("made", "sh", "-c", "ls /run/pybuild 2>&1 || true")
        .strip()
        .endswith("No such file or directory")
    )
    assert "ca-bundle" not in pybuild("inspect", "made").out


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), (b"0\x82", "no certificate in PEM form")]
)
def test_nonsense(pybuild: Pybuild, tmp_path: Path, content: bytes | None, why: str) -> None:
    """Said before anything is done."""
    file = tmp_path / "corp.pem"
    if content is not None:
        file.write_bytes(content)
    failed = pybuild("pull", "--ca-bundle", file, "busybox", code=1)

    assert "error[ca-bundle-unreadable]" in failed.err
    assert why in failed.err
