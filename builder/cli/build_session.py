"""`--secret` and `--ssh` of `pybuild build`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.cli.build import InvalidOption
from builder.engine.session import SecretSource, SshSource

_KEYS = ("id", "src", "source", "env", "type")
_AGENT = "SSH_AUTH_SOCK"


def read_secrets(given: Sequence[str], environ: Mapping[str, str]) -> tuple[SecretSource, ...]:
    """``id=ID[,src=FILE|,env=NAME][,type=file|env]``; of one id the last counts.

    Without a source it is the variable of that name, else the file. Raises InvalidOption.
    """
    found = {source.id: source for source in (_secret(text, environ) for text in given)}
    return tuple(found.values())


def _secret(text: str, environ: Mapping[str, str]) -> SecretSource:
    values: dict[str, str] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals:
            raise _wrong(f'--secret: "{field}" must be a key=value pair', "write id=NAME,src=FILE")
        if key not in _KEYS:
            raise _wrong(f'--secret: unexpected key "{key}"', f"known: {', '.join(_KEYS)}")
        values["src" if key == "source" else key] = value
    name, path, variable = values.get("id", ""), values.get("src", ""), values.get("env", "")
    kind = values.get("type", "")
    if not name:
        raise _wrong(f'--secret "{text}" has no id', "write id=NAME,src=FILE or id=NAME,env=VARIABLE")
    if kind not in ("", "file", "env"):
        raise _wrong(f'--secret: unsupported type "{kind}"', "it is file or env")
    if kind == "env" and not variable:
        path, variable = "", path or name
    if not path and not variable:
        path, variable = ("", name) if name in environ and kind != "file" else (name, "")
    if path and variable:
        raise _wrong(f'--secret "{text}" has both a file and a variable', "leave src or env out")
    if variable:
        value_of = environ.get(variable)
        data = None if value_of is None else value_of.encode("utf-8", "surrogateescape")
        return SecretSource(name, None, data)
    if not Path(path).exists():
        raise _wrong(f'--secret: there is no file "{path}" for the secret "{name}"', "look at src")
    return SecretSource(name, Path(path).absolute(), None)


def read_ssh(given: Sequence[str], environ: Mapping[str, str]) -> tuple[SshSource, ...]:
    """``ID[=SOCKET]`` or ``ID=KEY[,KEY]``; without a value the agent of SSH_AUTH_SOCK.

    Raises InvalidOption.
    """
    found: dict[str, SshSource] = {}
    for text in given:
        name, _, rest = text.partition("=")
        name = name or "default"
        if name in found:
            raise _wrong(f'--ssh: "{name}" is given twice', "give each its own id")
        paths = [Path(path).absolute() for path in rest.split(",") if path]
        if not paths:
            agent = environ.get(_AGENT)
            if not agent:
                raise _wrong(
                    f"--ssh {name}: there is no agent, for {_AGENT} is not set",
                    f"start ssh-agent, or name a socket or keys: --ssh {name}=PATH",
                )
            paths = [Path(agent)]
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise _wrong(f'--ssh {name}: there is no "{missing[0]}"', "name a socket or key files")
        sockets = [path for path in paths if path.is_socket()]
        if sockets and len(paths) > 1:
            raise _wrong(f"--ssh {name}: a socket stands alone", "name one socket, or key files")
        keys = () if sockets else tuple(paths)
        found[name] = SshSource(name, sockets[0] if sockets else None, keys)
    return tuple(found.values())


def _wrong(message: str, hint: str) -> InvalidOption:
    return InvalidOption(message, hint=hint)
