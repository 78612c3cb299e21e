"""Progress of long runs: a tqdm bar where somebody is watching, silence elsewhere."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Literal, TypeAlias

__all__ = ["ProgressMode", "progress_bar"]

ProgressMode: TypeAlias = bool | Literal["auto"]


def _watched() -> bool:
    """Whether stderr is a terminal or the code runs in a notebook kernel."""
    if "ipykernel" in sys.modules:
        return True
    return bool(getattr(sys.stderr, "isatty", lambda: False)())


def progress_bar(total: int | None, mode: ProgressMode, unit: str = "tick") -> Any:
    """Return a tqdm bar over `total` units, refreshed five times a second, or a disabled one.

    Parameters
    ----------
    total : int or None
        None when the length is unknown.
    mode : {"auto", True, False}
        ``"auto"`` shows the bar on a terminal and in notebooks only.
    """
    with warnings.catch_warnings():
        # A notebook without ipywidgets gets the text bar; that is no news to its user.
        warnings.simplefilter("ignore")
        if "ipykernel" in sys.modules:
            from tqdm.auto import tqdm
        else:
            from tqdm import tqdm
    shown = _watched() if mode == "auto" else mode
    return tqdm(
        total=total,
        disable=not shown,
        unit=unit,
        unit_scale=True,
        mininterval=0.2,
        leave=False,
        dynamic_ncols=True,
    )
