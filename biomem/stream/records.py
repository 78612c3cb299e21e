"""Telemetry files and pipes as records, one at a time, resumable at every row."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, Self

from biomem.errors import DataError, ParameterError
from biomem.stream.clock import GAP, LATE, ON_TIME, Clock
from biomem.stream.events import SKIPPED, Counts, Reporter
from biomem.stream.layout import Layout, RowProblem, number, row_text, shown, without_mark
from biomem.stream.lines import LineSource
from biomem.stream.options import ReadOptions
from biomem.stream.position import POSITION_VERSION, agreed_options, damaged
from biomem.stream.timestamps import StampParser, stamp_parser

__all__ = ["Record", "RecordReader"]

_LATE_RUN = 100


class Record(NamedTuple):
    """One measurement."""

    row: int
    """1-based number of the data row in its file; header and blank lines are no rows."""
    time: float
    """Wall clock in `ReadOptions.tz` as if it were UTC, s since 1970; else the tick."""
    stamp: str
    """The timestamp as it stood in the file; empty without timestamps."""
    value: float
    """Finite, abs <= `MAX_ABS_VALUE`."""
    reset: bool
    """A gap lies before this record: sequences must not be learned across it."""


class RecordReader:
    r"""Iterate over the `Record` s of a telemetry file.

    Parameters
    ----------
    source : str, path or binary file object
        ``"-"`` is standard input.
    options : ReadOptions, optional
        Default: those of `position`, else ``ReadOptions()``.
    position : dict, optional
        A former reader's `position`. If the source still begins with what that reader consumed
        (it may have grown), reading continues exactly there. If not - the file was rotated, or
        is a pipe - `same_source` is False and reading starts at its beginning, with the newest
        time, the intervals, the last value and the counts of the stream carried on.
    on_event : callable, optional
        ``on_event(kind, message, row)``, called once for each kind of problem; default
        ``warnings.warn`` with `BiomemWarning`. Kinds: the fields of `Counts`, ``late_run`` (many
        late rows on end: the newest stamp may be wrong) and ``other_source``.

    Attributes
    ----------
    same_source : bool
        False if `position` belongs to another file.
    unterminated : bool
        The record handed out last is an unterminated last line (see Notes).

    Raises
    ------
    DataError
        On any source that cannot be read or gives no record, at the latest when its end is
        reached.
    CheckpointMismatch
        If `position` is damaged or was made with other options.

    Notes
    -----
    **Files that grow.** A last line without a line break may be whole, or its writer may be at
    work on it: ``10`` may become ``108``. With ``last_line="use"`` such a record is handed out
    last and alone (`read_chunk` gives it a chunk of its own) and `unterminated` is True. Who means
    to resume keeps the `position` from before it, together with the model's state from before it,
    and rewrites its result on resuming: then the outcome is exact whatever the line becomes. A
    `position` taken after it continues exactly if the line proves whole, and raises `DataError` if
    it does not. ``last_line="hold"`` leaves the line unread until its line break is there.

    When not to use it: for tables without time order, or with several values to a record.

    Examples
    --------
    >>> import io
    >>> source = io.BytesIO(b"time,load\n2024-05-01 00:00,1.5\n2024-05-01 00:05,oops\n")
    >>> reader = RecordReader(source, on_event=lambda kind, message, row: print(message))
    >>> next(reader)
    Record(row=1, time=1714521600.0, stamp='2024-05-01 00:00', value=1.5, reset=False)
    >>> list(reader)
    <BytesIO>:3: value 'oops' is not a number; skipped, as are further ones
    []
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        options: ReadOptions | None = None,
        position: dict[str, Any] | None = None,
        *,
        on_event: Callable[[str, str, int], None] | None = None,
    ) -> None:
        self.options = agreed_options(options, position)
        self.same_source = True
        self.unterminated = False
        self._row = 0
        self._line = 0
        self._layout: Layout | None = None
        self._parse_stamp: StampParser | None = None
        self._decimal = "."
        self._clock = Clock(self.options.gap_factor)
        self._counts = Counts()
        self._last_value: float | None = None
        self._late_run = (0, 0)  # records when it began, length
        self._newest = ""  # stamp of the newest record, for messages
        self._records_here = 0
        self._held = False  # an unterminated last line was seen and left unread
        self._fatal: DataError | None = None  # the source is of no use from here on
        self._muted: list[tuple[str, str]] | None = None
        self._source = LineSource(source, self.options.max_line_bytes)
        self._reporter = Reporter(self._source.name, on_event)
        if position is not None:
            try:
                self._restore(position)
            except BaseException:
                self.close()
                raise

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self._source.name

    @property
    def warnings(self) -> dict[str, str]:
        """The first message of each kind of problem."""
        return dict(self._reporter.first)

    @property
    def counts(self) -> Counts:
        """A copy of the counts so far."""
        return dataclasses.replace(
            self._counts, unterminated=self._counts.unterminated + self._held
        )

    @property
    def position(self) -> dict[str, Any]:
        """Where a new reader continues: after the last row read. JSON values only.

        Raises the `DataError` that ended the reading, if one did.
        """
        if self._fatal is not None:
            raise self._fatal
        return {
            "version": POSITION_VERSION,
            "offset": self._source.offset,
            "sha256": self._source.digest(),
            "row": self._row,
            "line": self._line,
            "open": self.unterminated,
            "layout": None if self._layout is None else self._layout.to_dict(),
            "clock": self._clock.to_dict(),
            "newest": self._newest,
            "value": self._last_value,
            "counts": dataclasses.asdict(self._counts),
            "options": self.options.to_dict(),
        }

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record:
        chunk = self.read_chunk(1)
        if not chunk:
            raise StopIteration
        return chunk[0]

    def read_chunk(self, n: int = 1024) -> list[Record]:
        """Return the next records: at most `n`, none at the (present) end of the source.

        A pipe gives what it has once there is at least one record.
        """
        if n < 1:
            raise ParameterError(f"n must be >= 1, got {n}")
        if self._fatal is not None:
            raise self._fatal
        source, consume = self._source, self._consume
        records: list[Record] = []
        while len(records) < n:
            line = source.next()
            if line is None:
                if not records:
                    records = self._at_end()
                break
            try:
                record = consume(line)
            except DataError as error:
                self._fatal = error
                raise
            if record is not None:
                records.append(record)
            # Also after a row without a record: what is there must not wait for the next row.
            if records and source.live and not source.buffered:
                break
        return records

    def close(self) -> None:
        """Close the file if the reader opened it."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _consume(self, line: bytes) -> Record | None:
        """Take one line; None unless it gives a record."""
        if self.unterminated:
            self._close_row(line)
            return None
        self._held = False
        self._line += 1
        if self._line == 1:
            line = without_mark(line, self.name)
        if not line or line.isspace():
            return None
        self._row += 1
        self._counts.rows += 1
        try:
            text = row_text(line, self.options.max_line_bytes)
            if self._layout is None and self._is_header(text):
                self._row -= 1
                self._counts.rows -= 1
                return None
            return self._record(text)
        except RowProblem as problem:
            self._count(problem.kind, f"{problem}{SKIPPED}")
            return None

    def _is_header(self, text: str) -> bool:
        layout, is_header = Layout.of_first_line(text, self.options, self.name)
        self._use_layout(layout)
        return is_header

    def _record(self, text: str) -> Record | None:
        layout: Layout = self._layout  # type: ignore[assignment]
        resolved, stamp, value_text = layout.fields(text, self.options)
        if resolved.time_format is None and resolved.timestamp is not None:
            resolved = resolved.with_time_format(stamp)
        if resolved is not layout:
            self._use_layout(resolved)
        counts = self._counts
        if resolved.timestamp is None:
            value = self._value(value_text)
            wall, reset = float(counts.records), False
        else:
            instant, wall = self._times(stamp)
            value = self._value(value_text)
            verdict = self._clock.judge(instant)
            reset = verdict is GAP
            if verdict is not ON_TIME and not self._admits(verdict, stamp):
                return None
            if verdict is not LATE:
                self._newest = stamp
        counts.records += 1
        self._records_here += 1
        self._last_value = value
        return Record(self._row, wall, stamp, value, reset)

    def _times(self, stamp: str) -> tuple[float, float]:
        try:
            times = self._parse_stamp(stamp, self._clock.newest)  # type: ignore[misc]
        except (ValueError, OverflowError):
            times = None
        if times is None or not stamp.isprintable():
            expected = self._layout.time_format  # type: ignore[union-attr]
            raise RowProblem("bad", f"timestamp {shown(stamp)} does not read as {expected!r}")
        return times

    def _value(self, text: str) -> float:
        try:
            return number(text, self._decimal)
        except RowProblem as problem:
            held = problem.kind == "missing" and self.options.missing == "hold"
            if not held or self._last_value is None:
                raise
            self._count("missing", f"{problem}; the last value is held, as for further ones")
            return self._last_value

    def _admits(self, verdict: str, stamp: str) -> bool:
        """Count a record that is not simply the next one; whether it is handed out."""
        if verdict is GAP:
            allowed = f"{self._clock.gap_factor:g} times the median interval"
            text = f"gap of more than {allowed} before {shown(stamp)}"
            self._count("gaps", f"{text}; its record is marked reset, as for further ones")
            return True
        kind, policy = "duplicate", self.options.duplicate
        text = f"timestamp {shown(stamp)} repeats the record before"
        if verdict is LATE:
            kind, policy = "late", self.options.late
            text = f"timestamp {shown(stamp)} is earlier than {shown(self._newest)} before it"
            records, run = self._late_run
            run = run + 1 if records == self._counts.records else 1
            self._late_run = (self._counts.records, run)
            if run == _LATE_RUN:
                advice = "if that one is wrong, remove its row and read again"
                self._report("late_run", f"{_LATE_RUN} rows on end: {text}; {advice}")
        kept = policy == "keep"
        self._count(kind, f"{text}; {'kept, as are further ones' if kept else SKIPPED[2:]}")
        return kept

    def _use_layout(self, layout: Layout) -> None:
        self._layout = layout
        # JSON numbers have a decimal point wherever they come from.
        self._decimal = self.options.decimal if layout.format == "csv" else "."
        found = layout.time_format
        self._parse_stamp = None if found is None else stamp_parser(found, self.options.tz)

    def _count(self, kind: str, message: str) -> None:
        setattr(self._counts, kind, getattr(self._counts, kind) + 1)
        self._report(kind, message)

    def _report(self, kind: str, message: str) -> None:
        if self._muted is None:
            self._reporter.report(kind, message, line=self._line, row=self._row)
        else:
            self._muted.append((kind, message))

    def _at_end(self) -> list[Record]:
        """Deal with an unterminated last line; refuse a source that gave nothing."""
        tail = self._source.tail
        if self.unterminated:
            if tail.strip():
                self._close_row(tail)
            return []
        usable = tail and self.options.last_line == "use"
        if usable and (record := self._try_tail()) is not None:
            self._counts.unterminated += 1
            self.unterminated = True
            self._report("unterminated", "the last line has no line break; used as it stands")
            return [record]
        self._held = bool(tail.strip())
        if self._records_here == 0 and (self._counts.records == 0 or not self.same_source):
            empty = self._source.offset == 0 and not tail
            raise self._reporter.nothing_found(self._counts.rows, empty=empty, cut=self._held)
        if self._held:
            text = "the last line has no line break; left unread"
            self._reporter.report("unterminated", text, line=self._line + 1, row=self._row)
        return []

    def _try_tail(self) -> Record | None:
        """Read the unterminated last line if it is a record; else leave everything as it was."""
        tail = self._source.tail
        state = (self._row, self._line, self._layout, self._newest, self._last_value)
        counts = dataclasses.replace(self._counts)
        self._muted = muted = []
        try:
            record = self._consume(tail)
        finally:
            self._muted = None
        if record is None:
            self._row, self._line, self._layout, self._newest, self._last_value = state
            self._counts = counts
            if self._layout is not None:
                self._use_layout(self._layout)
            return None
        self._source.take_tail()
        for kind, message in muted:
            self._report(kind, message)
        return record

    def _close_row(self, rest: bytes) -> None:
        """See whether the line that was read without its line break was whole."""
        if rest.strip():
            raise DataError(
                f"{self.name}:{self._line}: the last line was read before it was whole, and goes "
                f"on with {shown(rest.decode(errors='replace'))}; resume from a position before "
                "it, or read files that are being written with last_line='hold'"
            )
        self.unterminated = False
        self._counts.unterminated -= 1

    def _restore(self, position: dict[str, Any]) -> None:
        try:
            self._clock.restore(position["clock"])
            self._newest = str(position["newest"])
            value = position["value"]
            self._last_value = None if value is None else float(value)
            self._counts = Counts(**{k: int(n) for k, n in position["counts"].items()})
            self.same_source = self._source.resume(position["offset"], position["sha256"])
            if self.same_source:
                self._row, self._line = int(position["row"]), int(position["line"])
                self.unterminated = bool(position["open"])
                if position["layout"] is not None:
                    self._use_layout(Layout.from_dict(position["layout"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise damaged(error) from None
        if not self.same_source:
            text = "this is not the file the position was taken in (or a pipe)"
            self._report("other_source", f"{text}; read from its start")
