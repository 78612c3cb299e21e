"""Anomalies of a telemetry file from Python, stopped half-way and continued."""

import tempfile
from pathlib import Path

from biomem.stream.detect import DetectOptions, detect

source = Path(__file__).parent / "data" / "nyc_taxi.csv"
options = DetectOptions(minimum=0, maximum=40_000, threshold=0.4)

with tempfile.TemporaryDirectory() as folder:
    log, state = Path(folder) / "taxi.csv", Path(folder) / "taxi.ck"
    lines = [line + "\n" for line in source.read_text().splitlines()]

    log.write_text("".join(lines[:6000]))  # so far
    detect(log, folder, options, save=state, plot=False)

    log.write_text("".join(lines))  # some months later
    report = detect(log, folder, options, resume=state, plot=False)

    print(report)
    print(report.scores.read_text().splitlines()[-1])
