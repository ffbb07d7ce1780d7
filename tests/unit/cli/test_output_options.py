"""--output and its shorthands: how they are read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli.output_options import read_outputs
from builder.core.errors import PybuildError
from builder.core.reference import Reference
from builder.engine.outputs import Output, Outputs
from builder.exporter.annotations import Annotation, InvalidAnnotation
from builder.exporter.packed import NeedsOciTypes


def read(
    *texts: str, annotations: tuple[str, ...] = (), pushes: bool = False, loads: bool = False
) -> Outputs:
    return read_outputs(
        texts,
        annotations,
        pushes=pushes,
        loads=loads,
        is_described=False,
        environ={"DOCKER_HOST": "unix:///d"},
    ).outputs


def one(text: str) -> Output:
    (item,) = read(text).items
    return item


def refused(*texts: str) -> PybuildError:
    with pytest.raises(PybuildError) as caught:
        read(*texts)
    return caught.value


def test_without_any_it_is_an_image() -> None:
    """And so it is with annotations alone."""
    assert [item.kind for item in read().items] == ["image"]
    assert [item.kind for item in read(annotations=("a=b",)).items] == ["image"]


@pytest.mark.parametrize(
    ("text", "kind", "dest"),
    [
        ("out", "local", "out"),
        ("-", "tar", None),
        ("type=local,dest=a", "local", "a"),
        ("type=tar,dest=a.tar", "tar", "a.tar"),
        ("type=tar", "tar", None),
        ("type=oci,dest=-", "oci", None),
        ("type=oci,dest=a.tar", "oci", "a.tar"),
        ("type=docker,dest=a.tar", "docker", "a.tar"),
        ("type=docker,dest=-", "docker", None),
        ("type=docker", "load", None),
        ("type=cacheonly", "cacheonly", None),
        ("type=image,store=false", "cacheonly", None),
        ("TYPE=local,DEST=a", "local", "a"),
    ],
)
def test_kinds_and_places(text: str, kind: str, dest: str | None) -> None:
    """As buildx reads them."""
    assert (one(text).kind, one(text).dest) == (kind, Path(dest) if dest else None)


def test_keys_of_images() -> None:
    """Names in quotes, packing, annotations of every kind."""
    text = (
        'type=image,"name=a,r.test/b:2",compression=zstd,compression-level=7,force-compression=true,push=1,'
        "annotation.org.x=1,annotation-manifest-descriptor[linux/arm64].k=v=w"
    )
    item = one(text)

    assert item.names == (Reference.parse("a:latest"), Reference.parse("r.test/b:2"))
    assert item.pushes
    assert (item.options.compression, item.options.level, item.options.is_forced) == ("zstd", 7, True)
    first, second = item.options.annotations.items
    assert first == Annotation("manifest", None, "org.x", "1")
    assert (second.target, str(second.platform), second.key) == ("manifest-descriptor", "linux/arm64", "k")
    assert second.value == "v=w"


def test_push_and_load() -> None:
    """--push pushes the images that are named, --load is one more output; a daemon gets plain layers."""
    assert [(i.kind, i.pushes) for i in read(pushes=True).items] == [("registry", True)]
    assert [i.pushes for i in read("type=image,name=a", "out", pushes=True).items] == [True, False]
    both = read("type=registry,name=a", loads=True)

    assert [item.kind for item in both.items] == ["registry", "load"]
    assert [item.options.compression for item in both.items] == ["gzip", "uncompressed"]
    assert both.docker_host == "unix:///d"
    assert one("type=docker,compression=gzip").options.compression == "gzip"


def test_annotations_of_the_option_go_everywhere() -> None:
    """Those of an output count more."""
    image, archive, folder = read(
        "type=image,annotation.a=own", "type=oci,dest=x.tar", "out", annotations=("a=all", "index:b=c")
    ).items

    assert image.options.annotations.of("manifest") == (("a", "own"),)
    assert archive.options.annotations.of("manifest") == (("a", "all"),)
    assert folder.options.annotations.items == ()
    with pytest.raises(InvalidAnnotation):
        Outputs(items=(image,)).check(())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type=ocj", 'did you mean "oci"'),
        ("type=oci,desst=x", 'did you mean "dest"'),
        ("type=local,dest=x,compression=zstd", 'has no "compression"'),
        ("type=local", "needs a folder"),
        ("type=local,dest=-", "needs a folder"),
        ("type=oci,tar=false", "needs a folder"),
        ("type=oci,dest=/", "is a folder"),
        ("type=oci,dest=/nowhere/x", "no folder"),
        ("type=oci,dest=x,compression=gzp", 'did you mean "gzip"'),
        ("type=image,compression-level=fast", "cannot be"),
        ("type=image,push=perhaps", "cannot be"),
        ("type=image,push", "no key=value"),
        ("dest=x", "has no type"),
        ("", "has no type"),
        ('type=image,"name=a', "cannot be read"),
        ("type=image,annotation-other.a=b", "not known"),
        ("type=image,annotation=b", "no annotation"),
        ("type=tar,annotation.a=b", "no manifest"),
        ("type=image,source-date-epoch=1", "not built"),
        ("type=local,dest=x,mode=move", "copy or delete"),
        ("type=local,dest=..,mode=delete", "would empty"),
        ("type=image,dangling-name-prefix=a:1", "leave out"),
        ("type=image,name=UPPER", "UPPER"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    """By what is wrong with it."""
    error = refused(text)

    assert said in f"{error.message} {error.hint}"


def test_only_one_output_has_standard_output() -> None:
    """Two archives in one stream are none."""
    assert "standard output" in refused("-", "type=oci").message


def test_docker_types_with_what_they_cannot_hold() -> None:
    """It is found before anything is built."""
    outputs = read("type=oci,dest=x.tar,oci-mediatypes=false,compression=zstd")
    with pytest.raises(NeedsOciTypes):
        outputs.check(())
