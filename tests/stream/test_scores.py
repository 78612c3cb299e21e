"""Rows of a score file, there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.stream import Record
from biomem.stream.scores import Alarms, format_rows, header_of, read_scores

numbers = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@given(rows=st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=1, max_size=5))
def test_numbers_read_back_as_they_were(tmp_path_factory, suffix, rows):
    path = tmp_path_factory.mktemp("rows") / f"a{suffix}"
    stamp = '5,"x" 1e3'
    records = [Record(k, 0.0, stamp, value, False) for k, (value, _, _) in enumerate(rows)]
    score = np.array([s for _, s, _ in rows])
    text = format_rows(path, records, score, score, score, Alarms(0, 0.5), 0)
    path.write_text(header_of(path) + text, encoding="utf-8")
    back = read_scores(path, "%Y")
    assert back.stamps == (stamp,)
    assert back.values.tobytes() == np.array([v for v, _, _ in rows]).tobytes()
    assert back.scores.tobytes() == score.tobytes()


def test_times_of_a_stream_through_several_files(tmp_path):
    path = tmp_path / "a.csv"
    stamps = ["2024-05-01 00:00", "1714521660", "never", "1714521720"]
    path.write_text(header_of(path) + "".join(f"{s},1.0,0.0,0.5,0.0,0\n" for s in stamps))
    start = 1714521600.0
    assert read_scores(path, "iso").times.tolist() == [start, start + 60, start + 60, start + 120]
    path.write_text(header_of(path) + "".join(f"{s},1.0,0.0,0.5,0.0,0\n" for s in "012"))
    ticks = read_scores(path, None)
    assert ticks.times.tolist() == [0.0, 1.0, 2.0]
    assert ticks.stamps == ("",)


def test_a_stretch_that_began_in_the_probation_alarms_at_its_end():
    alarms = Alarms(probation=2, threshold=0.5)
    raised = [alarms.judge(k, s, str(k)) for k, s in enumerate([0.9, 0.9, 0.9, 0.9, 0.1, 0.5])]
    assert raised == [False, False, True, False, False, True]
    assert (alarms.count, alarms.first) == (2, ["2", "5"])
