"""Where timestamp and value stand in a row: found once, from the first lines of a file."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, Self

from biomem.errors import DataError
from biomem.stream.options import MAX_ABS_VALUE, ReadOptions
from biomem.stream.timestamps import detect_format, stamp_parser

__all__ = ["Layout", "RowProblem", "number", "row_text", "shown", "without_mark"]

_TIMESTAMP_NAMES = ("timestamp", "time", "date", "datetime", "ts")
_MISSING = frozenset({"", "nan", "null", "na", "n/a", "none"})
_OTHER_FORMATS = {
    b"\xff\xfe": "UTF-16 text; convert it to UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it to UTF-8",
    b"\x1f\x8b": "gzip-compressed; unpack it first",
    b"PK\x03\x04": "a ZIP archive or spreadsheet; export it as CSV",
    b"\x89HDF": "an HDF5 file; export it as CSV",
}
_QUOTED = re.compile(r'"[^"]*"')


class RowProblem(Exception):
    """A row that gives no record; `kind` is the counter of `Counts` it belongs to."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _JsonNumber(str):
    """A JSON number as it stood in the file."""

    __slots__ = ()


_DECODER = json.JSONDecoder(
    parse_float=_JsonNumber, parse_int=_JsonNumber, parse_constant=_JsonNumber
)


def shown(text: object) -> str:
    """Quote `text` for a message, cut to a readable length."""
    quoted = repr(str(text))
    return quoted if len(quoted) <= 60 else quoted[:56] + "...'"


def without_mark(line: bytes, source: str) -> bytes:
    """Return the first line of a file without UTF-8's mark; DataError if it is no such text."""
    for start, what in _OTHER_FORMATS.items():
        if line.startswith(start):
            raise DataError(f"{source}: is {what}")
    return line.removeprefix(b"\xef\xbb\xbf")


def row_text(line: bytes, limit: int) -> str:
    """Decode a line; RowProblem if it is too long, not UTF-8, or holds NUL bytes."""
    if len(line) > limit:
        raise RowProblem("overlong", f"line is longer than max_line_bytes = {limit}")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise RowProblem("bad", f"line {shown(line)} is not UTF-8") from None
    if "\0" in text:
        raise RowProblem("bad", f"line {shown(text)} holds NUL bytes")
    return text


def number(text: str, decimal: str = ".") -> float:
    """Convert a value text; RowProblem with kind missing, out_of_range or bad.

    Examples
    --------
    >>> number(" 10,5", ",")
    10.5
    """
    plain = text
    if decimal == ",":
        plain = "x" if "." in text else text.replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        if text.strip().lower() in _MISSING:
            raise RowProblem("missing", "the value is missing; expected a number") from None
        hint = "a number" if decimal == "." else "a number with a decimal comma"
        if decimal == "." and re.fullmatch(r"\s*[-+]?\d+,\d+\s*", text):
            hint = "a number with a decimal point (decimal=',' reads decimal commas)"
        raise RowProblem("bad", f"value {shown(text)} is not {hint}") from None
    if -MAX_ABS_VALUE <= value <= MAX_ABS_VALUE:
        if "_" in text:
            raise RowProblem("bad", f"value {shown(text)} is not a number")
        return value
    if value != value:
        raise RowProblem("missing", "the value is NaN; expected a number")
    raise RowProblem(
        "out_of_range", f"value {shown(text)} is out of range; expected abs <= {MAX_ABS_VALUE:g}"
    )


def _is_number(text: str, decimal: str) -> bool:
    try:
        number(text, decimal)
    except RowProblem as problem:
        return problem.kind == "out_of_range"
    return True


@dataclasses.dataclass(frozen=True)
class Layout:
    """The resolved shape of a file; `value` and `time_format` may wait for the first good row."""

    format: str
    delimiter: str
    names: tuple[str, ...] | None
    n_fields: int
    timestamp: int | str | None
    value: int | str | None
    time_format: str | None

    @classmethod
    def of_first_line(cls, text: str, options: ReadOptions, name: str) -> tuple[Self, bool]:
        """Return the layout the first line tells, and whether that line is a header.

        Raises RowProblem if the line tells nothing, DataError if a named column is not there.
        """
        known = None if options.time_format == "auto" else options.time_format
        as_json = text.lstrip().startswith("{")
        if options.format == "jsonl" or (options.format == "auto" and as_json):
            keys = tuple(_json_object(text))
            stamp, value = _columns(options, keys, len(keys), name)
            # A key found by number would move with the order the writer happens to choose.
            stamp, value = (keys[c] if isinstance(c, int) else c for c in (stamp, value))
            return cls("jsonl", "", keys, len(keys), stamp, value, known), False
        delimiter = options.delimiter or _sniff(text, options.decimal)
        fields = _split(text, delimiter)
        header = options.header
        if header == "auto":
            header = not any(_is_datum(field.strip(), options) for field in fields)
        names = tuple(field.strip() for field in fields) if header else None
        stamp, value = _columns(options, names, len(fields), name)
        return cls("csv", delimiter, names, len(fields), stamp, value, known), bool(header)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Undo `to_dict`."""
        names = state["names"]
        return cls(**{**state, "names": None if names is None else tuple(names)})

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as JSON values."""
        return {**dataclasses.asdict(self), "names": self.names and list(self.names)}

    def fields(self, text: str, options: ReadOptions) -> tuple[Layout, str, str]:
        """Return the (perhaps completed) layout, timestamp text and value text of a row."""
        if self.format == "jsonl":
            return self._json_fields(text)
        fields = text.split(self.delimiter) if '"' not in text else _split(text, self.delimiter)
        n = self.n_fields
        if len(fields) != n and (len(fields) < n or any(f.strip() for f in fields[n:])):
            raise RowProblem("bad", f"row {shown(text)} has {len(fields)} fields; expected {n}")
        layout = self
        if self.value is None:
            layout = dataclasses.replace(self, value=self._first_number(fields, options.decimal))
        stamp = "" if self.timestamp is None else fields[self.timestamp].strip()  # type: ignore[index]
        return layout, stamp, fields[layout.value]  # type: ignore[index]

    def with_time_format(self, stamp: str) -> Layout:
        """Return the layout with the time format that `stamp` shows."""
        found = detect_format(stamp)
        if found is None:
            raise RowProblem(
                "bad",
                f"timestamp {shown(stamp)} is neither ISO 8601 nor a Unix time; say what it is "
                "with time_format, e.g. '%m/%d/%Y %H:%M'",
            )
        return dataclasses.replace(self, time_format=found)

    def _first_number(self, fields: Sequence[str], decimal: str) -> int:
        for index, field in enumerate(fields[: self.n_fields]):
            if index != self.timestamp and _is_number(field, decimal):
                return index
        raise RowProblem("bad", "no column but the timestamp's holds a number; expected one")

    def _json_fields(self, text: str) -> tuple[Layout, str, str]:
        row = _json_object(text)
        layout = self
        if self.value is None:
            for key, item in row.items():
                if key != self.timestamp and isinstance(item, str) and _is_number(item, "."):
                    layout = dataclasses.replace(self, value=key)
                    break
            else:
                raise RowProblem("bad", "no key but the timestamp's holds a number; expected one")
        stamp = "" if self.timestamp is None else _json_text(row, self.timestamp, "timestamp")
        return layout, stamp.strip(), _json_text(row, layout.value, "value")


def _split(text: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise RowProblem("bad", f"row {shown(text)} is wrongly quoted ({error})") from None
    return rows[0] if rows else [""]


def _json_object(text: str) -> dict[str, Any]:
    try:
        row = _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not row:
        raise RowProblem("bad", f"{shown(text)} is no JSON object; expected one a line")
    return row


def _json_text(row: dict[str, Any], key: Any, role: str) -> str:
    item = row.get(key)
    if item is None:
        return ""
    if not isinstance(item, str):
        raise RowProblem("bad", f"{role} {shown(item)} is neither a number nor a text")
    return item


def _sniff(text: str, decimal: str) -> str:
    bare = _QUOTED.sub("", text)
    candidates = [mark for mark in "\t;|," if mark != decimal]
    best = max(candidates, key=bare.count)
    return best if best in bare else ";" if decimal == "," else ","


def _is_datum(field: str, options: ReadOptions) -> bool:
    if _is_number(field, options.decimal):
        return True
    if options.time_format == "auto":
        return detect_format(field) is not None
    try:
        stamp_parser(options.time_format, "UTC")(field, None)
    except (ValueError, OverflowError):
        return False
    return True


def _columns(
    options: ReadOptions, names: tuple[str, ...] | None, n_fields: int, source: str
) -> tuple[int | str | None, int | str | None]:
    stamp = value = None
    if options.value is not None:
        value = _find(options.value, "value", names, n_fields, source)
    if options.timestamp == "none":
        stamp = None
    elif options.timestamp is not None:
        stamp = _find(options.timestamp, "timestamp", names, n_fields, source)
    else:
        folded = [name.casefold() for name in names or ()]
        found = [folded.index(name) for name in _TIMESTAMP_NAMES if name in folded]
        unnamed = [c for c in range(n_fields) if not folded or folded[c] != "value"]
        others = [column for column in (*found, *unnamed) if column != value]
        stamp = others[0] if others and n_fields > 1 else None
    if value is None:
        folded = [name.casefold() for name in names or ()]
        candidates = [c for c in range(n_fields) if c != stamp]
        named = [c for c in candidates if folded and folded[c] == "value"]
        if not candidates:
            raise DataError(f"{source}: there is no column for the value besides the timestamp's")
        value = named[0] if named else candidates[0] if len(candidates) == 1 else None
    return stamp, value


def _find(
    wanted: str | int, role: str, names: tuple[str, ...] | None, n_fields: int, source: str
) -> int:
    if isinstance(wanted, str):
        for fold in (str, str.casefold):
            folded = [fold(name) for name in names or ()]
            if fold(wanted) in folded:
                return folded.index(fold(wanted))
        if wanted.isdecimal():
            wanted = int(wanted)
    if isinstance(wanted, int) and wanted < n_fields:
        return wanted
    raise _missing_column(wanted, role, names, n_fields, source)


def _missing_column(
    wanted: str | int, role: str, names: tuple[str, ...] | None, n_fields: int, source: str
) -> DataError:
    """Return the error that names the columns there are."""
    what = f"column {wanted}" if isinstance(wanted, int) else f"column {wanted!r}"
    if names is None:
        there = f"it has no header (header=True reads one); its columns are 0 to {n_fields - 1}"
    else:
        there = "its columns are " + ", ".join(shown(name) for name in names[:20])
        there += f" and {len(names) - 20} more" if len(names) > 20 else ""
    return DataError(f"{source}: no {what} for the {role}; {there}")
