"""`doctor` says what a machine allows its caller, and tries it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.cli import Pybuild
from tests.support.users import UID, ordinary_user

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]


def _checks(outcome: str) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(outcome)["checks"]}


def test_root(pybuild: Pybuild) -> None:
    """Sandboxes work, which these tests need; the store is named; the same for people and for programs."""
    told = pybuild("doctor").out
    document = pybuild("doctor", "--json").out
    checks = _checks(document)

    assert json.loads(document)["rung"] == "root"
    assert checks["sandbox"]["state"] == checks["network"]["state"] == "works"
    assert str(pybuild.root) in checks["store"]["found"]
    assert told.startswith("steps run: root")
    assert all(check["found"] in told for check in checks.values() if check["name"] != "store")
    for check in checks.values():
        assert check["state"] == "works" or check["unlock"], check


def test_an_ordinary_user() -> None:
    """With lent ids steps run, and what only root can have is said to be limited."""
    with ordinary_user() as user:
        document = user("doctor", "--json").out
    checks = _checks(document)

    assert json.loads(document)["rung"] == "subordinate-ids"
    assert "65,537 ids" in checks["user"]["found"]
    assert checks["sandbox"]["state"] == "works"
    assert checks["devices"]["state"] == checks["limits"]["state"] == "limited"


def test_without_ids() -> None:
    """Steps cannot run: exit code 1, and what root has to do, as a command."""
    with ordinary_user(lent="") as user:
        told = user("doctor", code=1).out
        document = user("doctor", "--json", code=1).out
    checks = _checks(document)

    assert json.loads(document)["rung"] == "none"
    assert f"user {UID}: /etc/subuid lends ordinary no ids" in told
    assert checks["user"]["unlock"].startswith("as root: usermod --add-subuids")
    assert checks["sandbox"]["state"] == "missing"
