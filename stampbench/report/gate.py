"""The findings of the gate for people and for CI, as a table, a Markdown summary or JUnit XML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from stampbench.regress import Finding, Verdict
from stampbench.report.model import Column, Entry, Table
from stampbench.report.render import markdown

HEADINGS = ("where", "what", "before", "now", "verdict")
VERDICTS: Final[tuple[Verdict, ...]] = ("fail", "inconclusive", "pass")


def notable(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings that are worth a line, the worst first: all but those that passed without a number."""
    shown = [finding for finding in findings if finding.verdict != "pass" or finding.before]
    return sorted(shown, key=lambda finding: VERDICTS.index(finding.verdict))


def tally(findings: Sequence[Finding]) -> str:
    """Return the number of findings with each verdict: "2 fail, 1 inconclusive, 30 pass"."""
    counts = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])


def summary(title: str, findings: Sequence[Finding]) -> str:
    """Return a Markdown document with the tally and a table of the notable findings."""
    rows = tuple(
        tuple(Entry(text) for text in (f.where, f.what, f.before, f.now, f.verdict)) for f in notable(findings)
    )
    table = Table("gate", f"{title}: {tally(findings)}", tuple(Column(word, number=False) for word in HEADINGS), rows)
    return f"## {markdown.escape(title)}\n\n{markdown.table(table)}"


def junit(title: str, findings: Sequence[Finding]) -> str:
    """Return JUnit XML with one test case per finding; inconclusive findings count as skipped."""
    counts = Counter(finding.verdict for finding in findings)
    suite = ElementTree.Element(
        "testsuite",
        name=title,
        tests=str(len(findings)),
        failures=str(counts["fail"]),
        skipped=str(counts["inconclusive"]),
    )
    for finding in findings:
        case = ElementTree.SubElement(suite, "testcase", classname=finding.where, name=finding.what)
        words = f"before: {finding.before}; now: {finding.now}"
        if finding.verdict == "fail":
            ElementTree.SubElement(case, "failure", message=words)
        elif finding.verdict == "inconclusive":
            ElementTree.SubElement(case, "skipped", message=words)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
