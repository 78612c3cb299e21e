"""Pictures; matplotlib is imported when one is drawn."""

from biomem.viz.drift import plot_drift as plot_drift
from biomem.viz.series import plot_anomalies as plot_anomalies
from biomem.viz.series import save_png as save_png
from biomem.viz.waves import plot_waves as plot_waves

__all__ = ["plot_anomalies", "plot_drift", "plot_waves", "save_png"]
