"""What ``$`` and ``${}``, quotes and escapes become, as a table.

The rows were built with Docker 26.1 as a USER, between "<" and ">". Where it differs they are those of the
newer language: ``:`` before ``#`` and ``%`` is an error. ``${v#}`` and ``${v%}`` crash that Docker; here they
take nothing away.
"""

from __future__ import annotations

import re

import pytest

from builder.frontend.dockerfile.words import InvalidExpansion, Mode, expand

VARIABLES = {
    "v": "value", "e": "", "p": "/a/b/c.tar.gz", "s": "x y", "star": "a*b", "bs": r"a\b", "u": "ünï",
    "é": "accent", "_": "low", "v_1": "under", "q": "it's", "br": "a}b", "d": "$v", "rep": "aXbXc",
    "変数": "kanji", "A": "upper", "qm": "a?b", "sl": "a/b",
}  # fmt: skip

RESULTS = [
    # names
    ("$v", "value"), ("${v}", "value"), ("${v}x", "valuex"), ("$vx", ""), ("${v}$v", "valuevalue"),
    ("a$v-b", "avalue-b"), ("$v.$v", "value.value"), ("$v/$v", "value/value"), ("$v:$v", "value:value"),
    ("$v$v$v", "valuevaluevalue"), ("$_", "low"), ("${_}", "low"), ("$v_1", "under"), ("${v_1}", "under"),
    ("$v_1x", ""), ("$é", "accent"), ("${é}", "accent"), ("$éa", ""), ("$u", "ünï"), ("$変数", "kanji"),
    ("${変数}x", "kanjix"), ("$A", "upper"), ("$a", ""), ("$v,$e,$v", "value,,value"),
    ("pre${e}post", "prepost"), ("$V", ""), ("${v}}", "value}"), ("{$v}", "{value}"), ("$v}", "value}"),
    ("$vé", ""), ("$v☃", "value☃"), ("$x", ""), ("${x}", ""), ("$v[0]", "value[0]"), ("$v-1", "value-1"),
    # a shell's parameters
    ("$1", ""), ("$10", ""), ("$1x", "x"), ("$0", ""), ("$0x", "x"), ("${0}", ""), ("${10}", ""), ("$@", ""),
    ("$*", ""), ("$#", ""), ("$?", ""), ("$-", ""), ("$$", ""), ("$!", ""), ("${1}", ""), ("${@}", ""),
    ("${*}", ""), ("${#}", ""), ("${?}", ""), ("${-}", ""), ("${$}", ""), ("${!}", ""), ("$$v", "v"),
    ("$@v", "v"), ("$1$v", "value"), ("${1:-one}", "one"), ("${@:-all}", "all"), ("${#:-n}", "n"),
    ("$9v", "v"), ("a$#b", "ab"),
    # dollars that are none
    ("$.", "$."), ("$", "$"), ("a$", "a$"), ('"$"', "$"), ("$ v", "$ v"), ("$/", "$/"), ("$,", "$,"),
    ("$=", "$="), ("$'v'", "$v"), ('$"v"', "$v"), ("a$.b", "a$.b"), ("$.$v", "$.value"), ("$)", "$)"),
    ("$}", "$}"), ("$:v", "$:v"), ("'$'", "$"), ("$~", "$~"), ("$%", "$%"), ("$[v]", "$[v]"), (r"$\v", "$v"),
    (r"\$", "$"), ('"a$"', "a$"), ("$☃", "$☃"),
    # defaults
    ("${x:-def}", "def"), ("${e:-def}", "def"), ("${v:-def}", "value"), ("${x-def}", "def"), ("${e-def}", ""),
    ("${v-def}", "value"), ("${x:-}", ""), ("${x-}", ""), ("${x:-$v}", "value"), ("${x-$v}", "value"),
    ("${e:-$x}", ""), ("${x:-${y:-deep}}", "deep"), ("${x:-${y-${z:-$v}}}", "value"), ('${x:-"q q"}', "q q"),
    ("${x:-'q q'}", "q q"), ('"${x:-a b}"', "a b"), (r"${x:-a\}b}", "a}b"), ("${x:-a'}'b}", "a}b"),
    ('${x:-"}"}', "}"), ("${x:-a b}", "a b"), ("${x:-:-}", ":-"), ("${x:--}", "-"), ("${x---}", "--"),
    ("${x:-{}", "{"), ("${x:-{a}}", "{a}"), ("a${x:-b}c${e:-d}e", "abcde"), ("${x:-$}", "$"),
    ("${x:-/a:b}", "/a:b"), ("${x:-#}", "#"), ("${x:-?}", "?"), ("${x:-${v:+w}}", "w"), ("${x:-$br}", "a}b"),
    ("${x:-${br}}", "a}b"), (r"${x:-\$v}", "$v"), ("${x:-'$v'}", "$v"), ('${x:-"$v"}', "value"),
    ("${d:-w}", "$v"), ("${x:-$d}", "$v"), ("${1:-$v}", "value"),
    # alternatives
    ("${v:+alt}", "alt"), ("${e:+alt}", ""), ("${x:+alt}", ""), ("${v+alt}", "alt"), ("${e+alt}", "alt"),
    ("${x+alt}", ""), ("${v:+}", ""), ("${x:+}", ""), ("${v:+$p}", "/a/b/c.tar.gz"), ("${v:+${x:-y}}", "y"),
    ("${e:+$v}", ""), ("${v:+'a b'}", "a b"), ("${v:++}", "+"), ("${v+${v}}", "value"), ("a${x:+b}c", "ac"),
    ("${x+}", ""), ("${v:+${x+no}}", ""),
    # demands
    ("${v:?gone}", "value"), ("${v?gone}", "value"), ("${e?gone}", ""), ("${e?}", ""), ("${v:?}", "value"),
    ("${v:?$x}", "value"), ("${x:-${v:?no}}", "value"),
    # prefixes
    ("${p#*/}", "a/b/c.tar.gz"), ("${p##*/}", "c.tar.gz"), ("${p#/a}", "/b/c.tar.gz"), ("${p##/*}", ""),
    ("${p#?}", "a/b/c.tar.gz"), ("${p##?}", "a/b/c.tar.gz"), ("${v#v}", "alue"), ("${v#x}", "value"),
    ("${v##v*}", ""), ("${v#v*}", "alue"), ("${v#*}", "value"), ("${v##*}", ""), ("${v#?*}", "alue"),
    ("${v#??}", "lue"), (r"${star#a\*}", "b"), (r"${star#a\?}", "a*b"), (r"${bs#a\\}", "b"), ("${u#ü}", "nï"),
    ("${u#?}", "nï"), ("${v##}", "value"), ("${x#a}", ""), ("${e#a}", ""), ("${v#'v'}", "alue"),
    ('${v#"v"}', "alue"), ("${v#[v]}", "value"), (r"${v#\/}", "value"), (r"${sl#a\/}", "b"),
    (r"${br#a\}}", "b"), ("${v#v}${v%e}", "aluevalu"), ("${v#${v%lue}}", "lue"), ("${v#$v}", ""),
    ("${v#$star}", "value"), ("${p#*.}", "tar.gz"), ("${p##*.}", "gz"), ("${v#value}", ""),
    ("${v#values}", "value"), ("${v#V}", "value"), ("${rep#*X}", "bXc"), ("${rep##*X}", "c"),
    (r"${qm#a\?}", "b"), ("${star#a*}", "*b"), ("${star##a*}", ""), ("${v#-}", "value"), ("${v#%}", "value"),
    ("${1#a}", ""), ("${v###}", "value"), ("${v##*a}", "lue"), ("${p#/*/}", "b/c.tar.gz"),
    ("${v#a*}", "value"), ("${v# v}", "value"), ("${s#x }", "y"), ("${v#.}", "value"), ("${v#v.l}", "value"),
    ("${v#(v)}", "value"), ("${v#v+}", "value"), ("${v#^v}", "value"), ("${v#}", "value"),
    # suffixes
    ("${p%.*}", "/a/b/c.tar"), ("${p%%.*}", "/a/b/c"), ("${p%%/*}", ""), ("${p%/*}", "/a/b"),
    ("${v%e}", "valu"), ("${v%x}", "value"), ("${v%%*}", ""), ("${v%*}", "value"), ("${v%?}", "valu"),
    ("${v%%?}", "valu"), ("${v%ue}", "val"), ("${v%%l*}", "va"), (r"${star%\*b}", "a"), (r"${bs%\\b}", "a"),
    ("${u%ï}", "ün"), ("${x%a}", ""), ("${e%a}", ""), ("${v%%%}", "value"), ("${v%#}", "value"),
    ("${v%'e'}", "valu"), ('${v%"ue"}', "val"), ("${v%$v}", ""), ("${p%gz}", "/a/b/c.tar."),
    ("${p%.tar.gz}", "/a/b/c"), ("${p%.gz}", "/a/b/c.tar"), ("${rep%X*}", "aXb"), ("${rep%%X*}", "a"),
    (r"${br%\}b}", "a"), ("${p%.*.*}", "/a/b/c"), ("${p%%c*}", "/a/b/"), ("${v%value}", ""),
    ("${v%v}", "value"), ("${v%%a*e}", "v"), ("${v%l?e}", "va"), (r"${sl%\/b}", "a"), ("${v%%}", "value"),
    ("${v%}", "value"), ("${v%$}", "value"), ("${v%e$}", "value"),
    # replacements
    ("${p/a/X}", "/X/b/c.tar.gz"), (r"${p//\//_}", "_a_b_c.tar.gz"), ("${p//./_}", "/a/b/c_tar_gz"),
    ("${p//?/_}", "_____________"), ("${p//*/_}", "_"), (r"${p/\/a/X}", "X/b/c.tar.gz"),
    ("${p/a/}", "//b/c.tar.gz"), (r"${p//\//}", "abc.tar.gz"), (r"${v/l/\/}", r"va\/ue"),
    (r"${v/l/\}}", r"va\}ue"), ("${v/l/$s}", "vax yue"), ('${v/l/"q"}', "vaque"), ("${v/l/'q'}", "vaque"),
    ('"${s// /_}"', "x_y"), ("${s// /_}", "x_y"), ("${s/ /}", "xy"), (r"${star/\*/x}", "axb"),
    (r"${star/\?/x}", "a*b"), ("${x/a/b}", ""), ("${p/$e/X}", "X/a/b/c.tar.gz"),
    ("${v//$e/-}", "-v-a-l-u-e-"), (r"${v/a/\b}", r"v\blue"), (r"${v/l/\$1}", r"va\$1ue"),
    ("${v/l/$1}", "vaue"), ("${rep/X/-}", "a-bXc"), ("${rep//X/-}", "a-b-c"),
    ("${rep//X/$v}", "avaluebvaluec"), ("${rep/X*/-}", "a-"), ("${rep/*X/-}", "-c"), ("${rep//X?/-}", "a--"),
    ("${v/x/y}", "value"), ("${v//x/y}", "value"), ("${v/value/}", ""), ("${v/?/y}", "yalue"),
    ("${v/*/y}", "y"), ("${v/l/${x:-d}}", "vadue"), ("${v/l/L}${v/a/A}", "vaLuevAlue"), ("${e/a/b}", ""),
    ("${e//*/b}", "b"), ("${e/*/b}", "b"), ("${v/v/vv}", "vvalue"), ("${v//l/ll}", "vallue"),
    (r"${bs/\\/x}", "axb"), (r"${bs//\\/\\}", r"a\\b"), ("${u/n/N}", "üNï"), ("${v/a/b/c}", "vb/clue"),
    ("${v/e/$$}", "valu"), ("${v//[a]/b}", "value"), ("${v/./x}", "value"), ("${v/$v/w}", "w"),
    ("${v/l/ }", "va ue"), ("${v/al/-}", "v-ue"), ("${v//al*/-}", "v-"), ("${v/a*l/-}", "v-ue"),
    ("${rep//X*X/-}", "a-c"), ("${v///x}", "xvxaxlxuxex"), ("${v//v/}", "alue"), (r"${sl/\//-}", "a-b"),
    ("${v/l/a:b}", "vaa:bue"), ("${v/l/#}", "va#ue"), ("${v/l/{}", "va{ue"), ("${v/#v/x}", "value"),
    ("${v/%e/x}", "value"), ("${rep//?X/-}", "--c"), ("${v/l/$$}", "vaue"), (r"${v/l/\\}", r"va\\ue"),
    (r"${v/l/\n}", r"va\nue"),
    # quotes
    ("'${v}'", "${v}"), ("'$v'", "$v"), ('"$v"', "value"), ('"${v}"', "value"), (r'"\$v"', "$v"),
    (r'"\${v}"', "${v}"), (r'"a\"b"', 'a"b'), (r'"a\nb"', r"a\nb"), ('a\'b"c\'d"e\'f"g', 'ab"cde\'fg'),
    ("''", ""), ('""', ""), ("''$v''", "value"), ('\'a\'"b"c', "abc"), (r'"a\\b"', r"a\b"), (r'"\a"', r"\a"),
    ("'\\a'", r"\a"), ('"it\'s"', "it's"), ('\'say "hi"\'', 'say "hi"'), ("$q", "it's"), ('"$q"', "it's"),
    ('\'$v\'$v"$v"', "$vvaluevalue"), ('"${x:-\'a\'}"', "a"), ('"${x:-"a"}"', "a"), ("a' 'b", "a b"),
    ('a" "b', "a b"), ("'a\\\\'", 'a\\\\'), ('"\'$v\'"', "'value'"), ('\'"$v"\'', '"$v"'),
    (r'"a\\\"b"', r'a\"b'), ('"$"', "$"), ("'}'", "}"), ('"a\tb"', "a\tb"), (r'"\`"', r"\`"), ('"\'"', "'"),
    # escapes
    (r"\$v", "$v"), (r"\${v}", "${v}"), (r"\\$v", r"\value"), (r"\\\$v", r"\$v"), (r"a\nb", "anb"),
    (r"a\\b", r"a\b"), ("a b  c", "a b  c"), ('ends\\', "ends"), ("\\'", "'"), (r'\"', '"'),
    ("\\'$v\\'", "'value'"), (r"\a\b", "ab"), (r"\é", "é"), (r"a\ b", "a b"), (r"$v\x", "valuex"),
    (r"${v}\}", "value}"), (r"\$\{v\}", "${v}"), (r"$\{v}", "${v}"), ("`$v", "`value"), ("`", "`"),
    ('\\\\', '\\'), (r"\`", "`"), (r"\$$v", "$value"), ("\\'\\'", "''"), ('a\\', "a"), (r"\#", "#"),
    ('$v\\', "value"), (r"\{$v\}", "{value}"), ("plain", "plain"), ("", ""), ("$bs", r"a\b"),
    ('"$bs"', r"a\b"), ("$d", "$v"),
    # a modifier without a name
    ("${/a/b}", ""), ("${%v}", ""), ("${+w}", ""), ("${//a/b}", ""), ("${%%}", ""),
]  # fmt: skip
WITH_BACKTICK = [
    # backtick
    ("`$v", "$v"), ("`${v}", "${v}"), (r"C:\$v", r"C:\value"), (r"C:\dir", r"C:\dir"), (r"\$v", r"\value"),
    ('"`"`$v"', '"$v'), ("``", "`"), ("a`nb", "anb"), ('"a`nb"', "a`nb"), ("'`$v'", "`$v"), ("ends`", "ends"),
    ('a\\', 'a\\'), ('\\\\', '\\\\'), (r"$v\$v", r"value\value"), ("${x:-a`}b}", "a}b"),
    (r"${x:-a\}b}", r"a\b}"), ("`'", "'"), ('`"', '"'), (r'"\"', '\\'), ("$v`", "value"), ("`$$v", "$value"),
    ("``$v", "`value"), (r"${x:-\\srv}", r"\\srv"), ("${v#`v}", "value"), (r"$v\n", r"value\n"),
    ("'C:\\a'$v", r"C:\avalue"), (r'"C:\a"', r"C:\a"), (r"\`", '\\'), ('"``"', "`"), ('`\\', '\\'),
    ("\\'a'", r"\a"), ("${br#a`}}", "a}b"), (r"${bs#a\\}", "b"), (r"${v/l/\/}", r"va\/ue"),
    ("${v/l/`/}", "va`/ue"), ("`a`b", "ab"),
    # mistakes
    ("'`'`", "`"),
]  # fmt: skip
ERRORS = [
    # defaults
    ("${v:-${", "bad substitution"),
    # demands
    ("${x:+${y:?no}}", 'variable "y": no'),
    # escapes
    ('"a\\', "is not closed"),
    # mistakes
    ("${}", "bad substitution"), ("${:}", "bad substitution"), ("${{", "bad substitution"),
    ("${{v}}", "bad substitution"), ("${ v}", "bad substitution"), ("${ }", "bad substitution"),
    ("${.}", "bad substitution"), ("${v", 'lacks a "}"'), ("${v:", 'lacks a "}"'), ("${v:-a", 'lacks a "}"'),
    ("${", "bad substitution"), ("a${", "bad substitution"), ("${x:-'}", "is not closed"),
    ('${x:-"}', "is not closed"), ("${v:=a}", 'unsupported modifier ":="'),
    ("${v=a}", 'unsupported modifier "="'), ("${v:x}", 'unsupported modifier ":x"'),
    ("${v:#a}", 'unsupported modifier ":#"'), ("${v:##a}", 'unsupported modifier ":#"'),
    ("${v:%a}", 'unsupported modifier ":%"'), ("${v:/a/b}", 'unsupported modifier ":/"'),
    ("${v^}", 'unsupported modifier "^"'), ("${v^^}", 'unsupported modifier "^"'),
    ("${v,}", 'unsupported modifier ","'), ("${v@Q}", 'unsupported modifier "@"'),
    ("${v!}", 'unsupported modifier "!"'), ("${#v}", 'unsupported modifier "v"'),
    ("${!v}", 'unsupported modifier "v"'), ("${x:?gone}", 'variable "x": gone'),
    ("${x?gone}", 'variable "x": gone'), ("${x?}", 'variable "x": is not allowed to be unset'),
    ("${x:?}", 'variable "x": is not allowed to be unset'),
    ("${e:?}", 'variable "e": is not allowed to be empty'), ("${e:?gone}", 'variable "e": gone'),
    ("${x:?$v gone}", 'variable "x": value gone'), ("${x:-${y:?deep}}", 'variable "y": deep'),
    ('"abc', "is not closed"), ("'abc", "is not closed"), ("a'b", "is not closed"), ('a"b', "is not closed"),
    ('"a\'', "is not closed"), ('\'a"', "is not closed"), ("${v/a}", 'lacks a "/"'),
    ("${v//a}", 'lacks a "/"'), ("${v/a/b", 'lacks a "}"'), ("${v/", 'lacks a "/"'), ("${v/}", 'lacks a "/"'),
    (r"${v#\a}", r'invalid pattern "\a": nothing to escape in "\a"'),
    (r"${v%\x}", r'invalid pattern "\x": nothing to escape in "\x"'),
    (r"${v/\a/b}", r'invalid pattern "\a": nothing to escape in "\a"'), ("${v#a", 'lacks a "}"'),
    ("${v:-${w}", 'lacks a "}"'), ("${v v}", 'unsupported modifier " "'),
    ("${v }", 'unsupported modifier " "'), ("${v-", 'lacks a "}"'), ("${v:}", 'unsupported modifier ":}"'),
    ("${v::-a}", 'unsupported modifier "::"'), ("${v::}", 'unsupported modifier "::"'),
    ("${v:1:2}", 'unsupported modifier ":1"'), ("${v[0]}", 'unsupported modifier "["'),
    ("${v.}", 'unsupported modifier "."'), ("${-v}", 'unsupported modifier "v"'),
    ("${v:;a}", 'unsupported modifier ":;"'), ("${:-v}", "bad substitution"),
    ("${?v}", 'unsupported modifier "v"'), ("${1v}", 'unsupported modifier "v"'), ("${v?", 'lacks a "}"'),
    ("${$v}", 'unsupported modifier "v"'), ("${'v'}", "bad substitution"), ('${"v"}', "bad substitution"),
    (r"${\v}", "bad substitution"), ("$v'", "is not closed"), ('${v"}', 'unsupported modifier """'),
    ("${v}'", "is not closed"), ('${v#\\', 'lacks a "}"'), ('${x:-\\', 'lacks a "}"'),
    ("${v$}", 'unsupported modifier "$"'), ("${v|a}", 'unsupported modifier "|"'),
    ("${v~}", 'unsupported modifier "~"'), ("${v*}", 'unsupported modifier "*"'),
    (r"${v\}", r'unsupported modifier "\"'), ("'$v", "is not closed"), ('"${v', 'lacks a "}"'),
    ('"${v}', "is not closed"), ("${x:-a'b}", "is not closed"), (r'"\"', "is not closed"),
    ('${v/\\', 'lacks a "/"'), ('${v?\\', 'lacks a "}"'),
    (r"${x/\a/b}", r'invalid pattern "\a": nothing to escape in "\a"'),
    (r"${e#\a}", r'invalid pattern "\a": nothing to escape in "\a"'), ("${/a}", 'lacks a "/"'),
    ("${=v}", "bad substitution"),
]  # fmt: skip
ERRORS_WITH_BACKTICK = [
    # backtick
    (r"${p/\/a/X}", r'invalid pattern "\": nothing to escape in "\"'),
    (r"${br#a\}}", r'invalid pattern "a\": nothing to escape in "\"'),
    # mistakes
    ('"`"', "is not closed"), ("${v`}", 'unsupported modifier "`"'), ("\\'", "is not closed"),
    ("'`''", "is not closed"), (r"${v#\a}", r'invalid pattern "\a": nothing to escape in "\a"'),
    ("${x:-`}", 'lacks a "}"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "escape", "result"),
    [(text, "\\", result) for text, result in RESULTS]
    + [(text, "`", result) for text, result in WITH_BACKTICK],
)
def test_result(text: str, escape: str, result: str) -> None:
    """A word becomes what Docker makes of it."""
    mode = Mode(escape=escape)

    assert result == expand(text, VARIABLES, mode).text


@pytest.mark.parametrize(
    ("text", "escape", "reason"),
    [(text, "\\", reason) for text, reason in ERRORS]
    + [(text, "`", reason) for text, reason in ERRORS_WITH_BACKTICK],
)
def test_error(text: str, escape: str, reason: str) -> None:
    """What Docker refuses is refused, with the reason and a hint."""
    with pytest.raises(InvalidExpansion, match=re.escape(reason)) as caught:
        expand(text, VARIABLES, Mode(escape=escape))

    assert caught.value.hint
