"""Pictures; matplotlib is imported when one is drawn."""

from biomem.viz.series import plot_anomalies as plot_anomalies
from biomem.viz.series import save_png as save_png

__all__ = ["plot_anomalies", "save_png"]
