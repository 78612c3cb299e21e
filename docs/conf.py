"""Sphinx configuration."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import biomem

HERE = Path(__file__).parent
# Examples in the pages draw without a display.
os.environ["MPLBACKEND"] = "Agg"

project = "biomem"
author = copyright = "The biomem developers"
release = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["version"]

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"biomem {release}"

myst_enable_extensions = ["dollarmath", "colon_fence"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
# Progress bars go there.
nb_output_stderr = "remove"

autosummary_generate = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"
numpydoc_show_class_members = False

# The index of the reference is `biomem.__all__`, so a public name cannot be missing from it.
_names = "\n".join(f"   {name}" for name in sorted(biomem.__all__))
(HERE / "api").mkdir(exist_ok=True)
(HERE / "api" / "index.rst").write_text(
    f"""API reference
=============

.. currentmodule:: biomem

Everything here is imported from ``biomem``, on first use.

.. autosummary::
   :toctree:

{_names}
"""
)
