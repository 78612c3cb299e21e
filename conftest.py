"""Modules whose examples cannot be collected here, since importing them needs an extra."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = []
if importlib.util.find_spec("torch") is None:
    collect_ignore_glob += ["biomem/train/*.py", "biomem/models/*/autograd.py"]
for package in ("river", "sklearn"):
    if importlib.util.find_spec(package) is None:
        collect_ignore_glob.append(f"biomem/stream/adapters/for_{package}.py")
