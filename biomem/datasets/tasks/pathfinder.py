"""Pathfinder: pictures of dashed paths, read pixel by pixel, with two dots to be connected."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from biomem.datasets.tasks.base import Batch, Draws, Task, classification_metrics, whole
from biomem.engine.random import Rng
from biomem.errors import ParameterError, require

__all__ = ["Pathfinder", "Scene"]

CANDIDATES = 48
ROUNDS = 40
FINE = 0.25  # spacing of the points of a path, pixels: no pixel on the way is skipped


class Scene(NamedTuple):
    """A picture and what it is made of.

    Attributes
    ----------
    picture : float32 array, shape ``(size, size)``
        0 or 1.
    paths : int8 array, shape ``(size, size)``
        Number of the path, from 1, on every pixel of it, gaps included; 0 elsewhere.
    dots : int64 array, shape ``(2, 2)``
        Row and column of both dots.
    label : int
        1 when both dots end one path.
    """

    picture: np.ndarray
    paths: np.ndarray
    dots: np.ndarray
    label: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pathfinder(Task):
    """Two dots among dashed paths: whether they are the ends of one is due at the end.

    Every picture has two long paths and some short ones, none of which touches itself or
    another. The dots are both ends of the first long path (1), or an end of each (0), so nothing
    but following a path tells. In the manner of the Long Range Arena, not its published files.

    Parameters
    ----------
    size : int
        Pixels along an edge, >= 16; the sequence has ``size**2`` ticks.
    n_dashes : int
        Dashes of a long path, >= 2.
    n_distractors : int
        Short paths of two dashes.
    dash, gap : float
        Lengths, pixels.
    max_turn : float
        Largest turn between two dashes, rad.

    Raises
    ------
    ParameterError
        At a batch: so many paths do not fit into the picture.

    References
    ----------
    D. Linsley et al., "Learning long-range spatial dependencies with horizontal gated recurrent
    units", NeurIPS 2018. Y. Tay et al., "Long Range Arena", ICLR 2021, section 2.2.5.
    """

    batch_size: int = 32
    size: int = 32
    n_dashes: int = 5
    n_distractors: int = 3
    dash: float = 3.0
    gap: float = 2.0
    max_turn: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "size", 16)
        whole(self, "n_dashes", 2)
        whole(self, "n_distractors", 0)
        require(self, "dash", 1 <= self.dash < math.inf, ">= 1 pixel, finite")
        require(self, "gap", 1 <= self.gap < math.inf, ">= 1 pixel, finite")
        require(self, "max_turn", 0 <= self.max_turn <= math.pi, "in [0, pi] rad")

    @property
    def n_inputs(self) -> int:
        """One pixel."""
        return 1

    @property
    def n_outputs(self) -> int:
        """No, or yes."""
        return 2

    @property
    def n_steps(self) -> int:
        """Pixels of a picture."""
        return self.size**2

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return pixels ``x``, row by row, and classes ``y`` of shape ``(batch,)``."""
        scenes = [self.scene(step, rng, lane) for lane in range(self.batch_size)]
        x = np.stack([s.picture.reshape(-1) for s in scenes], axis=1)[:, :, None]
        return Batch(x, np.array([s.label for s in scenes], np.int64))

    def scene(self, step: int, rng: Rng, lane: int) -> Scene:
        """Return sequence `lane` of the batch of `step` with its paths."""
        draws = Draws(rng, step)
        for attempt in range(ROUNDS):
            purpose = lane * ROUNDS + attempt
            scene = self._attempt(draws, purpose)
            if scene is not None:
                return scene
        raise ParameterError(
            f"Pathfinder: {2 + self.n_distractors} paths do not fit into {self.size} x "
            f"{self.size} pixels; lower n_dashes or n_distractors, or enlarge size"
        )

    def metrics(self, logits: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return cross-entropy and accuracy of logits of shape ``(batch, n_outputs)``."""
        return classification_metrics(logits, batch.y)

    def _attempt(self, draws: Draws, purpose: int) -> Scene | None:
        """Place path after path; None when one finds no room."""
        count = 2 + self.n_distractors
        u = draws.uniform(purpose, count + 1, CANDIDATES, 3 + self.n_dashes)
        picture = np.zeros((self.size, self.size), np.float32)
        paths = np.zeros((self.size, self.size), np.int8)
        # A pixel of a path keeps its neighbourhood free of others.
        taken = np.zeros((self.size, self.size), bool)
        ends = []
        for number in range(count):
            n_dashes = self.n_dashes if number < 2 else 2
            points = self._candidates(u[number, :, : 3 + n_dashes], n_dashes)
            pixels = np.rint(points).astype(np.int64)
            free = self._fits(points, pixels, taken)
            if not free.any():
                return None
            row, column = pixels[np.argmax(free)].T
            paths[row, column] = number + 1
            drawn = self._drawn(len(row))
            picture[row[drawn], column[drawn]] = 1.0
            for i in range(-2, 3):
                for j in range(-2, 3):
                    inside = np.s_[
                        np.clip(row + i, 0, self.size - 1), np.clip(column + j, 0, self.size - 1)
                    ]
                    taken[inside] = True
            ends.append([(row[0], column[0]), (row[-1], column[-1])])
        label = int(u[count, 0, 0] < 0.5)
        dots = np.array(ends[0] if label else [ends[0][0], ends[1][0]], np.int64)
        for row, column in dots:
            picture[row - 1 : row + 2, column - 1 : column + 2] = 1.0
        return Scene(picture, paths, dots, label)

    def _candidates(self, u: np.ndarray, n_dashes: int) -> np.ndarray:
        """Return the points of paths, shape ``(candidate, point, 2)``, from uniform numbers."""
        start = 2.0 + (self.size - 5.0) * u[:, :2].astype(np.float64)
        turns = self.max_turn * (2.0 * u[:, 3 : 2 + n_dashes].astype(np.float64) - 1.0)
        angle = 2.0 * np.pi * u[:, 2:3] + np.concatenate(
            [np.zeros((len(u), 1)), np.cumsum(turns, axis=1)], axis=1
        )
        piece = np.arange(self._n_points(n_dashes)) * FINE // (self.dash + self.gap)
        heading = angle[:, piece.astype(np.int64)]
        moves = FINE * np.stack([np.sin(heading), np.cos(heading)], axis=-1)
        return start[:, None] + np.cumsum(moves, axis=1)

    def _n_points(self, n_dashes: int) -> int:
        """Return the points of a path, which ends with a dash."""
        return math.ceil((n_dashes * (self.dash + self.gap) - self.gap) / FINE)

    def _drawn(self, n_points: int) -> np.ndarray:
        """Tell which points of a path lie on a dash."""
        return np.arange(n_points) * FINE % (self.dash + self.gap) < self.dash

    def _fits(self, points: np.ndarray, pixels: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Tell which candidates lie inside, clear of the other paths and of themselves."""
        inside = np.all((pixels >= 2) & (pixels <= self.size - 3), axis=(1, 2))
        clipped = np.clip(pixels, 0, self.size - 1)
        free = np.asarray(inside & ~taken[clipped[..., 0], clipped[..., 1]].any(axis=1))
        # Points far apart along the path must be far apart in the picture too.
        coarse = points[:, :: int(1.0 / FINE)]
        apart = np.abs(np.subtract.outer(np.arange(coarse.shape[1]), np.arange(coarse.shape[1])))
        for i in np.flatnonzero(free):
            d = coarse[i][:, None] - coarse[i][None]
            near = (d**2).sum(axis=-1) < 3.0**2
            free[i] = not (near & (apart > 5)).any()
        return free
