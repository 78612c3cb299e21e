"""Two windows of a stream compared, record by record, for many streams: compiled loops."""

from __future__ import annotations

import math

import numpy as np

from biomem.backends.jit import njit

__all__ = ["KS", "PSI", "WASSERSTEIN", "kolmogorov", "scan", "stability", "wasserstein"]

KS, WASSERSTEIN, PSI = 0, 1, 2


@njit(cache=True)
def kolmogorov(a, b):
    """Return the largest gap between the distributions of two ascending samples."""
    n, m, i, j, most = a.shape[0], b.shape[0], 0, 0, 0.0
    while i < n and j < m:
        x = min(a[i], b[j])
        while i < n and a[i] <= x:
            i += 1
        while j < m and b[j] <= x:
            j += 1
        most = max(most, abs(i / n - j / m))
    return most


@njit(cache=True)
def wasserstein(a, b):
    """Return the area between the distributions of two ascending samples, in spreads of `a`."""
    n, m, i, j, area = a.shape[0], b.shape[0], 0, 0, 0.0
    x = min(a[0], b[0])
    while i < n or j < m:
        following = a[i] if j >= m or (i < n and a[i] <= b[j]) else b[j]
        area += abs(i / n - j / m) * (following - x)
        x = following
        while i < n and a[i] <= x:
            i += 1
        while j < m and b[j] <= x:
            j += 1
    spread = np.std(a)
    return area / spread if spread > 0 else (0.0 if area == 0 else math.inf)


@njit(cache=True)
def stability(a, b, bins):
    """Return the population stability index of `b` in `bins` bins of equal share of `a`.

    Half a record is added to every bin, so that an empty one does not make it infinite.
    """
    n, m = a.shape[0], b.shape[0]
    total, before_a, before_b = 0.0, 0, 0
    for k in range(1, bins + 1):
        upto_a, upto_b = n, m
        if k < bins:
            edge = a[k * n // bins]
            upto_a = np.searchsorted(a, edge)
            upto_b = np.searchsorted(b, edge)
        p = (upto_a - before_a + 0.5) / (n + 0.5 * bins)
        q = (upto_b - before_b + 0.5) / (m + 0.5 * bins)
        total += (q - p) * math.log(q / p)
        before_a, before_b = upto_a, upto_b
    return total


@njit(cache=True)
def _compare(kind, a, b, bins):
    if kind == KS:
        return kolmogorov(a, b)
    if kind == WASSERSTEIN:
        return wasserstein(a, b)
    return stability(a, b, bins)


@njit(cache=True)
def scan(kept, recent, count, statistic, kind, bins, every, threshold, rolling, xs, out):
    """Take a chunk of records of every stream, in place.

    Parameters
    ----------
    kept, recent : array, shape ``(batch, reference)`` and ``(batch, window)``
        The reference (a ring when `rolling`, else ascending once complete), and the window, a ring.
    count : array of int, shape ``(batch,)``
        Records since the restart.
    statistic : array, shape ``(batch,)``
        Last value, 0 before the first.
    xs : array, shape ``(time, batch)``
        NaN is a missing record.
    out : array of bool, shape ``(time, batch)``
    """
    reference, window = kept.shape[1], recent.shape[1]
    for b in range(xs.shape[1]):
        for t in range(xs.shape[0]):
            x = xs[t, b]
            out[t, b] = False
            if math.isnan(x):
                continue
            n = count[b]
            if n < reference:
                kept[b, n] = x
                if n == reference - 1 and not rolling:
                    kept[b].sort()
            else:
                place = (n - reference) % window
                if rolling and n >= reference + window:
                    kept[b, (n - window) % reference] = recent[b, place]
                recent[b, place] = x
            n += 1
            count[b] = n
            if n < reference + window or n % every != 0:
                continue
            first = np.sort(kept[b]) if rolling else kept[b]
            statistic[b] = _compare(kind, first, np.sort(recent[b]), bins)
            if statistic[b] >= threshold:
                out[t, b] = True
                count[b] = 0
                statistic[b] = 0.0
