"""What ``biomem detect`` and ``biomem drift`` share: words of the command line to the library's."""

from __future__ import annotations

import re
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

from biomem.errors import BiomemError
from biomem.stream.options import ReadOptions
from biomem.stream.report import RunReport
from biomem.stream.stopping import Stop

__all__ = ["read_options", "run_command"]

_SAME = (
    *("timestamp", "value", "delimiter", "decimal", "time_format", "tz"),
    *("missing", "late", "duplicate", "last_line", "max_line_bytes"),
)
"""Reading options whose words the library shares; None leaves them to the preset."""

_NAMES = {"minimum": "min", "maximum": "max", "ReadOptions.format": "input-format"}


def run_command(
    command: str,
    work: Callable[..., RunReport],
    *,
    file: str,
    out: str,
    options: Callable[[], tuple[Any, ReadOptions]],
    quiet: bool,
    **more: Any,
) -> int:
    """Run `work` and return the exit code.

    Parameters
    ----------
    command : str
        Its name, before everything that is said.
    work : callable
        Such as `biomem.stream.detect.detect`.
    options : callable
        Makes its options and those of reading; what it raises is told as well.
    **more
        Further arguments of `work`.
    """

    def say(message: str) -> None:
        from tqdm import tqdm

        # Above a progress bar, if there is one.
        tqdm.write(f"biomem {command}: {' '.join(message.split())}", file=sys.stderr)

    def warn(message: Warning | str, *rest: object, **further: object) -> None:
        if not quiet:
            say(str(message))

    try:
        with Stop() as stop, warnings.catch_warnings():
            warnings.showwarning = warn
            chosen, read = options()
            report = work(
                file,
                out,
                chosen,
                read,
                progress=False if quiet else _terminal(),
                on_event=lambda kind, message: None if quiet else say(message),
                stop=stop,
                **more,
            )
            return _print(report, quiet)
    except KeyboardInterrupt:
        return 130
    except (BiomemError, OSError, MemoryError) as error:
        say(_in_options(str(error) or type(error).__name__))
        return 2


def read_options(preset: ReadOptions, given: dict[str, Any]) -> ReadOptions:
    """Return how to read: `preset`, and what was given."""
    changes = {name: given[name] for name in _SAME if given[name] is not None}
    changes["header"] = {"auto": "auto", "yes": True, "no": False}[given["header"]]
    changes["format"] = given["input_format"]
    if given["gap_factor"] is not None:
        changes["gap_factor"] = None if given["gap_factor"] == "off" else given["gap_factor"]
    return preset.replace(**changes)


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _print(report: RunReport, quiet: bool) -> int:
    if not quiet:
        try:
            print(report, flush=True)
        except BrokenPipeError:
            # Whoever read the table has gone; the files are there all the same.
            sys.stdout = None  # type: ignore[assignment]
    return 130 if report.stopped == signal.SIGINT else 0


def _in_options(message: str) -> str:
    """Name options as they were typed."""

    def typed(match: re.Match[str]) -> str:
        name = _NAMES.get(match[0]) or _NAMES.get(match[1], match[1])
        return "--" + name.replace("_", "-")

    return re.sub(r"\b(?:Detect|Drift|Read)Options\.(\w+)", typed, message)
