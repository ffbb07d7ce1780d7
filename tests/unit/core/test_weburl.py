from __future__ import annotations

import pytest

from builder.core.weburl import (
    UNNAMED,
    InvalidUrl,
    all_shown,
    check_url,
    file_name,
    is_http,
    shown,
    without_login,
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/b.tgz", "b.tgz"),
        ("https://h/a/b.tgz?x=/y#z", "b.tgz"),
        ("https://h/a/", "a"),
        ("https://h", UNNAMED),
        ("https://h/", UNNAMED),
        ("https://h/..", UNNAMED),
        ("https://h/%2e%2e", UNNAMED),
        ("https://h/a%2Fb", "b"),
        ("https://h/%C3%A9", "é"),
    ],
)
def test_file_name(url: str, name: str) -> None:
    """A file is called as the last part of its path, decoded; never a name that leads elsewhere."""
    assert file_name(url) == name


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://h/a?b=c", "https://h/a?b=c"),
        ("https://user:pw@h/a", "https://h/a"),
        ("https://h/a?token=abc&v=1", "https://h/a?token=xxxxx&v=1"),
        ("https://h/a?X-Amz-Signature=abc", "https://h/a?X-Amz-Signature=xxxxx"),
        ("https://h/a?api_key=abc", "https://h/a?api_key=xxxxx"),
        ("https://h/a?monkey=abc", "https://h/a?monkey=abc"),
        ("https://u:p@[h/a", "https://[h/a"),
    ],
)
def test_shown(url: str, seen: str) -> None:
    """People see neither logins nor the values of parameters that open doors."""
    assert shown(url) == seen


@pytest.mark.parametrize(
    "url", ["https://", "https:///a", "https://h:x/a", "https://h/a\nb", "https://h/%00", "http://[h"]
)
def test_no_address(url: str) -> None:
    """What nothing can be fetched from is refused before anybody is asked."""
    with pytest.raises(InvalidUrl):
        check_url(url)


def test_name_too_long() -> None:
    """A file name that no file system takes is refused."""
    with pytest.raises(InvalidUrl, match="too long"):
        check_url(f"https://h/{'n' * 256}")


def test_login() -> None:
    """A login in an address is taken out of it, decoded."""
    assert without_login("https://a:b%40c@h/x") == ("https://h/x", "a:b@c")
    assert without_login("https://h/x") == ("https://h/x", "")


def test_all_shown() -> None:
    """Every address of a line is made fit to be seen; the rest stays."""
    line = 'ADD ["https://u:p@h/a", "ssh://git@h/r"] https://h/?sig=x&v=1 http:/x /'

    assert all_shown(line) == 'ADD ["https://h/a", "ssh://h/r"] https://h/?sig=xxxxx&v=1 http:/x /'
    assert all_shown("COPY a /") == "COPY a /"


def test_scheme() -> None:
    """Only http and https are addresses of files."""
    assert is_http("HTTPS://h")
    assert not is_http("ftp://h")
    assert not is_http("https:/h")
