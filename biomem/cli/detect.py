"""``biomem detect``: from the command line's words to the library's."""

from __future__ import annotations

from typing import Any

from biomem.cli.telemetry import read_options, run_command
from biomem.stream.detect import DetectOptions, detect
from biomem.stream.detect_options import PRESETS
from biomem.stream.options import ReadOptions

__all__ = ["run"]

_PASSED = ("format", "plot", "save", "save_every", "resume", "backend")


def run(*, file: str, out: str, quiet: bool, **given: Any) -> int:
    """Run `detect` and return the exit code; see ``biomem detect --help``."""

    def options() -> tuple[DetectOptions, ReadOptions]:
        chosen = DetectOptions(
            preset=given["preset"],
            minimum=given["min"],
            maximum=given["max"],
            probation=given["probation"],
            range_rule=given["range_rule"],
            threshold=given["threshold"],
            seed=given["seed"],
        )
        return chosen, read_options(PRESETS[given["preset"]], given)

    passed = {name: given[name] for name in _PASSED}
    return run_command("detect", detect, file=file, out=out, options=options, quiet=quiet, **passed)
