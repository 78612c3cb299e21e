"""NAB's range rule: a value far outside everything seen so far is an anomaly by itself.

Record ``i`` is outside when ``v_i > max + f * (max - min)`` or ``v_i < min - f * (max - min)``
with the minimum and maximum of the records strictly before it, and ``f = 0.05``; never before two
different values have been seen. The published NAB detectors then report 1.0.

Without any model behind it this rule alone scores 50.8 on NAB, so a result should be stated with
and without it. Do not use it for a counter that only grows.
"""

from __future__ import annotations

__all__ = ["range_rule"]


def range_rule(value: float, minimum: float, maximum: float, fraction: float = 0.05) -> bool:
    """Return whether `value` lies outside the range seen so far, widened by `fraction`.

    Plain scalars in, plain scalar out; `biomem.models.htm.likelihood.cpu.range_rule` is this
    function compiled. The caller keeps the range: start from ``minimum=inf, maximum=-inf`` and
    widen it *after* the question. A range so wide that it overflows has no outside.

    Examples
    --------
    >>> range_rule(10.0, float("inf"), float("-inf"))
    False
    >>> range_rule(10.5, 0.0, 10.0), range_rule(10.6, 0.0, 10.0)
    (False, True)
    """
    if not maximum > minimum:
        return False
    margin = (maximum - minimum) * fraction
    return value > maximum + margin or value < minimum - margin
