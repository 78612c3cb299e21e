"""Every ``nir_*`` pair of the golden folder: a graph file and what another program made of it.

The graph is read with h5py alone and run by `Graph` under the rules of the tool that made the
arrays; see README.md beside it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.network import graph as primitives
from biomem.network.graph import TOOLS, Graph

FOLDER = Path(os.environ.get("BIOMEM_GOLDEN") or Path(__file__).parent)
PAIRS = [p for p in sorted(FOLDER.glob("nir_*.npz")) if p.with_suffix(".nir").exists()]
LATER = {"lava_cpu_float", "spyx"}


def graph_of(path: Path, **params: Any) -> Graph:
    """Return the graph in a file."""
    with h5py.File(path) as file:
        node = file["node"]
        edges = [(a.decode(), b.decode()) for a, b in node["edges"][()]]
        nodes = {name: part_of(group) for name, group in node["nodes"].items()}
    return Graph.of(nodes, edges, **params)


def part_of(group: h5py.Group) -> Any:
    kind = group["type"][()].decode()
    values = {k: v[()] for k, v in group.items() if isinstance(v, h5py.Dataset) and k != "type"}
    if kind in ("Input", "Output"):
        return getattr(primitives, kind)(shape=tuple(int(n) for n in values["shape"]))
    if kind in ("Affine", "Linear"):
        return primitives.Affine.of(values["weight"], values.get("bias"))
    if kind == "Conv2d":
        options = {k: tuple(map(int, values[k])) for k in ("stride", "padding", "dilation")}
        return primitives.Conv2d.of(
            values["weight"], values["bias"], groups=int(values["groups"]), **options
        )
    if kind == "SumPool2d":
        options = {k: tuple(map(int, v)) for k, v in values.items()}
        return primitives.SumPool2d(**options)
    if kind == "Flatten":
        return primitives.Flatten(
            start_dim=int(values["start_dim"]), end_dim=int(values["end_dim"])
        )
    return getattr(primitives, kind).of(**values)


def run(graph: Graph, x: np.ndarray, backend: str) -> Any:
    flat = x.reshape(len(x), -1).astype(float)
    return Simulator(graph, backend=backend, progress=False).run(flat)


@pytest.mark.parametrize("path", PAIRS, ids=lambda p: p.stem)
@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_the_run_of_another_program_is_repeated(path: Path, backend: str) -> None:
    want = dict(np.load(path, allow_pickle=False))
    file, x = path.with_suffix(".nir"), want["x"]
    if "z_exact" in want:
        check_tools(file, want, backend)
        return
    if "z_hidden" in want:
        graph = graph_of(file, dt=1.0, discretisation=TOOLS[str(want["tool"])])
        found = run(graph, x, backend)
        np.testing.assert_array_equal(found["y"][:, 0], want["z_out"])
        hidden = found["spikes"][:, 0, graph.place("spiking", "1")]
        np.testing.assert_array_equal(hidden.reshape(want["z_hidden"].shape), want["z_hidden"])
        return
    graph = graph_of(file, dt=float(want["dt"]))
    found = run(graph, x, backend)
    neurons = [n.name for n in graph.params.nodes if isinstance(n, primitives.nodes.Neuron)]
    for key, array in want.items():
        kind, _, name = key.partition("_")
        if key == "y":
            np.testing.assert_allclose(found["y"][:, 0], array, rtol=0, atol=1e-6)
        elif kind in ("z", "v") and name:
            name = name.removesuffix("_euler")
            node = next(n for n in neurons if name in (n, n.partition(".")[0], "lif"))
            if kind == "z":
                got = found["spikes"][:, 0, graph.place("spiking", node)]
                np.testing.assert_array_equal(got, array)
            else:
                got = found["v"][:, 0, graph.place("traced", node)]
                np.testing.assert_allclose(got, array, rtol=0, atol=2e-5)


def check_tools(file: Path, want: dict[str, np.ndarray], backend: str) -> None:
    """Check a trace that many tools made, each by its own rules; some lag by a tick."""
    for key, spikes in want.items():
        tool = key.removeprefix("z_")
        if not key.startswith("z_") or tool in ("lava_cpu_fixed", "lava_loihi_fixed"):
            continue
        rules = TOOLS["rockpool" if tool in ("rockpool", "sinabs") else "nir"]
        graph = graph_of(file, dt=float(want["dt"]), discretisation=rules)
        ticks = np.flatnonzero(run(graph, want["x"][:, None], backend)["y"][:, 0, 0])
        lag = int(tool in LATER)
        np.testing.assert_array_equal(ticks + lag, np.flatnonzero(spikes), err_msg=tool)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("nir_*.nir")), ids=lambda p: p.stem)
def test_every_file_becomes_a_graph(path: Path) -> None:
    graph = graph_of(path, dt=1e-4)
    assert type(graph).Params.from_dict(graph.params.to_dict()) == graph.params
    assert graph.summary().count("\n") == len(graph.params.nodes)
