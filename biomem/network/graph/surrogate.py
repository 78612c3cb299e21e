"""Spikes that have a derivative: 0 or 1 forward, a smooth slope backward.

With ``u`` the membrane above threshold and ``k`` the slope, training takes the derivative of

====================  ===========================================
``atan``              ``arctan(pi k u / 2) / pi``
``fast_sigmoid``      ``u / (1 + k |u|)``
``sigmoid``           ``1 / (1 + exp(-k u))``
``triangular``        derivative ``max(0, 1 - k |u|)``
``straight_through``  ``u``
====================  ===========================================

Sources: E. O. Neftci, H. Mostafa, F. Zenke, IEEE Signal Process. Mag. 36 (2019) 51; W. Fang et al.,
ICCV 2021 (arctan); J. K. Eshraghian et al., Proc. IEEE 111 (2023) 1016.
"""

from __future__ import annotations

import math
from typing import Any

from biomem.backends import namespace
from biomem.typing import Array

__all__ = ["fire"]


def fire(u: Array, inclusive: bool, surrogate: str, slope: float) -> Array:
    """Return 1 where `u` lies above zero (or at it), else 0; differentiable where `u` is."""
    xp = namespace(u)
    spikes = xp.astype(u >= 0 if inclusive else u > 0, u.dtype)
    if not getattr(u, "requires_grad", False):
        return spikes
    soft = _soft(xp, u, surrogate, slope)
    # Its value is taken away again, its derivative stays.
    return spikes + (soft - soft.detach())


def _soft(xp: Any, u: Any, surrogate: str, slope: float) -> Any:
    if surrogate == "atan":
        return xp.atan(u * (math.pi * slope / 2)) / math.pi
    if surrogate == "fast_sigmoid":
        # Its derivative, 1 / (1 + k |u|)^2, is the usual one.
        return u / (1 + slope * xp.abs(u))
    if surrogate == "sigmoid":
        return 1 / (1 + xp.exp(-slope * u))
    if surrogate == "triangular":
        return u * xp.clip(1 - slope * xp.abs(u.detach()), 0, None)
    return u
