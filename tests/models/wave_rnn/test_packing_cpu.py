"""Weights as the kernels take them: what is zero is left out, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.models.wave_rnn import WaveRNN, packing_cpu


def test_a_shift_leaves_out_what_is_zero() -> None:
    def multiplies(**changes: object) -> int:
        taps = packing_cpu.plan_of(WaveRNN(n_units=32, n_channels=16, **changes)).taps
        return int((np.diff(taps.first) * taps.height).sum())

    assert multiplies() == 16
    assert multiplies(nu=0.5) == 2 * 16
    assert multiplies(init_u="random") == 16 * 16 * 3


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6, 7, 27])
def test_bands_hold_every_tap_once(channels: int, rng: np.random.Generator) -> None:
    model = WaveRNN(n_units=20, n_channels=channels, kernel_size=5, init_u="random")
    u = rng.normal(size=(channels, channels, 5)) * (rng.random((channels, channels, 5)) < 0.3)
    rings = packing_cpu.rings_of(model)
    taps, found = packing_cpu.taps_of(u, rings), np.zeros_like(u)
    for k, (o, high) in enumerate(zip(taps.channel, taps.height, strict=True)):
        offsets = taps.offset[taps.first[k] : taps.first[k + 1]]
        values = taps.value[taps.tap[k] : taps.tap[k + 1]].reshape(-1, high)
        source, tap = np.divmod(offsets + 2, rings.row)
        for i in range(high):
            found[o + i, source, tap] += values[:, i]
    np.testing.assert_array_equal(found, u)
