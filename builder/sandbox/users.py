"""Users and groups of an image: passwd and group text → numbers, by the rules of Docker's USER."""

from __future__ import annotations

# docker/moby refuse what does not fit: "uids and gids must be in range 0-2147483647".
_LARGEST = 2**31 - 1

_Entry = tuple[str, int, int, str]  # name, uid, gid, home
_Group = tuple[str, int, tuple[str, ...]]  # name, gid, members


class UserNotFound(LookupError):
    """The text names a user or group that the files do not have, or a number out of range."""


class Identity:
    """Whom a process runs as; ``groups`` are the supplementary ones without ``gid``."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home

    def __repr__(self) -> str:
        return f"Identity({self.uid}, {self.gid}, {self.groups}, {self.home!r})"


def lookup_user(text: str, passwd: bytes, group: bytes) -> Identity:
    """``user[:group]``, names or numbers; "" is root. Raises UserNotFound.

    A user of the passwd file, by name or number, brings its gid, home and supplementary groups; an explicit
    group replaces gid and groups. A number that the file lacks is a user of group 0 at home in ``/``.
    """
    user_text, _, group_text = text.partition(":")
    user_text = user_text or "0"
    number = _number(user_text)
    entry = _find_user(user_text, number, passwd)
    if entry is None and number is None:
        raise UserNotFound(f'unable to find user "{user_text}": no matching entries in passwd file')
    name, uid, gid, home = entry or ("", number or 0, 0, "/")
    home = home or "/"
    if group_text:
        return Identity(uid, _lookup_group(group_text, group), (), home)
    if not name:
        return Identity(uid, gid, (), home)
    members = dict.fromkeys(g for _, g, names in _groups(group) if name in names and g != gid)
    return Identity(uid, gid, tuple(members), home)


def lookup_owner(text: str, passwd: bytes, group: bytes) -> tuple[int, int]:
    """uid and gid for ``COPY --chown=text``, where a bare number is its own group. Raises UserNotFound."""
    if text and (number := _number(text)) is not None:
        return number, number
    identity = lookup_user(text, passwd, group)
    return identity.uid, identity.gid


def _find_user(text: str, number: int | None, passwd: bytes) -> _Entry | None:
    for fields in _lines(passwd):
        uid, gid = (_id(fields[2]), _id(fields[3])) if len(fields) > 3 else (None, None)
        if uid is None or gid is None:
            continue
        # A number is always a uid, even if a user is called like that.
        if uid == number if number is not None else fields[0] == text:
            return fields[0], uid, gid, fields[5] if len(fields) > 5 else ""
    return None


def _lookup_group(text: str, group: bytes) -> int:
    number = _number(text)
    if number is not None:
        return number
    for name, gid, _ in _groups(group):
        if name == text:
            return gid
    raise UserNotFound(f'unable to find group "{text}": no matching entries in group file')


def _groups(group: bytes) -> list[_Group]:
    return [
        (fields[0], gid, tuple(fields[3].split(",")) if len(fields) > 3 else ())
        for fields in _lines(group)
        if len(fields) > 2 and (gid := _id(fields[2])) is not None
    ]


def _lines(data: bytes) -> list[list[str]]:
    text = data.decode("utf-8", "surrogateescape")
    stripped = (line.strip() for line in text.split("\n"))
    return [line.split(":") for line in stripped if line and not line.startswith("#")]


def _number(text: str) -> int | None:
    """The number that ``text`` is, None if it is a name. Raises UserNotFound if it is too large."""
    if not _is_number(text):
        return None
    number = _id(text)
    if number is None:
        raise UserNotFound(f"uids and gids must be in range 0-{_LARGEST}")
    return number


def _id(text: str) -> int | None:
    # Ten digits hold the largest id; int() of a very long text would raise an error of its own.
    if not _is_number(text) or len(text.lstrip("0")) > 10 or int(text[-10:]) > _LARGEST:
        return None
    return int(text[-10:])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
