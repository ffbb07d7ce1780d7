"""Users and groups from passwd and group text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.sandbox.users import UserNotFound, lookup_owner, lookup_user

_PASSWD = b"""\
# a comment
root:x:0:0:root:/root:/bin/sh

broken line
nouid:x:abc:5::/:
ann:x:1000:100:Ann:/home/ann:/bin/sh
short:x:7:8
1000:x:55:55::/odd:
huge:x:99999999999:1::/:
 ann:x:1001:1::/second:
bin:x:2:2::/bin:/bin/false\xff
"""
_GROUP = b"""\
root:x:0:
wheel:x:10:root,ann
users:x:100:ann
nogid:x::ann
audio:x:29:ann,bob
audio2:x:29:ann
7:x:70:
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, (10,), "/root")),
        ("root", (0, 0, (10,), "/root")),
        ("0", (0, 0, (10,), "/root")),
        ("ann", (1000, 100, (10, 29), "/home/ann")),
        ("1000", (1000, 100, (10, 29), "/home/ann")),
        ("ann:", (1000, 100, (10, 29), "/home/ann")),
        ("ann:wheel", (1000, 10, (), "/home/ann")),
        ("ann:7", (1000, 7, (), "/home/ann")),
        (":wheel", (0, 10, (), "/root")),
        ("short", (7, 8, (), "/")),
        ("55", (55, 55, (), "/odd")),
        ("4242", (4242, 0, (), "/")),
        ("4242:43", (4242, 43, (), "/")),
        ("007", (7, 8, (), "/")),
        ("2147483647", (2147483647, 0, (), "/")),
    ],
)
def test_lookup_user(text, expected):
    """The table of USER: names and numbers, with and without a group."""
    user = lookup_user(text, _PASSWD, _GROUP)

    assert (user.uid, user.gid, user.groups, user.home) == expected


@pytest.mark.parametrize(
    "text", ["bob", "nouid", "huge", "ann:bob", "ann:nogid", "2147483648", "0:9999999999"]
)
def test_not_found(text):
    """Unknown names, entries without numbers, and numbers out of range are errors."""
    with pytest.raises(UserNotFound):
        lookup_user(text, _PASSWD, _GROUP)


def test_without_files():
    """An image without the files has root and every number, at home in /."""
    user = lookup_user("", b"", b"")
    assert (user.uid, user.gid, user.groups, user.home) == (0, 0, (), "/")
    assert lookup_user("5:6", b"", b"").gid == 6
    with pytest.raises(UserNotFound, match='unable to find user "root"'):
        lookup_user("root", b"", b"")


def test_lookup_owner():
    """For --chown a bare number is its own group, a name brings its own."""
    assert lookup_owner("ann", _PASSWD, _GROUP) == (1000, 100)
    assert lookup_owner("1000", _PASSWD, _GROUP) == (1000, 1000)
    assert lookup_owner("55:wheel", _PASSWD, _GROUP) == (55, 10)
    assert lookup_owner("4242", b"", b"") == (4242, 4242)


@given(st.binary(), st.binary(), st.text())
def test_any_bytes(passwd, group, text):
    """Whatever an image holds, the answer is a user in range or UserNotFound."""
    try:
        user = lookup_user(text, passwd, group)
    except UserNotFound:
        return
    assert all(0 <= number < 2**31 for number in (user.uid, user.gid, *user.groups))


@given(st.from_regex(r"[0-9:a\n]*", fullmatch=True), st.from_regex(r"[0-9]{0,5000}", fullmatch=True))
def test_long_numbers(passwd, text):
    """Numbers of any length are compared, never converted at any price."""
    try:
        user = lookup_user(text, passwd.encode(), b"")
    except UserNotFound:
        return
    assert not text or user.uid == int(text[-11:])
