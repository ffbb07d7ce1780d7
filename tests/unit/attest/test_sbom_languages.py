"""Packages of languages, and trees that mean harm."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from builder.attest.sbom import files as bounds
from builder.attest.sbom.scan import Inventory, scan
from builder.core.errors import Cancelled
from builder.fs.tree import DirectoryTree


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def scanned(root: Path) -> Inventory:
    return scan(DirectoryTree(str(root)))


def purls(inventory: Inventory) -> list[str]:
    return [found.package.purl for found in inventory.packages]


def test_python(tmp_path: Path) -> None:
    """dist-info, egg-info folders and egg-info files; names in the form of the index."""
    site = "usr/lib/python3/dist-packages"
    write(
        tmp_path,
        {
            f"{site}/Flask_Login-0.6.dist-info/METADATA": (
                "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6\nLicense-Expression: MIT\n\nText: x\n"
            ),
            f"{site}/old.egg-info/PKG-INFO": "Name: old\nVersion: 1.0\nLicense: UNKNOWN\n",
            f"{site}/older-2.egg-info": "Name: older\r\nVersion: 2\r\n",
            f"{site}/egg.egg/EGG-INFO/PKG-INFO": "Name: egg\nVersion: 3\n",
            f"{site}/empty-1.dist-info/METADATA": "",
            f"{site}/docs/METADATA": "Name: no\nVersion: 1\n",
            "store/4f": "Name: linked\nVersion: 4\n",
            f"{site}/linked-4.dist-info/RECORD": "",
        },
    )
    (tmp_path / f"{site}/linked-4.dist-info/METADATA").symlink_to("/store/4f")
    inventory = scanned(tmp_path)

    assert purls(inventory) == [
        "pkg:pypi/egg@3", "pkg:pypi/flask-login@0.6", "pkg:pypi/linked@4",
        "pkg:pypi/old@1.0", "pkg:pypi/older@2",
    ]  # fmt: skip
    assert [found.package.licenses for found in inventory.packages] == [(), ("MIT",), (), (), ()]
    assert inventory.warnings == (f'"/{site}/empty-1.dist-info/METADATA" has no name or no version',)


def test_npm(tmp_path: Path) -> None:
    """Installed packages and those that a lock file pins; one package in two places is one."""
    digest = bytes(range(64))
    lock = {
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "app", "version": "9.9.9"},
            "node_modules/left-pad": {
                "version": "1.3.0",
                "integrity": f"sha512-{base64.b64encode(digest).decode()}",
            },
            "node_modules/a/node_modules/@s/b": {"version": "2.0.0", "license": "ISC"},
            "node_modules/linked": {"link": True, "version": "1.0.0"},
        },
    }
    older = {"dependencies": {"deep": {"version": "1.0.0", "dependencies": {"er": {"version": "2.0.0"}}}}}
    write(
        tmp_path,
        {
            "app/package.json": '{"name": "app", "version": "9.9.9"}',
            "app/package-lock.json": json.dumps(lock),
            "app/node_modules/left-pad/package.json": (
                '{"name": "left-pad", "version": "1.3.0", "license": "MIT"}'
            ),
            "app/node_modules/left-pad/test/package.json": '{"name": "inner", "version": "0.0.0"}',
            "app/node_modules/@t/c/package.json": '{"name": "@t/c", "version": "1.0.0-rc.1+b"}',
            "old/package-lock.json": json.dumps(older),
        },
    )
    inventory = scanned(tmp_path)

    assert purls(inventory) == [
        "pkg:npm/%40s/b@2.0.0", "pkg:npm/%40t/c@1.0.0-rc.1%2Bb", "pkg:npm/deep@1.0.0", "pkg:npm/er@2.0.0",
        "pkg:npm/left-pad@1.3.0",
    ]  # fmt: skip
    left_pad = inventory.packages[-1]
    assert left_pad.package.licenses == ("MIT",)
    assert left_pad.package.sha512 == digest.hex()
    assert left_pad.places == (
        "app/node_modules/left-pad/package.json", "app/package-lock.json",
    )  # fmt: skip


def test_links_stay_inside(tmp_path: Path) -> None:
    """No link leads out of the image, round in a circle, or to a device."""
    outside = write(
        tmp_path / "host", {"status": "Package: secret\nVersion: 1\nStatus: install ok installed\n"}
    )
    root = tmp_path / "image"
    for name in (
        "var/lib/dpkg",
        "lib/apk",
        "node_modules/a",
        "d/x.dist-info",
        "d/y.dist-info",
        "var/lib/rpm",
    ):
        (root / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").symlink_to(outside / "status")
    (root / "lib/apk/db").symlink_to("db")
    (root / "loop").symlink_to("/")
    (root / "node_modules/a/package.json").symlink_to(outside / "status")
    (root / "d/x.dist-info/METADATA").symlink_to(outside / "status")
    os.mkfifo(root / "d/y.dist-info/METADATA")
    os.mkfifo(root / "var/lib/rpm/rpmdb.sqlite")
    (root / "etc").mkdir()
    (root / "etc/os-release").symlink_to("../../host/status")
    inventory = scanned(root)

    assert purls(inventory) == []
    assert inventory.distribution == ("", "", "")
    assert '"/lib/apk/db/installed" cannot be reached' in inventory.warnings
    assert '"/var/lib/rpm/rpmdb.sqlite" is a fifo and not a file' in inventory.warnings


def test_broken_files(tmp_path: Path) -> None:
    """What cannot be read is a warning; what can be is listed all the same."""
    write(
        tmp_path,
        {
            "a/package-lock.json": "[" * 100_000,
            "b/package-lock.json": b"\xff\xfe{",
            "c/package-lock.json": '{"packages": {"node_modules/x": {"version": 1}, "node_modules/y": 2}}',
            "d/package-lock.json": "1" * 10_000,
            "node_modules/n/package.json": '{"name": "../../etc", "version": "1"}',
            "node_modules/m/package.json": '{"name": "\\ud800", "version": "\\ud800"}',
            "node_modules/o/package.json": '{"name": "ok", "version": "1", "license": ["MIT"]}',
            "var/lib/dpkg/status": b"Package: \xff\xff\nVersion: 1\n\nno\n\n: x\n\nVersion: 3\n" + b"x" * 999,
            "lib/apk/db/installed": b"P\n\n::\n\nP:p\n\nP:q\nV:1\n",
        },
    )  # fmt: skip
    inventory = scanned(tmp_path)

    assert {"pkg:npm/ok@1", "pkg:apk/alpine/q@1"} < set(purls(inventory))
    assert '"/a/package-lock.json" is no JSON' in inventory.warnings
    assert '"/d/package-lock.json" is no JSON' in inventory.warnings
    assert not any("etc" in purl for purl in purls(inventory))


def test_it_can_be_ended(tmp_path: Path) -> None:
    """A scan asks all the time whether it is to go on."""
    write(tmp_path, {f"{n}.egg-info": "Name: n\nVersion: 1\n" for n in range(3)})

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        scan(DirectoryTree(str(tmp_path)), stop)


def test_bounds(tmp_path: Path) -> None:
    """A file that is larger than any real one is not read; one that only claims it costs nothing."""
    write(tmp_path, {"var/lib/dpkg/status": "", "app/package-lock.json": ""})
    os.truncate(tmp_path / "var/lib/dpkg/status", 1 << 40)
    os.truncate(tmp_path / "app/package-lock.json", 1 << 40)
    deep = tmp_path / "/".join(["d"] * 250)
    deep.mkdir(parents=True)
    inventory = scanned(tmp_path)

    assert inventory.warnings == (
        f'"/var/lib/dpkg/status" has {1 << 40} bytes and is not read',
        f'"/app/package-lock.json" has {1 << 40} bytes and is not read',
        f'"/{"/".join(["d"] * bounds.DEPTH_LIMIT)}" lies too deep and is not looked at',
    )
