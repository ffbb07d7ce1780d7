"""Templates print what Docker 26.1 prints for them."""

from __future__ import annotations

import pytest

from builder.cli.listing import listing
from builder.cli.tables import align
from builder.cli.template.evaluate import Template
from builder.cli.template.syntax import InvalidTemplate
from builder.cli.template.values import Duration, Record

_IMAGE = {
    "Id": "sha256:a10b034a836fed21f034a7dfc5c06d08",
    "RepoTags": ["app:1", "two:latest"],
    "Config": Record(
        {
            "Env": ["X=1", "Y=a b"],
            "Labels": {"a": "b", "c": "d e"},
            "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
            "Healthcheck": Record({"Test": ["CMD-SHELL", "true"], "Interval": Duration(5 * 10**9)}, {}),
        },
        {"StopSignal": ""},
    ),
    "Size": 1984291,
    "Entrypoint": None,
}

# Each line was seen: docker inspect --format TEMPLATE.
_SEEN = [
    ('{{index .Config.Labels "a"}} {{json .Config.Env}}', 'b ["X=1","Y=a b"]'),
    ("{{len .RepoTags}} {{.Config.Env}} {{.Config.Labels}}", "2 [X=1 Y=a b] map[a:b c:d e]"),
    ('{{join .Config.Env ","}} {{println "x"}} {{title "abc"}} {{.Size}}', "X=1,Y=a b x\n Abc 1984291"),
    (
        "{{.Config.ExposedPorts}} {{json .Config.ExposedPorts}}",
        'map[53/udp:{} 80/tcp:{}] {"53/udp":{},"80/tcp":{}}',
    ),
    (
        "{{.Config.Healthcheck.Interval}} {{json .Config.Healthcheck}}",
        '5s {"Test":["CMD-SHELL","true"],"Interval":5000000000}',
    ),
    (
        "{{range .Config.Env}}{{.}};{{end}}{{range $k,$v := .Config.Labels}}{{$k}}={{$v}},{{end}}",
        "X=1;Y=a b;a=b,c=d e,",
    ),
    ('{{split "a,b" ","}} {{pad "a" 2 3}} {{truncate "abcdef" 3}} {{lower "AB"}}', "[a b]   a    abc ab"),
    (
        '{{printf "%q-%s-%d-%v" "a" "b" 3 true}} {{index .RepoTags 0}} {{slice .Id 7 19}}',
        '"a"-b-3-true app:1 a10b034a836f',
    ),
    ('{{eq 1 1}} {{and true false}} {{or "" "x"}} {{not true}}', "true false x false"),
    ('{{html "<a>"}} {{print 1 2 "x"}} {{json "<&>"}}', '&lt;a&gt; 1 2x "<&>"'),
    ('{{with .Size}}{{.}}{{end}} {{- " a " -}} b {{/* c */}}', "1984291 a b "),
    ("{{if .Entrypoint}}x{{else if .Size}}y{{else}}z{{end}}", "y"),
    ("{{.RepoTags | json | upper}} {{(index .RepoTags 0) | len}}", '["APP:1","TWO:LATEST"] 5'),
    ("{{$x := .Size}}{{$x}} {{$.Size}}|{{.Config.StopSignal}}|", "1984291 1984291||"),
    (r"{{.Size}}\n", r"1984291\n"),
]


@pytest.mark.parametrize(("template", "expected"), _SEEN)
def test_templates_print_what_docker_prints(template: str, expected: str) -> None:
    """Fields, functions, blocks, pipes and trimming."""
    assert expected == Template.read(template).apply(_IMAGE)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("a{{.Foo", "character 2: unclosed action"),
        ("{{end}}", "character 1: unexpected {{end}}"),
        ("{{if}}", "missing value for if"),
        ("{{range .RepoTags}}", "{{end}} is missing"),
        ("{{nosuch .}}", 'no function "nosuch"'),
        ("{{index .RepoTags 9}}", "index out of range: 9"),
        ("{{.Id.Foo}}", 'there is no ".Foo"'),
        ("{{.Foo}}", 'there is no ".Foo"; there is Config, Entrypoint, Id'),
        ("{{range .Size}}{{end}}", "range can't iterate over 1984291"),
        ("{{$x}}", 'undefined variable "$x"'),
        ('{{define "x"}}{{end}}', "{{define}} is not supported"),
        ("{{.Size .Size}}", "can't give an argument"),
        ("{{truncate .Id}}", "error calling truncate"),
        ("{{(.Size}}", "unclosed parenthesis"),
        ("{{.Size + 1}}", 'unexpected "+"'),
    ],
)
def test_what_is_no_template_is_an_error_with_its_place(template: str, why: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidTemplate) as caught:
        Template.read(template).apply(_IMAGE)

    assert why in caught.value.message


_HEAD = {"ID": "IMAGE ID", "Tag": "TAG"}
_ROWS = [{"ID": "a10b034a836f", "Tag": "v1"}, {"ID": "b", "Tag": "<none>"}]


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("", "IMAGE ID       TAG\na10b034a836f   v1\nb              <none>"),
        ("table", "IMAGE ID       TAG\na10b034a836f   v1\nb              <none>"),
        ("table {{.ID}} {{upper .Tag}}", "IMAGE ID TAG\na10b034a836f V1\nb <NONE>"),
        (r"table {{.Tag}}\t{{.ID}}", "TAG       IMAGE ID\nv1        a10b034a836f\n<none>    b"),
        (
            "json",
            '{"ID":"a10b034a836f","Tag":"v1"}\n{"ID":"b","Tag":"\\u003cnone\\u003e"}',
        ),
        (r"{{.ID}}\n\tx", "a10b034a836f\n\tx\nb\n\tx"),
    ],
)
def test_lists_have_the_forms_that_docker_gives_them(format: str, expected: str) -> None:
    """Tables with a head, JSON lines, templates."""
    assert expected == listing(format, "{{.ID}}\t{{.Tag}}", _HEAD, _ROWS)


def test_a_column_is_as_wide_as_its_lines_in_a_row() -> None:
    """Ten at least, and an empty last cell leaves the padding, as Go's tabwriter does."""
    assert "a                 b         \nlonger than ten   b" == align("a\tb\t\nlonger than ten\tb")
