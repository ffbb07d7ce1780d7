"""Licences as SPDX has them: an expression where the text is one, else a reference to the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from builder.core.digest import Digest

# Of the SPDX list, those that packages have most; any other text is kept word for word.
_KNOWN = {
    name.lower(): name
    for name in """
    0BSD AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-1.0 Artistic-1.0-Perl
    Artistic-2.0 Beerware BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause BSD-4-Clause
    BSD-4-Clause-UC
    BSD-Source-Code BlueOak-1.0.0 BSL-1.0 bzip2-1.0.6 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0
    CDDL-1.0 CDDL-1.1 CPL-1.0 curl ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.2 FSFAP FSFUL FSFULLR FTL GFDL-1.1-or-later
    GFDL-1.2-or-later GFDL-1.3-only GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later GPL-2.0-only
    GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later
    HPND ICU IJG ISC JSON LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1-only
    LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later Libpng libtiff MIT MIT-0 MIT-CMU MIT-open-group
    MPL-1.0 MPL-1.1 MPL-2.0 MPL-2.0-no-copyleft-exception MS-PL NCSA NTP OFL-1.1 OLDAP-2.8 OpenSSL PHP-3.01
    PostgreSQL PSF-2.0 Python-2.0 Python-2.0.1 Ruby SISSL Sleepycat SMLNJ SSH-OpenSSH TCL Unicode-3.0
    Unicode-DFS-2016 Unlicense UPL-1.0 Vim W3C WTFPL X11 Xnet Zlib ZPL-2.1
    GPL-2.0 GPL-3.0 LGPL-2.0 LGPL-2.1 LGPL-3.0 AGPL-3.0 GPL-2.0+ GPL-3.0+ LGPL-2.0+ LGPL-2.1+ LGPL-3.0+
    """.split()
}
_EXCEPTIONS = frozenset(
    """
    Autoconf-exception-2.0 Autoconf-exception-3.0 Bison-exception-2.2 Classpath-exception-2.0
    GCC-exception-2.0 GCC-exception-3.1 Linux-syscall-note LLVM-exception OCaml-LGPL-linking-exception
    openvpn-openssl-exception
    """.split()
)
_WORDS = re.compile(r"\(|\)|[^\s()]+")
# A text of this length is no expression, and a hostile one may have any.
_WORDS_LIMIT = 60
UNKNOWN = "NOASSERTION"


class Licenses:
    """The licences of one document; those that SPDX has no name for are collected."""

    def __init__(self) -> None:
        self._extracted: dict[str, str] = {}

    def declared(self, texts: Sequence[str]) -> str:
        """The expression for texts that hold together; NOASSERTION for none."""
        found = dict.fromkeys(self._declared(text) for text in texts)
        if len(found) < 2:
            return next(iter(found), UNKNOWN)
        return " AND ".join(f"({each})" if " " in each else each for each in found if each != UNKNOWN)

    def _declared(self, text: str) -> str:
        text = text.encode("utf-8", "replace").decode().strip()
        if not text:
            return UNKNOWN
        expression = _expression(_WORDS.findall(text)[: _WORDS_LIMIT + 1])
        if expression:
            return expression
        name = f"LicenseRef-{Digest.of(text.encode()).hex[:16]}"
        self._extracted[name] = text
        return name

    def extracted(self) -> Iterable[tuple[str, str]]:
        """References and their texts, sorted."""
        return sorted(self._extracted.items())


def _expression(words: list[str]) -> str:
    """In SPDX's spelling; "" unless the words are an expression of names that are known."""
    if not words or len(words) > _WORDS_LIMIT:
        return ""
    done: list[str] = []
    depth, wanted = 0, "name"
    for word in words:
        operator = word.upper()
        match wanted:
            case "name" if word == "(":
                depth += 1
            case "name" if word.lower() in _KNOWN:
                word, wanted = _KNOWN[word.lower()], "operator"
            case "exception" if word in _EXCEPTIONS:
                wanted = "operator"
            case "operator" if word == ")" and depth:
                depth -= 1
            case "operator" if operator in ("AND", "OR"):
                word, wanted = operator, "name"
            case "operator" if operator == "WITH" and done[-1].lower() in _KNOWN:
                word, wanted = operator, "exception"
            case _:
                return ""
        done.append(word)
    if wanted != "operator" or depth:
        return ""
    return " ".join(done).replace("( ", "(").replace(" )", ")")
