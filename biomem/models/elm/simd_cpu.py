"""The vector operation that only the ELM has; the others are `biomem.backends.simd`."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from biomem.backends import simd_llvm as llvm

__all__ = ["bound"]


@intrinsic
def bound(typingctx, out, x, vectors):
    """Set ``out = tanh(2/3 x)``, to a few units in the last place."""

    def generate(context, builder, signature, args):
        def formula(e, x):
            return llvm.tanh(e, e.fmul(x, llvm.like(x.type, 2.0 / 3.0)))

        return llvm.each(context, builder, signature, args, formula)

    return types.void(out, x, types.intp), generate
