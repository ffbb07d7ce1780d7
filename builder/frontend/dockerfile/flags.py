"""The ``--flags`` of an instruction: which there are, how often, with which kind of value."""

from __future__ import annotations

from typing import NamedTuple

from builder.core.suggest import did_you_mean
from builder.frontend.dockerfile.instructions import InvalidFlag, UnknownFlag
from builder.frontend.dockerfile.node import Node, Word

# The kinds of flags: one value, any number of values, on or off.
_ONE, _MANY, _SWITCH = "one", "many", "switch"
_BOTH = {"chown": _ONE, "chmod": _ONE, "link": _SWITCH, "exclude": _MANY}
FLAGS: dict[str, dict[str, str]] = {
    "from": {"platform": _ONE},
    "run": {"mount": _MANY, "network": _ONE, "security": _ONE, "device": _MANY},
    "copy": {**_BOTH, "from": _ONE, "parents": _SWITCH},
    "add": {**_BOTH, "checksum": _ONE, "keep-git-dir": _SWITCH, "unpack": _SWITCH},
    "healthcheck": {
        "interval": _ONE, "timeout": _ONE, "start-period": _ONE, "start-interval": _ONE, "retries": _ONE,
    },
}  # fmt: skip
# Docker never looks at theirs.
_IGNORES_FLAGS = ("arg", "stopsignal")


class Flags(NamedTuple):
    """A node's flags; a value's location is the flag's."""

    one: dict[str, Word]
    many: dict[str, tuple[Word, ...]]
    switches: dict[str, bool]
    written: dict[str, Word]  # the flags as they stand there

    def value(self, name: str) -> Word | None:
        """None if it is not there, or is there and empty, which Docker does not tell apart either."""
        word = self.one.get(name)
        return word if word is not None and word.text else None


_NONE = Flags({}, {}, {}, {})


def read_flags(node: Node) -> Flags:
    """Raises UnknownFlag, InvalidFlag."""
    if not node.flags or node.keyword in _IGNORES_FLAGS:
        return _NONE
    known = FLAGS.get(node.keyword, {})
    flags = Flags({}, {}, {}, {})
    for word in node.flags:
        name, equals, text = word.text.removeprefix("--").partition("=")
        kind = known.get(name)
        if kind is None:
            keyword = node.keyword.upper()
            listed = ", ".join(f"--{flag}" for flag in known)
            raise UnknownFlag(
                f'unknown flag "--{name}" of {keyword}',
                hint=did_you_mean(
                    name, known, otherwise=f"{keyword} has {listed}" if known else f"{keyword} has no flags"
                ),
                location=word.location,
            )
        if name in flags.written and kind is not _MANY:
            raise InvalidFlag(
                f'duplicate flag "--{name}"', hint="leave one of them out", location=word.location
            )
        flags.written[name] = word
        if kind is _SWITCH:
            flags.switches[name] = _switch(name, text, word, has_value=bool(equals))
        elif not equals:
            raise InvalidFlag(
                f'missing a value on flag "--{name}"', hint=f"write --{name}=VALUE", location=word.location
            )
        elif kind is _MANY:
            flags.many[name] = (*flags.many.get(name, ()), Word(text, word.location))
        else:
            flags.one[name] = Word(text, word.location)
    return flags


def _switch(name: str, text: str, word: Word, *, has_value: bool) -> bool:
    if has_value and text.lower() not in ("true", "false"):
        raise InvalidFlag(
            f'the value of "--{name}" is "{text}"', hint="it is true or false", location=word.location
        )
    return text.lower() != "false"
