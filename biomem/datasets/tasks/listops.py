"""ListOps: nested operations on lists of digits, to be evaluated."""

from __future__ import annotations

import dataclasses

import numpy as np

from biomem.datasets.tasks.base import Batch, Draws, Task, classification_metrics, whole
from biomem.engine.random import Rng
from biomem.errors import require

__all__ = ["ListOps"]

OPERATORS = ("[MAX", "[MIN", "[MED", "[SM")
TOKENS = (*"0123456789", *OPERATORS, "]")
CLOSE = len(TOKENS) - 1


class _Node:
    """An operator with its arguments: digits or further nodes."""

    __slots__ = ("arguments", "operator")

    def __init__(self, operator: int, digits: list[int]) -> None:
        self.operator = operator
        self.arguments: list[int | _Node] = list(digits)

    def write(self, out: list[int]) -> int:
        """Append the tokens to `out` and return the value."""
        out.append(10 + self.operator)
        values = []
        for argument in self.arguments:
            if isinstance(argument, _Node):
                values.append(argument.write(out))
            else:
                out.append(argument)
                values.append(argument)
        out.append(CLOSE)
        return _evaluate(self.operator, values)


def _evaluate(operator: int, values: list[int]) -> int:
    if operator == 0:
        return max(values)
    if operator == 1:
        return min(values)
    if operator == 2:
        ordered, half = sorted(values), len(values) // 2
        # Of an even number of values, the mean of the middle two, rounded down.
        return (ordered[half] + ordered[~half]) // 2
    return sum(values) % 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListOps(Task):
    """Evaluate an expression such as ``[MAX 2 9 [MIN 4 7 ] 0 ]``; the digit is due at the end.

    Operators are maximum, minimum, median (rounded down) and sum modulo 10. Expressions grow
    from a random root by replacing random digits until a length drawn uniformly from
    ``[min_length, max_length]`` is reached exactly; shorter ones stand at the end of the sequence
    behind ticks of zeros. In the manner of the Long Range Arena, not its published files.

    Parameters
    ----------
    min_length, max_length : int
        Tokens, >= 4. The sequence has `max_length` ticks.
    max_args : int
        Most arguments of an operator, >= 4.
    max_depth : int
        Deepest nesting, >= 2. An expression that cannot grow further stays shorter.

    Examples
    --------
    >>> task = ListOps(batch_size=1, min_length=6, max_length=12)
    >>> print(*task.expressions(2, Rng(1)))
    [MAX 0 7 [MED 4 8 3 5 ] 2 0 ]

    References
    ----------
    N. Nangia, S. R. Bowman, "ListOps: a diagnostic dataset for latent tree learning", NAACL
    student workshop 2018. Y. Tay et al., "Long Range Arena", ICLR 2021, section 2.2.1.
    """

    batch_size: int = 32
    min_length: int = 500
    max_length: int = 2000
    max_args: int = 10
    max_depth: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("min_length", 4), ("max_args", 4), ("max_depth", 2)):
            whole(self, name, least)
        whole(self, "max_length", self.min_length)
        room = sum(self.max_args**d for d in range(1, self.max_depth + 1))
        require(self, "max_length", self.max_length <= room, f"<= {room} at this depth")

    @property
    def n_inputs(self) -> int:
        """Digits, operators, closing bracket."""
        return len(TOKENS)

    @property
    def n_outputs(self) -> int:
        """Ten digits."""
        return 10

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return one-hot ``x`` and digits ``y`` of shape ``(batch,)``."""
        tokens, y = self.tokens(step, rng)
        x = (tokens[:, :, None] == np.arange(self.n_inputs)).astype(np.float32)
        return Batch(x, y)

    def tokens(self, step: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """Return token numbers ``(max_length, batch)``, -1 before the start, and the digits."""
        tokens = np.full((self.max_length, self.batch_size), -1)
        y = np.zeros(self.batch_size, np.int64)
        for lane in range(self.batch_size):
            out: list[int] = []
            y[lane] = self._grow(Draws(rng, step), lane).write(out)
            tokens[self.max_length - len(out) :, lane] = out
        return tokens, y

    def expressions(self, step: int, rng: Rng) -> list[str]:
        """Return the batch of `step` as text."""
        tokens, _ = self.tokens(step, rng)
        return [" ".join(TOKENS[t] for t in lane if t >= 0) for lane in tokens.T]

    def metrics(self, logits: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return cross-entropy and accuracy of logits of shape ``(batch, n_outputs)``."""
        return classification_metrics(logits, batch.y)

    def _grow(self, draws: Draws, lane: int) -> _Node:
        # Three words a growth, and one a digit; a growth adds at least three tokens.
        words = iter(draws.words(lane, 8 + 3 * self.max_length).tolist())

        def below(n: int) -> int:
            return next(words) * n >> 32

        def node(space: int) -> _Node:
            # A growth takes k + 1 tokens; what it leaves must be nothing or enough for another.
            fits = [k for k in range(2, self.max_args + 1) if space == k + 1 or space >= k + 4]
            k = fits[below(len(fits))]
            return _Node(below(4), [below(10) for _ in range(k)])

        length = self.min_length + below(self.max_length - self.min_length + 1)
        root = node(length - 1)
        left = length - 2 - len(root.arguments)
        leaves = [(root, i, 1) for i in range(len(root.arguments))]
        while left and leaves:
            at = below(len(leaves))
            parent, place, depth = leaves[at]
            leaves[at] = leaves[-1]
            leaves.pop()
            child = node(left)
            parent.arguments[place] = child
            left -= len(child.arguments) + 1
            if depth + 1 < self.max_depth:
                leaves += [(child, i, depth + 1) for i in range(len(child.arguments))]
        return root
