"""The NAB corpus reader on the real corpus, on a small one, and on damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biomem.datasets import NAB
from biomem.datasets.nab_score import Profile
from biomem.errors import DataError, InputError

FILE = "group/one.csv"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A corpus of one series of 20 records whose stamp at row 10 occurs twice."""
    minutes = [*range(11), 10, *range(11, 19)]
    rows = [f"2020-01-01 00:{m:02d}:00,{i}.5" for i, m in enumerate(minutes)]
    window = ["2020-01-01 00:10:00.000000", "2020-01-01 00:12:00.000000"]
    costs = {"tpWeight": 1.0, "fnWeight": 2.0, "fpWeight": 0.5, "tnWeight": 1.0}
    for name, text in {
        f"data/{FILE}": "timestamp,value\r\n" + "\r\n".join(rows) + "\r\n",
        "labels/combined_windows.json": json.dumps({FILE: [window]}),
        "labels/combined_labels.json": json.dumps({FILE: ["2020-01-01 00:11:00"]}),
        "config/profiles.json": json.dumps({"mine": {"CostMatrix": costs}}),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return tmp_path


def test_the_corpus_has_its_known_size(nab: Path) -> None:
    corpus = NAB(nab)
    assert len(corpus.files) == 58
    assert sum(rows.records for rows in corpus.rows.values()) == 365_558
    assert sum(len(rows.windows) for rows in corpus.rows.values()) == 116
    assert corpus.profiles == {
        "standard": Profile(tp=1.0, fn=1.0, fp=0.11),
        "reward_low_FP_rate": Profile(tp=1.0, fn=1.0, fp=0.22),
        "reward_low_FN_rate": Profile(tp=1.0, fn=2.0, fp=0.11),
    }
    records = dict.fromkeys(corpus.groups, 0)
    for file, rows in corpus.rows.items():
        records[file.split("/")[0]] += rows.records
    assert records == {
        "artificialNoAnomaly": 20160,
        "artificialWithAnomaly": 24192,
        "realAWSCloudwatch": 67740,
        "realAdExchange": 9610,
        "realKnownCause": 69561,
        "realTraffic": 15664,
        "realTweets": 158631,
    }


def test_taxi_series_starts_and_ends_where_it_should(nab: Path) -> None:
    taxi = NAB(nab).series("realKnownCause/nyc_taxi.csv")
    assert taxi.timestamps.dtype == "datetime64[s]"
    assert (taxi.timestamps[0], taxi.timestamps[-1]) == (
        np.datetime64("2014-07-01T00:00:00"),
        np.datetime64("2015-01-31T23:30:00"),
    )
    assert (taxi.values.dtype, len(taxi.values), taxi.values[0]) == (np.float64, 10320, 10844.0)


def test_labels_lie_in_windows_save_for_the_known_stray(nab: Path) -> None:
    corpus, strays, labels = NAB(nab), [], 0
    for file in corpus.files:
        windows, stamps = corpus.windows(file), corpus.labels(file)
        inside = (stamps[:, None] >= windows[:, 0]) & (stamps[:, None] <= windows[:, 1])
        strays += [(file, str(stamp)) for stamp in stamps[~inside.any(axis=1)]]
        labels += len(stamps)
    # The published files disagree here by one hour.
    name = "realAWSCloudwatch/iio_us-east-1_i-a2eb1cd9_NetworkIn.csv"
    assert strays == [(name, "2013-10-10T09:35:00")]
    assert labels == 120


def test_environment_gives_the_root(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.rename(small.parent / "nab")
    monkeypatch.setenv("BIOMEM_DATA", str(small.parent))
    assert NAB().files == (FILE,)
    monkeypatch.delenv("BIOMEM_DATA")
    with pytest.raises(DataError, match="BIOMEM_DATA is not set"):
        NAB()


def test_reads_and_scores_a_corpus_of_one(small: Path) -> None:
    corpus = NAB(small)
    series, rows = corpus.series(FILE), corpus.rows[FILE]
    np.testing.assert_array_equal(series.values, np.arange(20) + 0.5)
    assert corpus.groups == ("group",)
    assert rows.records == 20
    # The first row of a doubled stamp counts.
    assert rows.windows.tolist() == [[10, 13]]
    assert corpus.labels(FILE).tolist() == [np.datetime64("2020-01-01T00:11:00").item()]
    scores = {FILE: (np.arange(20) == 10).astype(float)}
    assert corpus.score(scores, "mine").score == 100.0
    assert corpus.score_at(scores, 1.1, Profile(tp=1.0, fn=3.0, fp=0.0)).raw == -3.0


def test_refuses_unknown_names(small: Path) -> None:
    corpus = NAB(small)
    with pytest.raises(
        DataError, match=r"no series 'group/on.csv' .* did you mean 'group/one.csv'"
    ):
        corpus.series("group/on.csv")
    with pytest.raises(InputError, match=r"profile must be one of \['mine'\], got 'standard'"):
        corpus.score({FILE: np.zeros(20)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no records"),
        ("timestamp,value\n", "holds no records"),
        ("timestamp,value\n2020-01-01 00:00:00\n", "not `time,number`"),
        ("timestamp,value\n2020-01-01 00:00:00,1,2\n", "not `time,number`"),
        ("timestamp,value\nyesterday,1\n", "not `time,number`"),
        ("timestamp,value\n2020-01-01 00:00:00,x\n", "not `time,number`"),
        ("timestamp,value\n2020-01-01 00:00:00,1\n2020-01-01 00:01:00,nan\n", "line 3: .* finite"),
    ],
)
def test_refuses_a_damaged_series(small: Path, text: str, message: str) -> None:
    (small / "data" / FILE).write_text(text)
    with pytest.raises(DataError, match=message):
        NAB(small).series(FILE)


def test_refuses_a_damaged_corpus(small: Path) -> None:
    corpus = NAB(small)
    (small / "config/profiles.json").write_text('{"mine": {}}')
    with pytest.raises(DataError, match=r"profiles\.json: no cost matrix"):
        _ = corpus.profiles
    text = (small / "data" / FILE).read_text().replace("00:12:00", "00:12:01")
    (small / "data" / FILE).write_text(text)
    with pytest.raises(DataError, match="window edge 2020-01-01T00:12:00 is no record"):
        _ = corpus.rows
    (small / "data" / FILE).unlink()
    with pytest.raises(DataError, match="cannot read"):
        corpus.series(FILE)
    (small / "labels/combined_labels.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        NAB(small)
    with pytest.raises(DataError, match="must be a folder of"):
        NAB(small / "nowhere")
