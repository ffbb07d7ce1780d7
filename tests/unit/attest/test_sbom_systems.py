"""Packages of distributions: what dpkg, apk and rpm wrote, whole and broken."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import pytest

from builder.attest.sbom.scan import Inventory, scan
from builder.fs.tree import DirectoryTree

_STATUS = """\
Package: libc6
Status: install ok installed
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u4
Homepage: https://www.gnu.org/software/libc/libc.html
Description: GNU C Library: Shared libraries
 Contains the standard libraries.
 .
 Package: hidden

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:3~rc1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 1:2024a-0
Source: tz (2024a)
"""


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def purls(inventory: Inventory) -> list[str]:
    return [found.package.purl for found in inventory.packages]


def header(**tags: str | int) -> bytes:
    """An rpm header with these values, as rpm writes one."""
    numbers = {"name": 1000, "version": 1001, "release": 1002, "epoch": 1003, "license": 1014, "arch": 1022}
    entries, data = b"", b""
    for tag, value in tags.items():
        if isinstance(value, int):
            data += b"\0" * (-len(data) % 4)
            entries += struct.pack(">4I", numbers[tag], 4, len(data), 1)
            data += value.to_bytes(4, "big")
        else:
            entries += struct.pack(">4I", numbers[tag], 6, len(data), 1)
            data += value.encode() + b"\0"
    return struct.pack(">2I", len(tags), len(data)) + entries + data


def rpmdb(path: Path, *blobs: bytes) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    database.close()


def test_dpkg(tmp_path: Path) -> None:
    """Installed packages are listed with their source; removed ones are not."""
    write(tmp_path, {"var/lib/dpkg/status": _STATUS, "etc/os-release": 'ID=debian\nVERSION_ID="12"\n'})
    inventory = scan(DirectoryTree(str(tmp_path)))

    assert purls(inventory) == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc",
        "pkg:deb/debian/tzdata@1:2024a-0?arch=all&distro=debian-12&upstream=tz%402024a",
    ]
    assert inventory.packages[0].package.homepage == "https://www.gnu.org/software/libc/libc.html"
    assert inventory.packages[0].places == ("var/lib/dpkg/status",)
    assert inventory.warnings == ()


def test_licenses_of_debian(tmp_path: Path) -> None:
    """Those of the parts, from a copyright file in Debian's format; of any other file nothing is guessed."""
    copyright = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        "Files: *\nCopyright: me\nLicense: GPL-2+\n On Debian systems …\n\n"
        "Files: a\nLicense: Expat\n\nFiles: b\nLicense: LGPL-2.1 or Artistic\n\n"
        "License: BSD-3-clause\n text of a licence that no file has\n"
    )
    status = "Package: {}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"
    write(
        tmp_path,
        {
            "var/lib/dpkg/status": "".join(map(status.format, ("a", "b", "c"))),
            "usr/share/doc/a/copyright": copyright,
            "usr/share/doc/b/copyright": "This is free.\nLicense: MIT\n",
        },
    )
    inventory = scan(DirectoryTree(str(tmp_path)))

    assert [found.package.licenses for found in inventory.packages] == [
        ("GPL-2.0-or-later", "LGPL-2.1-only or Artistic-1.0-Perl", "MIT"), (), (),
    ]  # fmt: skip


def test_distroless(tmp_path: Path) -> None:
    """Without dpkg each package has a file; os-release is found through its link."""
    write(
        tmp_path,
        {
            "var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n",
            "var/lib/dpkg/status.d/base.md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/share/doc\n",
            "usr/lib/os-release": "ID=debian\n",
        },
    )
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("../usr/lib/os-release")

    assert purls(scan(DirectoryTree(str(tmp_path)))) == [
        "pkg:deb/debian/base-files@12.4?arch=amd64&distro=debian"
    ]


def test_apk(tmp_path: Path) -> None:
    """Fields of a package are its own, not those of its files."""
    installed = (
        "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nm:A B <a@b>\nU:https://musl.libc.org/\n"
        "F:lib\nR:libc.so\na:0:0:755\n\nP:ssl_client\nV:1.36-r5\nA:x86_64\nL:GPL-2.0-only\no:busybox\n\n"
    )
    write(
        tmp_path,
        {"lib/apk/db/installed": installed, "etc/os-release": "ID=alpine\nVERSION_ID=3.19.1\n# x=y\n"},
    )
    inventory = scan(DirectoryTree(str(tmp_path)))

    assert purls(inventory) == [
        "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1",
        "pkg:apk/alpine/ssl_client@1.36-r5?arch=x86_64&distro=alpine-3.19.1&upstream=busybox",
    ]
    assert inventory.packages[1].package.licenses == ("GPL-2.0-only",)


def test_rpm(tmp_path: Path) -> None:
    """The SQLite database is read; keys of signers are no packages."""
    rpmdb(
        tmp_path / "usr/lib/sysimage/rpm/rpmdb.sqlite",
        header(name="gpg-pubkey", version="1", release="2"),
        header(
            name="bash",
            version="5.2.15",
            release="5.fc39",
            epoch=1,
            license="GPL-3.0-or-later",
            arch="x86_64",
        ),
    )
    # Fedora keeps the old path as a link: still one database.
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/rpm").symlink_to("/usr/lib/sysimage/rpm")
    write(tmp_path, {"etc/os-release": "ID=fedora\nVERSION_ID=39\n"})
    inventory = scan(DirectoryTree(str(tmp_path)))

    assert purls(inventory) == ["pkg:rpm/fedora/bash@5.2.15-5.fc39?arch=x86_64&distro=fedora-39&epoch=1"]
    assert len(inventory.packages[0].places) == 1
    assert inventory.warnings == ()


@pytest.mark.parametrize(("name", "form"), [("Packages", "Berkeley DB"), ("Packages.db", "ndb")])
def test_old_rpm(tmp_path: Path, name: str, form: str) -> None:
    """Other forms of rpm's database are not read, and that is said."""
    write(tmp_path, {f"var/lib/rpm/{name}": b"\0" * 64})
    inventory = scan(DirectoryTree(str(tmp_path)))

    assert purls(inventory) == []
    assert inventory.warnings == (
        f'"/var/lib/rpm/{name}" is a database of rpm in the form {form}, which is not read',
    )


def test_hostile_rpm(tmp_path: Path) -> None:
    """Broken headers, endless views and what is no database are warnings, and the rest is listed."""
    whole = header(name="good", version="1", release="1")
    lying = struct.pack(">2I", 0xFFFFFF, 0xFFFFFF)
    outside = struct.pack(">2I", 1, 4) + struct.pack(">4I", 1000, 6, 0xFFFFFFF0, 1) + b"name"
    rpmdb(tmp_path / "var/lib/rpm/rpmdb.sqlite", b"", lying, outside, whole[:-3], whole)
    endless = tmp_path / "usr/share/rpm/rpmdb.sqlite"
    endless.parent.mkdir(parents=True)
    with sqlite3.connect(endless) as database:
        database.execute(
            "CREATE VIEW Packages AS WITH RECURSIVE t(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM t)"
            " SELECT hnum, zeroblob(8) AS blob FROM t"
        )
    database.close()
    write(tmp_path, {"usr/lib/sysimage/rpm/rpmdb.sqlite": b"SQLite format 3\0" + b"\xff" * 4096})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    inventory = scan(DirectoryTree(str(tmp_path)))

    assert purls(inventory) == ["pkg:rpm/redhat/good@1-1"]
    text = " ".join(inventory.warnings)
    assert '"/var/lib/rpm/rpmdb.sqlite" has a broken header' in text
    assert '"/usr/share/rpm/rpmdb.sqlite" cannot be read' in text
    assert '"/usr/lib/sysimage/rpm/rpmdb.sqlite" cannot be read' in text
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
