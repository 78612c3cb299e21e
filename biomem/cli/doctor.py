"""``biomem doctor``: the report as a table."""

from __future__ import annotations

from biomem.backends import doctor_report

__all__ = ["run"]


def run() -> int:
    """Print the report; return 1 if something in it is not right."""
    findings = doctor_report()
    width = max(len(finding.item) for finding in findings)
    for finding in findings:
        mark = "  " if finding.ok else "! "
        print(f"{mark}{finding.item:<{width}}  {finding.value}")
        if finding.hint:
            print(f"  {'':<{width}}  -> {finding.hint}")
    broken = sum(not finding.ok for finding in findings)
    print(f"\n{broken} broken, marked with !" if broken else "\nnothing is broken")
    return 1 if broken else 0
