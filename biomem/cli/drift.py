"""``biomem drift``: from the command line's words to the library's."""

from __future__ import annotations

from typing import Any

from biomem.cli.telemetry import read_options, run_command
from biomem.stream.drift import DriftOptions, drift
from biomem.stream.options import ReadOptions

__all__ = ["run"]

_PASSED = ("format", "plot", "save", "save_every", "resume", "backend")
_SAME = (
    *("preset", "probation", "signal", "test", "shift", "side", "false_alarm_every"),
    *("baseline", "cooldown", "kind", "flatline", "on_drift", "seed"),
)


def run(*, file: str, out: str, quiet: bool, **given: Any) -> int:
    """Run `drift` and return the exit code; see ``biomem drift --help``."""

    def options() -> tuple[DriftOptions, ReadOptions]:
        same = {name: given[name] for name in _SAME}
        chosen = DriftOptions(minimum=given["min"], maximum=given["max"], **same)
        return chosen, read_options(DriftOptions.presets[given["preset"]], given)

    passed = {name: given[name] for name in _PASSED}
    return run_command("drift", drift, file=file, out=out, options=options, quiet=quiet, **passed)
