"""SOURCE_DATE_EPOCH: where it comes from, what it may be, and which keys it is in."""

from __future__ import annotations

import pytest

from builder.core.errors import PybuildError
from builder.llb.ops import ExecOp, FileOp, MakeDirectoryAction
from tests.unit.frontend.frontend_bridge import convert

_TEXT = "FROM busybox\nWORKDIR /a\nCOPY . .\nRUN make\n"


def _digests(text: str, epoch: str | None = None) -> list[str]:
    build_args = {} if epoch is None else {"SOURCE_DATE_EPOCH": epoch}
    return [str(digest) for digest, _ in convert(text, build_args=build_args).definition]


def test_build_argument_counts_more_than_the_default() -> None:
    """An ARG above the first FROM has a default; --build-arg replaces it, and needs no ARG."""
    text = f"ARG SOURCE_DATE_EPOCH=5\n{_TEXT}"

    assert 5 == convert(text).epoch_s
    assert 7 == convert(text, build_args={"SOURCE_DATE_EPOCH": "7"}).epoch_s
    assert 7 == convert(_TEXT, build_args={"SOURCE_DATE_EPOCH": "7"}).epoch_s
    assert convert(_TEXT, build_args={"SOURCE_DATE_EPOCH": "7"}).warnings == ()
    assert convert(_TEXT, build_args={"SOURCE_DATE_EPOCH": ""}).epoch_s is None
    assert convert(_TEXT).epoch_s is None
    assert convert("FROM busybox\nARG SOURCE_DATE_EPOCH=5\nRUN make\n").epoch_s is None


@pytest.mark.parametrize("text", ["-1", "1.5", "1e9", " 5", "99999999999999", "\N{ARABIC-INDIC DIGIT TWO}"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Whole seconds since 1970, up to the year 9999."""
    with pytest.raises(PybuildError) as caught:
        convert(_TEXT, build_args={"SOURCE_DATE_EPOCH": text})

    assert "invalid-epoch" == caught.value.code
    assert f'"{text}"' in caught.value.message


@pytest.mark.parametrize("text", ["context", "build"])
def test_times_of_other_things_are_refused_by_name(text: str) -> None:
    """BuildKit knows the time of a context and of a stage."""
    with pytest.raises(PybuildError) as caught:
        convert(_TEXT, build_args={"SOURCE_DATE_EPOCH": text})

    assert "unsupported" == caught.value.code
    assert f'"{text}"' in caught.value.message


def test_only_workdir_has_it_in_its_key() -> None:
    """2.1: not COPY, and RUN only where an ARG declares it."""
    base, directory, context, copy, run = _digests(_TEXT)
    others = _digests(_TEXT, "7")
    above = "FROM busybox\nCOPY . .\nRUN make\n"
    declared = "FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN make\n"

    assert base == others[0]
    assert context == others[2]
    assert directory != others[1]
    assert _digests(above) == _digests(above, "7")
    assert _digests(declared) != _digests(declared, "7")
    assert len({directory, copy, run}) == 3


def test_a_declared_epoch_is_in_the_environment() -> None:
    """ARG in a stage takes the value of --build-arg, else of the ARG above."""
    text = "ARG SOURCE_DATE_EPOCH=5\nFROM busybox\nARG SOURCE_DATE_EPOCH\nRUN make\n"
    for given, value in ((None, "5"), ("7", "7")):
        build_args = {} if given is None else {"SOURCE_DATE_EPOCH": given}
        ops = [vertex.op for _, vertex in convert(text, build_args=build_args).definition]
        (run,) = [op for op in ops if isinstance(op, ExecOp)]

        assert f"SOURCE_DATE_EPOCH={value}" in run.env


def test_directories_of_workdir_have_its_time() -> None:
    """1.6 WORKDIR."""
    result = convert(_TEXT, build_args={"SOURCE_DATE_EPOCH": "7"})
    ops = [vertex.op for _, vertex in result.definition if isinstance(vertex.op, FileOp)]

    assert MakeDirectoryAction(path="/a", mtime_s=7) in [action for op in ops for action in op.actions]
