"""Arrays that count no references, for compiled kernels.

Numba counts who holds an array, atomically, at every slice and at many calls. Where one tick of a
kernel is a few microseconds and a few dozen slices, that is a third of it. A borrowed array has no
counter: slices of it are a pointer and a length.

Import on use: this module imports numba.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["borrow"]


@intrinsic
def borrow(typingctx, value):
    """Return an array, or a tuple of arrays, of the same memory that counts no references.

    The caller keeps what is borrowed alive: borrow what came in as an argument, never what the
    function itself has allocated, whose memory is given back after its last use by its own name.
    """

    def generate(context, builder, signature, args):
        return _borrowed(context, builder, signature.args[0], args[0])

    return value(value), generate


def _borrowed(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        members: Any = kind
        items = [
            _borrowed(context, builder, item, builder.extract_value(value, i))
            for i, item in enumerate(members)
        ]
        return context.make_tuple(builder, kind, items)
    return value
