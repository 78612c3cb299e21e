"""Waves of a trained network: measured, and drawn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from biomem import Rng, Simulator
from biomem.datasets.tasks import Copy
from biomem.models.wave_rnn import WaveRNN
from biomem.models.wave_rnn.velocity import kernel_velocity, wave_velocity

__all__ = ["draw", "measure"]


def activity(model: WaveRNN, task: Copy, sequences: int) -> np.ndarray:
    """Return the hidden states over fresh lists, shape ``(time, batch, channel, unit)``."""
    x = task.replace(batch_size=sequences)(0, Rng(10**6 + 2)).x
    recorder = WaveRNN(model.params.replace(record_hidden=True), weights=model.weights)
    return np.asarray(Simulator(recorder, batch=sequences, progress=False).run(x)["h"])


def measure(model: WaveRNN, task: Copy, sequences: int = 32) -> dict[str, Any]:
    """Return every ring's velocity and score, medians over sequences, and what its taps say."""
    found = wave_velocity(activity(model, task, sequences))
    return {
        "velocity": np.median(found.velocity, axis=0).round(3).tolist(),
        "score": np.median(found.score, axis=0).round(3).tolist(),
        "kernel_velocity": kernel_velocity(model.weights["ring_weight"]).round(3).tolist(),
    }


def draw(model: WaveRNN, task: Copy, ring: int, title: str, folder: Path) -> None:
    """Draw one ring over one list, and the kernels of all rings."""
    from biomem.viz.waves import plot_kernels, plot_waves

    axes = plot_waves(activity(model, task, 1)[:, 0, ring], title=title)
    _save(axes[0].figure, folder / "waves.png")
    _save(plot_kernels(model.weights["ring_weight"]).figure, folder / "kernels.png")


def _save(figure: Any, path: Path) -> None:
    """Write a picture in few colours, so that the file stays small."""
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=72)
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)
