"""Names and numbers of capabilities."""

from __future__ import annotations

from builder.sandbox import capabilities


def test_default_set_is_dockers():
    """The default set has the bits that `docker run` shows in CapEff."""
    assert capabilities.mask(capabilities.DEFAULT) == 0xA80425FB


def test_numbers_are_the_kernels():
    """A few anchors of linux/capability.h."""
    numbers = [
        capabilities.NAMES.index(name) for name in ("CHOWN", "SYS_ADMIN", "SETFCAP", "CHECKPOINT_RESTORE")
    ]

    assert numbers == [0, 21, 31, 40]


def test_missing():
    """What a process lacks is named as people know it, in the order asked for."""
    assert capabilities.missing(0, ("SYS_ADMIN", "SETUID")) == ("CAP_SYS_ADMIN", "CAP_SETUID")
    assert capabilities.missing(1 << 21, ("SYS_ADMIN", "SETUID")) == ("CAP_SETUID",)
    assert capabilities.missing((1 << 41) - 1) == ()
