"""The command as an ordinary user of this machine has it, without changing the machine."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

import builder
from tests.support.cli import Pybuild

UID = 4321
NAME = "ordinary"
_LENT = f"{NAME}:700000:65536\n"

# In a mount namespace of its own: the user's lines for the system's files, and the program where it can be
# read, wherever the checkout and its environment lie.
_SCRIPT = """
for name in passwd subuid subgid; do
    [ -e /etc/$name ] || : > /etc/$name
    mount --bind "$PLACE/$name" /etc/$name
done
mount --bind "$CODE" "$PLACE/code/builder"
mount --bind "$GRAMMAR" "$PLACE/code/grammar"
mount --bind "$SITE" "$PLACE/site"
case "$BASE" in
/root/*)
    mount --bind "$BASE" "$PLACE/python"
    mount -t tmpfs -o mode=755 none /root
    (umask 022 && mkdir -p "$BASE")
    mount --bind "$PLACE/python" "$BASE"
esac
unset CODE GRAMMAR SITE BASE
exec setpriv --reuid UID --regid UID --clear-groups "$@"
""".replace("UID", str(UID))


class OrdinaryUser(Pybuild):
    """Has a home of its own, and subordinate ids if the system lends any."""

    def __init__(self, place: Path, *, lent: str) -> None:
        passwd = Path("/etc/passwd").read_text()
        for name, text in {
            "passwd": f"{passwd}{NAME}:x:{UID}:{UID}::{place}/home:/bin/sh\n",
            "subuid": lent,
            "subgid": lent,
        }.items():
            (place / name).write_text(text)
        for name in ("code/builder", "code/grammar", "site", "python"):
            (place / name).mkdir(parents=True)
        super().__init__(place / "home/store", place / "home")
        os.chown(place / "home", UID, UID)
        package = Path(builder.__file__).resolve().parent
        self.env |= {
            "PLACE": str(place),
            "CODE": str(package),
            "GRAMMAR": str(package.parent / "grammar"),
            "SITE": str(Path(typer.__file__).resolve().parent.parent),
            "BASE": sys.base_prefix,
            "PYTHONPATH": f"{place}/code:{place}/site",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        python = os.path.realpath(sys.executable)
        self.prefix = ["unshare", "--mount", "sh", "-euc", _SCRIPT, "sh", python, "-m", "builder"]


@contextmanager
def ordinary_user(*, lent: str = _LENT) -> Iterator[OrdinaryUser]:
    """Not below pytest's own directories, which only root may look into."""
    place = Path(tempfile.mkdtemp(prefix="ordinary-"))  # noqa: TID251 (nothing of the store)
    place.chmod(0o755)
    try:
        yield OrdinaryUser(place, lent=lent)
    finally:
        shutil.rmtree(place)
