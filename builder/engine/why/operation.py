"""What changed of an operation itself: two plain descriptions of it, field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from builder.core.canonical import Plain
from builder.engine.why.cause import Cause, Kind, changed, quoted
from builder.solver.inputs import KeyInputs

_Fields = Mapping[str, Plain]

# What a field is called, what kind of cause it is, and what it is where the description leaves it out.
_NAMED: dict[str, tuple[str, Kind, str]] = {
    "cwd": ("WORKDIR", "place", "/"),
    "user": ("USER", "place", "root"),
    "network": ("--network", "option", "default"),
    "security": ("--security", "option", "sandbox"),
    "hostname": ("BUILDKIT_SANDBOX_HOSTNAME", "option", "none"),
    "host_names": ("--add-host", "option", "none"),
    "ulimits": ("--ulimit", "option", "none"),
    "shm_size": ("--shm-size", "option", "as usual"),
    "cgroup_parent": ("--cgroup-parent", "option", "none"),
    "platform": ("the platform", "platform", "any"),
}
# They are in the description to explain others.
_UNCOUNTED = frozenset({"is", "arguments", "mounts", "other_mounts"})


def text_of(name: str) -> str:
    """A step's name without its number: ``RUN make`` of ``[build 2/5] RUN make``."""
    return name.partition("] ")[2] if name.startswith("[") else name


def operation_causes(old: KeyInputs, new: KeyInputs) -> list[Cause]:
    """In the order of the instruction's text, its surroundings, and the options of the build."""
    if old.op == new.op:
        return []
    was, now = old.plain, new.plain
    if not isinstance(was, dict) or not isinstance(now, dict) or was.get("is") != now.get("is"):
        return [_instruction(text_of(old.name), text_of(new.name))]
    causes = _scratch(old, new, was, now)
    before, after = _unnumbered(was), _unnumbered(now)
    for field, compare in _COMPARED.items():
        if before.get(field) != after.get(field):
            causes += compare(old, new, before, after)
    for field in sorted({*before, *after} - {*_COMPARED, *_UNCOUNTED}):
        if before.get(field) != after.get(field):
            what, kind, default = _NAMED.get(field, (f'"{field}" of the step', "option", "none"))
            causes.append(
                changed(kind, what, what, _shown(before, field, default), _shown(after, field, default))
            )
    causes += _mounts(before, after)
    return causes or [Cause(kind="instruction", text="what counts of the instruction changed")]


def _scratch(old: KeyInputs, new: KeyInputs, before: _Fields, after: _Fields) -> list[Cause]:
    """FROM scratch in the place of an image, or the other way round."""
    if _is_on_nothing(before) == _is_on_nothing(after):
        return []
    names = [_image(inputs) for inputs in (old, new)]
    return [changed("base", "the base image", names[1], names[0], names[1])]


def _is_on_nothing(fields: _Fields) -> bool:
    return fields.get("base") == -1 or _mounts_by_target(fields).get("/", {}).get("input") == -1


def _image(inputs: KeyInputs) -> str:
    plain = inputs.plain if isinstance(inputs.plain, dict) else {}
    if _is_on_nothing(plain):
        return "scratch"
    below = next((part for part in inputs.parts if part.by == "key"), None)
    if below is None:
        return "another one"
    return str(below.source.get("image", "")) if isinstance(below.source, dict) else below.step


def _unnumbered(fields: _Fields) -> _Fields:
    """Without the numbers of inputs: they shift with what is below."""
    bare = {name: value for name, value in fields.items() if name != "base"}
    for family in ("actions", "mounts", "other_mounts"):
        listed = bare.get(family)
        if isinstance(listed, list):
            bare[family] = [
                {name: value for name, value in each.items() if name != "input"}
                if isinstance(each, dict)
                else each
                for each in listed
            ]
    if bare.get("mounts") == [{"is": "InputMount", "target": "/", "output": 0}]:
        del bare["mounts"]  # the root alone is not written down
    return bare


def _instruction(old: str, new: str) -> Cause:
    if old == new:
        return Cause(kind="instruction", text="the instruction changed", subject=new)
    text = f"the instruction changed: {quoted(old)} → {quoted(new)}"
    return Cause(kind="instruction", text=text, subject=new, old=old, new=new)


def _command(old: KeyInputs, new: KeyInputs, before: _Fields, after: _Fields) -> list[Cause]:
    was, now = _words(before, "args"), _words(after, "args")
    if was[-1:] == now[-1:] and len(was) > 1 and len(now) > 1:
        return [changed("place", "SHELL", "SHELL", json.dumps(was[:-1]), json.dumps(now[:-1]))]
    if not (was and now) or was[:-1] != now[:-1]:  # a record of elsewhere may have no command
        return [_instruction(text_of(old.name), text_of(new.name))]
    lines = zip(f"{was[-1]}\n".split("\n"), f"{now[-1]}\n".split("\n"), strict=False)
    number, first = next((n, pair) for n, pair in enumerate(lines, start=1) if pair[0] != pair[1])
    if "\n" not in was[-1] + now[-1]:
        return [_instruction(f"RUN {was[-1]}", f"RUN {now[-1]}")]
    text = f"line {number} of the command changed: {quoted(first[0])} → {quoted(first[1])}"
    return [Cause(kind="instruction", text=text, subject=text_of(new.name), old=was[-1], new=now[-1])]


def _variables(old: KeyInputs, new: KeyInputs, before: _Fields, after: _Fields) -> list[Cause]:
    was, now = _pairs(before), _pairs(after)
    arguments = {*_words(before, "arguments"), *_words(after, "arguments")}
    causes = []
    for name in [*now, *(name for name in was if name not in now)]:
        if name in was and name in now and was[name] == now[name]:
            continue
        kind, word = ("argument", "ARG") if name in arguments else ("environment", "ENV")
        causes.append(_variable(kind, f"{word} {name}", name, was.get(name), now.get(name)))  # type: ignore[arg-type]
    return causes or [Cause(kind="environment", text="the order of the variables changed")]


def _variable(kind: Kind, what: str, name: str, old: Plain, new: Plain) -> Cause:
    if isinstance(old, dict) or isinstance(new, dict):
        verb = "is new" if old is None else "is gone" if new is None else "changed"
        return Cause(kind=kind, text=f"{what} {verb} (its value is not shown)", subject=name)
    if old is None:
        return Cause(kind=kind, text=f"{what} is new: {quoted(str(new))}", subject=name, new=str(new))
    if new is None:
        return Cause(kind=kind, text=f"{what} is gone: it was {quoted(str(old))}", subject=name, old=str(old))
    text = f"{what} changed: {quoted(str(old))} → {quoted(str(new))}"
    return Cause(kind=kind, text=text, subject=name, old=str(old), new=str(new))


def _actions(old: KeyInputs, new: KeyInputs, before: _Fields, after: _Fields) -> list[Cause]:
    if text_of(old.name) != text_of(new.name):
        return [_instruction(text_of(old.name), text_of(new.name))]
    was, now = before.get("actions"), after.get("actions")
    both = zip(was, now, strict=False) if isinstance(was, list) and isinstance(now, list) else ()
    for one, other in both:
        if not isinstance(one, dict) or not isinstance(other, dict) or one == other:
            continue
        if one.get("data") != other.get("data"):
            return [Cause(kind="content", text="the here-document changed", subject=text_of(new.name))]
        # The text is the same: what it means is not, for WORKDIR, USER or an option is another.
        field = next(name for name in sorted({*one, *other}) if one.get(name) != other.get(name))
        what = f"the {field} of what it writes"
        return [changed("place", what, field, str(one.get(field, "none")), str(other.get(field, "none")))]
    return [_instruction(text_of(old.name), text_of(new.name))]


def _leads(old: KeyInputs, new: KeyInputs, before: _Fields, after: _Fields) -> list[Cause]:
    address = str(after.get("url") or after.get("repository") or "")
    what = f"what {quoted(address)} leads to"
    return [changed("source", what, address, str(before.get("leads to")), str(after.get("leads to")))]


def _mounts(before: _Fields, after: _Fields) -> list[Cause]:
    was, now = _mounts_by_target(before), _mounts_by_target(after)
    causes = []
    for target in [*now, *(target for target in was if target not in now)]:
        if was.get(target) == now.get(target):
            continue
        what = f'--mount of "{target}"'
        if target not in was:
            causes.append(Cause(kind="mount", text=f"{what} is new", subject=target))
        elif target not in now:
            causes.append(Cause(kind="mount", text=f"{what} is gone", subject=target))
        else:
            one, other = was[target], now[target]
            fields = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
            text = f"{what} changed: {', '.join(fields).replace('_', ' ')}"
            causes.append(Cause(kind="mount", text=text, subject=target))
    return causes


def _mounts_by_target(fields: _Fields) -> dict[str, _Fields]:
    mounts: dict[str, _Fields] = {}
    for family in ("mounts", "other_mounts"):
        listed = fields.get(family)
        for mount in listed if isinstance(listed, list) else ():
            if isinstance(mount, dict):
                name = mount.get("target") or mount.get("variable") or mount.get("id") or ""
                mounts[str(name)] = mount
    return mounts


def _pairs(fields: _Fields) -> dict[str, Plain]:
    listed = fields.get("env")
    pairs = listed if isinstance(listed, list) else []
    return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _words(fields: _Fields, name: str) -> list[str]:
    listed = fields.get(name)
    return [str(word) for word in listed] if isinstance(listed, list) else []


def _shown(fields: _Fields, name: str, default: str) -> str:
    value = fields.get(name)
    if value is None:
        return default
    return value if isinstance(value, str) else json.dumps(value)


_COMPARED: dict[str, Callable[[KeyInputs, KeyInputs, _Fields, _Fields], list[Cause]]] = {
    "args": _command,
    "actions": _actions,
    "leads to": _leads,
    "env": _variables,
}
