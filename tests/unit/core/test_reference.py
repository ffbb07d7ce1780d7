"""Image references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.digest import Digest
from builder.core.reference import InvalidReference, Reference

HEX = "a" * 64
DIGEST = Digest("sha256", HEX)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("busybox:LATEST", "docker.io/library/busybox:LATEST"),
        ("moby/buildkit", "docker.io/moby/buildkit"),
        ("docker.io/busybox", "docker.io/library/busybox"),
        ("index.docker.io/busybox", "docker.io/library/busybox"),
        ("index.docker.io/a/b:c", "docker.io/a/b:c"),
        ("localhost/x", "localhost/x"),
        ("localhost:5000/x", "localhost:5000/x"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("ghcr.io/a/b__c.d---e", "ghcr.io/a/b__c.d---e"),
        ("Registry/x", "Registry/x"),
        (f"busybox@sha256:{HEX}", f"docker.io/library/busybox@sha256:{HEX}"),
        (f"q.io/x:1@sha256:{HEX}", f"q.io/x:1@sha256:{HEX}"),
        (f"x/{HEX}", f"docker.io/x/{HEX}"),
        (f"{HEX}:tag", f"docker.io/library/{HEX}:tag"),
    ],
)
def test_parse_normalises(text: str, full: str) -> None:
    """Every form that Docker accepts has one full form."""
    assert full == str(Reference.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a b", ":tag", "x:", "x:.tag", "x:" + "t" * 129, "-x", "x-", "x..y", "x___y", "a//b", "/a",
        "a/", "docker.io/", "../x", "a/../b", "ghcr.io/../x", "x@", "x@sha256:" + "a" * 63,
        "x@sha256:" + "A" * 64, "x@md5:" + "a" * 32, "x@sha256:../../etc", f"@sha256:{HEX}", HEX, "http://h.io/x",
        "h.io:port/x", "u@h.io/x", "h.io/x%2e", "-h.io/x", "h.io/" + "a" * 256, "x\n", "x:t\n", "h.io/ünï",
        "[zz]:1/x", "a.b:1:2/x",
    ],
)  # fmt: skip
def test_parse_refuses(text: str) -> None:
    """What the grammar does not know is refused, and shown."""
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)

    assert caught.value.code == "invalid-reference"
    assert f'"{text[:50]}' in caught.value.message
    assert caught.value.hint is not None


def test_uppercase_is_refused_with_the_lowercase_spelling() -> None:
    """An uppercase repository name is the commonest mistake, and gets its own words."""
    with pytest.raises(InvalidReference, match="must be lowercase") as caught:
        Reference.parse("MyApp:1")

    assert caught.value.hint == 'did you mean "myapp"?'


def test_bare_id_is_refused_with_the_digest_spelling() -> None:
    """64 hex digits would be mistaken for an image ID."""
    with pytest.raises(InvalidReference, match="image ID") as caught:
        Reference.parse(HEX)

    assert caught.value.hint is not None
    assert f"@sha256:{HEX}" in caught.value.hint


def test_default_tag_is_added_only_to_bare_names() -> None:
    """``:latest`` where there is neither tag nor digest."""
    assert str(Reference.parse("a").with_default_tag()) == "docker.io/library/a:latest"
    assert str(Reference.parse("a:1").with_default_tag()) == "docker.io/library/a:1"
    assert Reference.parse(f"a@{DIGEST}").with_default_tag().tag is None


def test_with_tag_and_digest() -> None:
    """A tag or a digest can be set and taken away; a tag is checked."""
    reference = Reference.parse("h.io/a:1")

    assert str(reference.with_digest(DIGEST)) == f"h.io/a:1@{DIGEST}"
    assert str(reference.with_tag(None)) == "h.io/a"
    assert reference.with_digest(DIGEST).with_digest(None) == reference
    with pytest.raises(InvalidReference):
        reference.with_tag("no good")


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/busybox:1", "busybox:1"),
        ("docker.io/moby/buildkit", "moby/buildkit"),
        ("docker.io/library/a/b", "library/a/b"),
        ("ghcr.io/a/b:c", "ghcr.io/a/b:c"),
        ("docker.io/localhost/x", "docker.io/localhost/x"),
        ("docker.io/a.b/x", "docker.io/a.b/x"),
        (f"docker.io/library/{HEX}", f"docker.io/library/{HEX}"),
        (f"docker.io/library/{HEX}:1", f"{HEX}:1"),
    ],
)
def test_familiar_is_the_shortest_form_that_means_the_same(text: str, familiar: str) -> None:
    """Docker's short form, unless it would be read differently."""
    assert familiar == Reference.parse(text).familiar()


_COMPONENTS = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
_DOMAINS = st.one_of(
    st.sampled_from(["docker.io", "localhost", "localhost:5000", "[::1]:80", "[fe80::1]"]),
    st.from_regex(r"[a-z][a-zA-Z0-9]{0,5}\.[a-z]{2,3}(:[0-9]{1,5})?", fullmatch=True),
)
_REFERENCES = st.builds(
    Reference,
    _DOMAINS,
    st.lists(_COMPONENTS, min_size=2, max_size=4).map("/".join),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True).map(lambda h: Digest("sha256", h)),
)


@given(_REFERENCES)
def test_full_and_familiar_forms_parse_back(reference: Reference) -> None:
    """``parse(str(x)) == x``, and the short form means the same."""
    assert reference == Reference.parse(str(reference))
    assert reference == Reference.parse(reference.familiar())


@given(st.text(alphabet="aB0./:@-_[]% \n", max_size=24))
def test_whatever_parses_is_stable_and_safe(text: str) -> None:
    """Any text either is refused, or has a full form that parses to the same and is safe in a URL."""
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return

    assert reference == Reference.parse(str(reference))
    assert ".." not in reference.path.split("/")
    assert not set(str(reference)) & set(" %\n?#")
