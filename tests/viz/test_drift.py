"""The picture of a drift file."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from biomem.errors import InputError
from biomem.models.htm.drift import Phase
from biomem.viz import plot_drift

PHASES = np.repeat(
    [Phase.PROBATION, Phase.BASELINE, Phase.NORMAL, Phase.DRIFT, Phase.COOLDOWN, Phase.REBASELINE],
    [10, 20, 30, 1, 5, 14],
)


def picture(**changes):
    n = len(PHASES)
    given = {"limits": (0.0, 6.0), "drifts": [60], "onsets": [50], "title": "pump", **changes}
    times = 1.7e9 + 60.0 * np.arange(n)
    axes = plot_drift(times, np.sin(times), np.linspace(0, 6, n), PHASES, **given)
    axes[0].figure.draw_without_rendering()
    return axes


def test_phases_are_shaded_and_drifts_marked() -> None:
    upper, lower = picture()
    legend = [text.get_text() for text in upper.get_legend().get_texts()]
    assert legend == ["probation", "baseline", "cooldown", "1 drift"]
    # Four stretches are shaded and the band from onset to alarm; below there is no band.
    assert (len(upper.patches), len(lower.patches)) == (5, 4)
    widths = [round(patch.get_width() * 1440) for patch in upper.patches]
    assert widths == [10, 20, 5, 13, 10]
    assert [round(line.get_ydata()[0], 6) for line in lower.get_lines()][1] == 6.0
    assert upper.get_title(loc="left") == "pump"
    assert lower.get_xlabel().startswith("time (2023-11-14")
    assert to_hex(upper.get_lines()[-1].get_color()) == "#d55e00"


def test_a_lower_limit_is_drawn_if_there_is_one() -> None:
    assert len(picture(limits=(-5.0, 3.0))[1].get_lines()) == 4
    assert len(picture(limits=None)[1].get_lines()) == 2


def test_ticks_and_given_axes() -> None:
    axes = Figure().subplots(2)
    got = plot_drift(range(4), range(4), range(4), [2, 2, 2, 2], stamps=("",), ax=axes)
    assert got[1].get_xlabel() == "record (tick)"
    assert got[0].patches == [] or len(got[0].patches) == 0
    assert got[0].get_legend() is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"phases must have shape \(3,\)"):
        plot_drift(range(3), range(3), range(3), [2])
    with pytest.raises(InputError, match=r"drifts must be records in \[0, 3\)"):
        plot_drift(range(3), range(3), range(3), [2, 2, 2], drifts=[3])
