"""``biomem detect``: from the command line's words to the library's, and back."""

from __future__ import annotations

import re
import signal
import sys
import warnings
from typing import Any, TextIO

from biomem.errors import BiomemError
from biomem.stream.detect import DetectOptions, DetectReport, detect
from biomem.stream.detect_options import PRESETS
from biomem.stream.options import ReadOptions
from biomem.stream.stopping import Stop

__all__ = ["run"]

_SAME = (
    *("timestamp", "value", "delimiter", "decimal", "time_format", "tz"),
    *("missing", "late", "duplicate", "last_line", "max_line_bytes"),
)
"""Reading options whose words the library shares; None leaves them to the preset."""

_NAMES = {"minimum": "min", "maximum": "max", "ReadOptions.format": "input-format"}


def run(
    *,
    file: str,
    out: str,
    quiet: bool,
    plot: bool,
    format: str | None,
    save: str | None,
    save_every: int,
    resume: str | None,
    backend: str,
    **options: Any,
) -> int:
    """Run `detect` and return the exit code; see ``biomem detect --help``."""

    def tell(kind: str, message: str) -> None:
        if not quiet:
            _say(message)

    try:
        with Stop() as stop, warnings.catch_warnings():
            warnings.showwarning = _show_warning if not quiet else _show_nothing
            report = detect(
                file,
                out,
                _detect_options(options),
                _read_options(options),
                format=format,
                plot=plot,
                save=save,
                save_every=save_every,
                resume=resume,
                backend=backend,
                progress=False if quiet else _terminal(),
                on_event=tell,
                stop=stop,
            )
            return _print(report, quiet)
    except KeyboardInterrupt:
        return 130
    except (BiomemError, OSError, MemoryError) as error:
        _say(_in_options(str(error) or type(error).__name__))
        return 2


def _detect_options(given: dict[str, Any]) -> DetectOptions:
    return DetectOptions(
        preset=given["preset"],
        minimum=given["min"],
        maximum=given["max"],
        probation=given["probation"],
        range_rule=given["range_rule"],
        threshold=given["threshold"],
        seed=given["seed"],
    )


def _read_options(given: dict[str, Any]) -> ReadOptions:
    changes = {name: given[name] for name in _SAME if given[name] is not None}
    changes["header"] = {"auto": "auto", "yes": True, "no": False}[given["header"]]
    changes["format"] = given["input_format"]
    if given["gap_factor"] is not None:
        changes["gap_factor"] = None if given["gap_factor"] == "off" else given["gap_factor"]
    return PRESETS[given["preset"]].replace(**changes)


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _print(report: DetectReport, quiet: bool) -> int:
    if not quiet:
        try:
            print(report, flush=True)
        except BrokenPipeError:
            # Whoever read the table has gone; the files are there all the same.
            sys.stdout = None  # type: ignore[assignment]
    return 130 if report.stopped == signal.SIGINT else 0


def _say(message: str) -> None:
    """Print one line to stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(f"biomem detect: {' '.join(message.split())}", file=sys.stderr)


def _in_options(message: str) -> str:
    """Name options as they were typed."""

    def typed(match: re.Match[str]) -> str:
        name = _NAMES.get(match[0]) or _NAMES.get(match[1], match[1])
        return "--" + name.replace("_", "-")

    return re.sub(r"\b(?:Detect|Read)Options\.(\w+)", typed, message)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _say(str(message))


def _show_nothing(*arguments: object, **more: object) -> None:
    pass
