"""Numbers, PAX records and sparse maps of tar headers: the parts that a reader must not trust."""

from __future__ import annotations

from typing import NamedTuple

from builder.fs.limits import ArchiveLimit, BadArchive

_XATTR = b"SCHILY.xattr."
_MAX_NUMBER = (1 << 63) - 1


class Chunk(NamedTuple):
    """A run of data in a sparse file; everything between the runs is zeros."""

    offset: int
    size: int


def parse_number(field: bytes) -> int:
    """A numeric header field: octal text, or the base-256 that GNU tar writes for large and negative ones."""
    if field[0] & 0x80:
        # The first bit is the marker, the second one the sign (two's complement over the whole field).
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if not -_MAX_NUMBER <= value <= _MAX_NUMBER:
            raise BadArchive("a number in a tar header is too large")
        return value
    text = field.strip(b" \0").partition(b"\0")[0]
    if not text:
        return 0
    try:
        # int() alone would take signs, underscores and 0o.
        return int(text if text.isdigit() else b"?", 8)
    except ValueError:
        raise BadArchive("a number in a tar header is not octal") from None


def parse_decimal(text: bytes, what: str) -> int:
    """A non-negative decimal number of a PAX record or a sparse map."""
    if not text.isdigit() or len(text) > 19:
        raise BadArchive(f"the tar record {what} is not a number")
    value = int(text)
    if value > _MAX_NUMBER:
        raise BadArchive(f"the tar record {what} is too large")
    return value


def parse_time_ns(text: bytes) -> int:
    """Nanoseconds of a PAX time such as ``1350244992.023960108`` or ``-1.5``."""
    whole, _, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    digits = whole[1:] if negative else whole
    if not digits.isdigit() or len(digits) > 18 or (fraction and not fraction.isdigit()):
        raise BadArchive("the tar record mtime is not a time")
    value = int(digits) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -value if negative else value


class Pax:
    """The records of extended headers, later ones over earlier ones."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        # Only the 0.0 sparse format repeats keys, so only these are kept in order.
        self.sparse_numbers: list[tuple[bytes, bytes]] = []

    def copy(self) -> Pax:
        """A second set to which the records of one member can be added."""
        other = Pax()
        other.records = dict(self.records)
        return other

    def parse(self, data: bytes) -> None:
        """Take the records of one header block: ``<length> <key>=<value>\\n``, length counting itself."""
        at, end = 0, len(data)
        while at < end:
            space = data.find(b" ", at, at + 20)
            digits = data[at:space] if space > 0 else b""
            if not digits.isdigit():
                # Padding of NULs is written by some archivers behind the last record.
                if not data[at:].strip(b"\0"):
                    return
                raise BadArchive("a PAX record does not begin with its length")
            stop = at + int(digits)
            key, equals, value = data[space + 1 : stop - 1].partition(b"=")
            if (
                stop > end
                or stop <= space + 2
                or data[stop - 1] != 0x0A
                or not key
                or not equals
                or b"\0" in key
            ):
                raise BadArchive("a PAX record is not well formed")
            self._take(key, value)
            at = stop

    def _take(self, key: bytes, value: bytes) -> None:
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            self.sparse_numbers.append((key, value))
        elif key in (b"path", b"linkpath", b"GNU.sparse.name") and b"\0" in value:
            raise BadArchive("a path in the archive holds a NUL")
        elif value or key.startswith(_XATTR):
            self.records[key] = value
        else:
            # POSIX: an empty value takes back what a header before said.
            self.records.pop(key, None)

    def xattrs(self) -> dict[str, bytes]:
        """Extended attributes, names without the ``SCHILY.xattr.`` that star gave them."""
        start = len(_XATTR)
        return {
            key[start:].decode("utf-8", "surrogateescape"): value
            for key, value in self.records.items()
            if key.startswith(_XATTR)
        }

    def sparse_map(self, max_chunks: int) -> list[Chunk] | None:
        """The map of GNU sparse formats 0.0 and 0.1, None if the records hold none."""
        text = self.records.get(b"GNU.sparse.map")
        if text is not None:
            numbers = text.split(b",", 2 * max_chunks + 1)
        elif self.sparse_numbers:
            names = [key for key, _ in self.sparse_numbers]
            if names != [b"GNU.sparse.offset", b"GNU.sparse.numbytes"] * (len(names) // 2):
                raise BadArchive("the sparse map of the archive is not well formed")
            numbers = [value for _, value in self.sparse_numbers]
        elif self.records.get(b"GNU.sparse.numblocks") == b"0":
            return []
        else:
            return None
        if len(numbers) > 2 * max_chunks:
            raise ArchiveLimit("sparse chunks in one file", max_chunks)
        return pair_up([parse_decimal(number, "GNU.sparse.map") for number in numbers])


def pair_up(numbers: list[int]) -> list[Chunk]:
    """Chunks from offsets and sizes by turns."""
    if len(numbers) % 2:
        raise BadArchive("the sparse map of the archive is not well formed")
    return [Chunk(numbers[i], numbers[i + 1]) for i in range(0, len(numbers), 2)]


def check_sparse(chunks: list[Chunk], size: int, stored: int) -> list[Chunk]:
    """The chunks that hold data, once they are known to be in order, inside the file and really stored."""
    at = total = 0
    for chunk in chunks:
        if chunk.offset < at or chunk.size < 0:
            raise BadArchive("the sparse map of the archive is not in order")
        at = chunk.offset + chunk.size
        total += chunk.size
    if at > size or total != stored:
        raise BadArchive("the sparse map of the archive does not fit the size of its file")
    return [chunk for chunk in chunks if chunk.size]
