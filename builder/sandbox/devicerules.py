"""Which devices a step may use, in the words of each kind of control group.

v1 takes lines of text (kernel, Documentation/admin-guide/cgroup-v1/devices.rst), v2 a program that the kernel
asks for every access (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).
"""

from __future__ import annotations

ANY = -1
# What runc allows under Docker, by major and minor number: null, zero, full, random, urandom, tty, console,
# ptmx, and the terminals of devpts. Not 10:200 (tun), which runc allowed until 1.2.
CHARACTER_DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, ANY))

# linux/bpf.h and linux/bpf_common.h
_LOAD_WORD, _MOVE, _AND, _SHIFT_RIGHT, _EXIT = 0x61, 0xB7, 0x54, 0x74, 0x95
_IF_EQUAL, _IF_NOT_EQUAL = 0x15, 0x55
_MAKE_NODE, _CHARACTER = 1, 2  # BPF_DEVCG_ACC_MKNOD, BPF_DEVCG_DEV_CHAR
_RESULT, _CONTEXT, _TYPE, _ACCESS, _MAJOR, _MINOR = 0, 1, 2, 3, 4, 5  # registers


def lines() -> list[str]:
    """For ``devices.allow``, after everything is denied: making any node, using these."""
    used = [f"c {major}:{'*' if minor == ANY else minor} rwm" for major, minor in CHARACTER_DEVICES]
    return ["c *:* m", "b *:* m", *used]


def program() -> bytes:
    """The same as instructions of the kernel's machine; it returns 1 for an access that is allowed."""
    # struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
    code = [
        _instruction(_LOAD_WORD, _TYPE, _CONTEXT, 0),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
        _instruction(_LOAD_WORD, _ACCESS, _CONTEXT, 0),
        _instruction(_AND, _TYPE, value=0xFFFF),
        _instruction(_SHIFT_RIGHT, _ACCESS, value=16),
    ]
    checks: list[bytes] = []
    for major, minor in CHARACTER_DEVICES:
        is_any = minor == ANY
        checks.append(_instruction(_IF_NOT_EQUAL, _MAJOR, jump=2 if is_any else 3, value=major))
        if not is_any:
            checks.append(_instruction(_IF_NOT_EQUAL, _MINOR, jump=2, value=minor))
        checks += _answer(1)
    code.append(_instruction(_IF_EQUAL, _ACCESS, jump=len(checks) + 3, value=_MAKE_NODE))
    code.append(_instruction(_IF_NOT_EQUAL, _TYPE, jump=len(checks), value=_CHARACTER))
    return b"".join((*code, *checks, *_answer(0), *_answer(1)))


def _answer(value: int) -> tuple[bytes, bytes]:
    return _instruction(_MOVE, _RESULT, value=value), _instruction(_EXIT)


def _instruction(code: int, target: int = 0, source: int = 0, jump: int = 0, value: int = 0) -> bytes:
    # struct bpf_insn, on the little-endian machines that sandboxes are known for.
    words = (code.to_bytes(1), (source << 4 | target).to_bytes(1), jump.to_bytes(2, "little"))
    return b"".join(words) + value.to_bytes(4, "little")
