"""Python threads around kernels that release the lock.

numba's own threads need a threading layer that not every platform has, and a function with
``parallel=True`` is compiled three times over.

Import on use: this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba

__all__ = ["spread"]

WORTH_A_THREAD = 2_000_000
"""Multiply-adds below which starting a second thread costs more than it saves."""


def spread(run: Callable[[int, int], None], count: int, multiply_adds: float) -> None:
    """Call ``run(start, stop)`` over all of ``range(count)``, on several threads where it pays.

    There are at most as many as ``numba.get_num_threads()`` says, of which the caller's is one: a
    thread that starts beside a waiting one may share its core for a while.
    """
    threads = int(min(numba.get_num_threads(), count, max(1.0, multiply_adds / WORTH_A_THREAD)))
    if threads <= 1:
        run(0, count)
        return
    cuts = [count * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads - 1) as pool:
        others = pool.map(run, cuts[1:-1], cuts[2:])
        run(*cuts[:2])
        list(others)
