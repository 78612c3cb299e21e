"""Tables of the results, and what is expected of them."""

from __future__ import annotations

from typing import Any

from cases import CASES, STEADY
from methods import METHODS

__all__ = ["check", "tables"]

Results = dict[tuple[str, str], dict[str, Any]]


def tables(results: Results, within: list[int]) -> str:
    """Return the tables of the README."""
    names = list(dict.fromkeys(name for name, _ in results))
    cases = [c for c in CASES if any((name, c) in results for name in names)]
    changes = [c for c in cases if c not in STEADY]
    text = []

    def table(head: str, cases: list[str], show: Any) -> None:
        text.extend(
            [head, "", f"| method | {' | '.join(cases)} |", "|---" * (len(cases) + 1) + "|"]
        )
        for name in names:
            row = [show(results[name, c]) if (name, c) in results else "-" for c in cases]
            text.append(f"| {METHODS[name].title} | {' | '.join(row)} |")
        text.append("")

    first, last = within
    table(
        f"Found within {first} / {last} records, % of the seeds:",
        changes,
        lambda r: f"{100 * r[f'within {first}']:.0f} / {100 * r[f'within {last}']:.0f}",
    )
    table(
        f"Median delay in records, of those found within {last}:",
        changes,
        lambda r: "-" if r["median delay"] is None else f"{r['median delay']:.0f}",
    )
    table(
        "False alarms per 10 000 records without a change:",
        [c for c in cases if c in STEADY],
        lambda r: f"{r['false alarms per 10 000']:.1f}",
    )
    table("CPU time, us per record:", ["none"], lambda r: f"{r['us per record']:.2f}")
    return "\n".join(text)


def check(results: Results, expected: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return a line for each expectation, and whether it holds."""
    lines = []
    for claim in expected["claim"]:
        found = results.get((claim["method"], claim["case"]), {}).get(claim["figure"])
        low, high = claim.get("least", float("-inf")), claim.get("most", float("inf"))
        verdict = "not run" if found is None else "holds" if low <= found <= high else "FAILS"
        where = f"{claim['method']}, {claim['case']}, {claim['figure']}"
        lines.append(f"{verdict}: {where} = {found} in [{low}, {high}]; {claim['why']}")
    return lines
