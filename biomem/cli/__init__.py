"""The command line: parse, call the library, print."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``biomem`` with `argv` (default: the process's arguments) and return the exit code.

    0: done; 1: ``doctor`` found something broken; 2: a usage error, or input, output or checkpoint
    that cannot be used; 130: interrupted.
    """
    from cyclopts import CycloptsError

    from biomem.cli.commands import app

    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        name = (
            " ".join(["biomem", *tokens[:1]])
            if tokens[:1] in (["detect"], ["doctor"], ["drift"])
            else "biomem"
        )
        print(f"{name}: {' '.join(str(error).split())} (see {name} --help)", file=sys.stderr)
        return 2
    return command(*bound.args, **bound.kwargs) or 0
