"""Pictures; matplotlib is imported when one is drawn."""

from biomem.viz.drift import plot_drift as plot_drift
from biomem.viz.liquid import plot_edge_of_chaos as plot_edge_of_chaos
from biomem.viz.series import plot_anomalies as plot_anomalies
from biomem.viz.series import save_png as save_png
from biomem.viz.spikes import membrane_traces as membrane_traces
from biomem.viz.spikes import population_rate as population_rate
from biomem.viz.spikes import power_spectrum as power_spectrum
from biomem.viz.spikes import raster as raster
from biomem.viz.waves import plot_kernels as plot_kernels
from biomem.viz.waves import plot_waves as plot_waves
from biomem.viz.weights import weight_matrix as weight_matrix

__all__ = [
    "membrane_traces",
    "plot_anomalies",
    "plot_drift",
    "plot_edge_of_chaos",
    "plot_kernels",
    "plot_waves",
    "population_rate",
    "power_spectrum",
    "raster",
    "save_png",
    "weight_matrix",
]
