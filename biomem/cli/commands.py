"""The commands and their help; what they do is imported when they run."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

__all__ = ["app", "detect", "doctor", "drift"]

app = App(
    name="biomem",
    help="Brain-inspired memory and computing, simulated.",
    version=lambda: version("biomem"),
    help_format="rst",
)

Signal = Literal["log_likelihood", "raw", "value", "residual"]

_DETECTOR = Group("Detector", sort_key=1)
_TEST = Group("Test", sort_key=2)
_READING = Group("Reading", sort_key=3)
_WRITING = Group("Writing", sort_key=4)
_STOPPING = Group("Stopping and going on", sort_key=5)


@app.command
def doctor() -> int:
    """Say what this machine can run, for yourself and for bug reports.

    Exit code 1 if something that is needed is missing or broken, else 0.
    """
    from biomem.cli.doctor import run

    return run()


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a source is read.

    Parameters
    ----------
    timestamp
        Name or 0-based number of the column of times; none: there is none. Default: guessed from
        the header.
    value
        Name or number of the column of values. Default: called value, else the first number.
    delimiter
        Between columns. Default: guessed from the first line.
    decimal
        Decimal mark.
    header
        Whether the first line names the columns.
    input_format
        Of FILE.
    time_format
        auto, iso, epoch_s, epoch_ms, epoch_us, epoch_ns, or a pattern like %m/%d/%Y %H:%M.
    tz
        Time zone of times without one, and of the hour of the day the detector sees.
    missing
        Rows without a value: skip, or hold the value before.
    late
        Rows earlier than the newest record. Default: skip; nab: keep.
    duplicate
        Rows with the timestamp of the one before. Default: skip; nab: keep.
    last_line
        A last line without a line break: use it, or hold it for the next run.
    gap_factor
        Longest interval, in median intervals, that is no gap; off: there are no gaps. Default 50;
        nab: off.
    max_line_bytes
        Longer lines are skipped.
    """

    timestamp: Annotated[str | None, Parameter(group=_READING)] = None
    value: Annotated[str | None, Parameter(group=_READING)] = None
    delimiter: Annotated[str | None, Parameter(group=_READING)] = None
    decimal: Annotated[Literal[".", ","], Parameter(group=_READING)] = "."
    header: Annotated[Literal["auto", "yes", "no"], Parameter(group=_READING)] = "auto"
    input_format: Annotated[Literal["auto", "csv", "jsonl"], Parameter(group=_READING)] = "auto"
    time_format: Annotated[str, Parameter(group=_READING, allow_leading_hyphen=True)] = "auto"
    tz: Annotated[str, Parameter(group=_READING)] = "UTC"
    missing: Annotated[Literal["skip", "hold"], Parameter(group=_READING)] = "skip"
    late: Annotated[Literal["skip", "keep"] | None, Parameter(group=_READING)] = None
    duplicate: Annotated[Literal["skip", "keep"] | None, Parameter(group=_READING)] = None
    last_line: Annotated[Literal["use", "hold"], Parameter(group=_READING)] = "use"
    gap_factor: Annotated[float | Literal["off"] | None, Parameter(group=_READING)] = None
    max_line_bytes: Annotated[int, Parameter(group=_READING)] = 65536


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Writing:
    """What is written, and said.

    Parameters
    ----------
    format
        Of the scores in a folder. Default: csv.
    plot
        Draw the plot.
    quiet
        Print nothing but errors.
    """

    format: Annotated[Literal["csv", "jsonl"] | None, Parameter(group=_WRITING)] = None
    plot: Annotated[bool, Parameter(group=_WRITING)] = True
    quiet: Annotated[bool, Parameter(group=_WRITING, negative=())] = False


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopping:
    """How a run can be gone on with.

    Parameters
    ----------
    save
        Checkpoint to write. Of an earlier run's, the file is kept, with .prev added to its name.
    save_every
        Records between two checkpoints.
    resume
        Checkpoint to go on from, and to go on saving to unless --save names another. If there is
        none yet, the run starts at the beginning, so a service can always start the same way.
    """

    save: Annotated[str | None, Parameter(group=_STOPPING)] = None
    save_every: Annotated[int, Parameter(group=_STOPPING)] = 1000
    resume: Annotated[str | None, Parameter(group=_STOPPING)] = None


@app.command
def detect(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    out: Annotated[str, Parameter(name=["--out", "-o"], group=_WRITING)],
    preset: Annotated[Literal["live", "nab"], Parameter(group=_DETECTOR)] = "live",
    min: Annotated[float | None, Parameter(group=_DETECTOR)] = None,
    max: Annotated[float | None, Parameter(group=_DETECTOR)] = None,
    probation: Annotated[int | None, Parameter(group=_DETECTOR)] = None,
    range_rule: Annotated[bool | None, Parameter(group=_DETECTOR)] = None,
    threshold: Annotated[float, Parameter(group=_DETECTOR)] = 0.5,
    backend: Annotated[Literal["auto", "numpy", "numba"], Parameter(group=_DETECTOR)] = "auto",
    seed: Annotated[int, Parameter(group=_DETECTOR)] = 0,
    reading: Reading = Reading(),
    writing: Writing = Writing(),
    stopping: Stopping = Stopping(),
) -> int:
    """Find the anomalies in a telemetry file or pipe, record by record.

    Writes a score for every record, draws series and alarms, and prints a table. The score is
    high where the series is unusual; an alarm is the first record of each stretch of scores at or
    above the threshold. While the first records (the probation) are learned from, there is none.

    **Bad input.** Rows are skipped, counted and reported once for each kind if they cannot be
    read (wrong number of fields, no number, no time, not UTF-8, a line too long), have no value
    (empty, NaN, null), have a value that is infinite or beyond 1e150, are earlier than the newest
    record, or repeat its timestamp. An interval above --gap-factor medians is a gap: its record is
    scored, as the start of something new. A last line without a line break is used if it is a
    record; if it turns out later to go on, a resumed run scores it again. An empty file, one
    without a record, a missing column, an output or checkpoint that cannot be written, a full
    disk, and a checkpoint that is damaged or belongs to something else end the run: one line,
    exit code 2. What was there before is then as it was, and the last checkpoint is whole.

    **Exit codes.** 0: done, or stopped by SIGTERM with everything saved; 2: see above, or wrong
    usage; 130: interrupted (Ctrl-C), with everything saved. A run that was killed at any moment
    and is started again with --resume gives the scores of one that was not, byte for byte.

    Parameters
    ----------
    file
        CSV, or one JSON object a line; - is standard input.
    out
        File of the scores, in .csv or .jsonl, or a folder for scores.csv or scores.jsonl, made if
        need be. The plot lies beside it, in .png. Existing ones are replaced.
    preset
        live: never looks ahead. nab: the detector of the Numenta Anomaly Benchmark, with the range
        rule, late and duplicate rows kept, no gaps; LOOKS AHEAD: it takes range and length from
        the whole file before the first record.
    min
        Smallest value expected. Without --min and --max, what the records of the probation span;
        they are held back until they are all there.
    max
        Largest value expected.
    probation
        Records at the start that raise no alarm. Default 388; nab: 15 % of the file, at most 750.
    range_rule
        Score 1 for a value far outside everything before. Default: only with nab.
    threshold
        Scores from here on are anomalous. May differ when resuming.
    backend
        numba is compiled, numpy readable and slow; the scores are the same.
    seed
        Of the detector's random draws.
    """
    arguments = locals().copy()
    from biomem.cli.detect import run

    return run(**_flat(arguments))


@app.command
def drift(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    out: Annotated[str, Parameter(name=["--out", "-o"], group=_WRITING)],
    preset: Annotated[Literal["live", "paper"], Parameter(group=_DETECTOR)] = "live",
    min: Annotated[float | None, Parameter(group=_DETECTOR)] = None,
    max: Annotated[float | None, Parameter(group=_DETECTOR)] = None,
    probation: Annotated[int | None, Parameter(group=_DETECTOR)] = None,
    signal: Annotated[
        Literal["log_likelihood", "raw", "value", "residual"], Parameter(group=_TEST)
    ] = "log_likelihood",
    test: Annotated[Literal["share", "mean", "variance"], Parameter(group=_TEST)] = "share",
    shift: Annotated[float | None, Parameter(group=_TEST)] = None,
    side: Annotated[Literal["up", "down", "both"] | None, Parameter(group=_TEST)] = None,
    false_alarm_every: Annotated[float, Parameter(group=_TEST)] = 10_000.0,
    baseline: Annotated[int, Parameter(group=_TEST)] = 500,
    cooldown: Annotated[int, Parameter(group=_TEST)] = 50,
    kind: Annotated[Literal["abrupt", "slow", "periodic"], Parameter(group=_TEST)] = "abrupt",
    flatline: Annotated[int, Parameter(group=_DETECTOR)] = 0,
    on_drift: Annotated[
        tuple[Literal["reset", "rebaseline", "faster", "forget"], ...],
        Parameter(group=_DETECTOR, negative_iterable=()),
    ] = (),
    backend: Annotated[Literal["auto", "numpy", "numba"], Parameter(group=_DETECTOR)] = "auto",
    seed: Annotated[int, Parameter(group=_DETECTOR)] = 0,
    reading: Reading = Reading(),
    writing: Writing = Writing(),
    stopping: Stopping = Stopping(),
) -> int:
    """Find the drifts in a telemetry file or pipe: changes of its behaviour that stay.

    An HTM learns the series and says how unusual each record is; a sequential test decides, with a
    stated rate of false alarms, when what is watched (by default those scores) has changed for
    good. One record alone never raises a drift. Writes what the test made of every record, one
    row for each drift (when, which way, since when, on what evidence, before and after), a
    picture with the phases of the test, and a table.

    **Phases.** probation: the HTM learns, nothing is judged. baseline: what there is without a
    drift is taken, and then stands still. normal: judged. drift, then cooldown: records left out;
    rebaseline: what there is from now on.

    **Bad input and exit codes** are those of *biomem detect*: rows that cannot be used are
    skipped, counted and reported once for each kind; one line and exit code 2 where the run cannot
    go on; 130 after Ctrl-C. A run that was killed and is started again with --resume gives the
    rows and events of one that was not, byte for byte.

    Parameters
    ----------
    file
        CSV, or one JSON object a line; - is standard input.
    out
        File of the rows, in .csv or .jsonl, or a folder for drift.csv and events.csv, made if need
        be. Beside a file, the events are in NAME.events.csv. The plot lies beside them, in .png.
    preset
        live: our setting. paper: HTM, residual and test of arXiv 2504.18599, for comparison.
    min
        Smallest value expected. Without --min and --max, what the records of the probation span;
        they are held back until they are all there.
    max
        Largest value expected.
    probation
        Records at the start that the HTM learns from before anything is judged. Default 388.
    signal
        What is watched. log_likelihood: how unusual the series has been of late; raw: how
        unusual the record is; value: the value itself; residual: the error of a forecast of it.
    test
        What of it may not change. share: how often it exceeds what 5 % of the baseline exceed;
        mean; variance: its spread.
    shift
        Smallest change worth an alarm: of the share (default 0.15, from 5 to 20 %), of the mean in
        standard deviations (1), of the standard deviation as a share (0.41, twice the variance).
    side
        Direction. Default: up; both for the mean of value and residual.
    false_alarm_every
        Wanted mean number of records between false alarms.
    baseline
        Records the baseline is taken from.
    cooldown
        Records left out after a drift.
    kind
        Of drift the paper preset is set for.
    flatline
        Records in a row with one value that count as a sensor standing still; 0: never.
    on_drift
        What a drift does to the HTM; may be given several times. reset: a new sequence begins;
        rebaseline: how unusual a score is, is judged anew, after as many records as at the start;
        faster: it learns faster for 500 records; forget: it begins to learn anew.
    backend
        numba is compiled, numpy readable and slow; the results are the same.
    seed
        Of the HTM's random draws.
    """
    arguments = locals().copy()
    from biomem.cli.drift import run

    return run(**_flat(arguments))


def _flat(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command with those in groups beside the others."""
    for name in ("reading", "writing", "stopping"):
        arguments |= vars(arguments.pop(name))
    return arguments
