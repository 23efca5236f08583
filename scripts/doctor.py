"""Tells whether this machine is ready to train, in a line for each thing."""

import sys
import tomllib
from pathlib import Path

from flags import parse_doctor, run_script

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
MARKS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


def main(command):
    """Prints the findings as they come, then the verdict."""
    from sentiment.diagnosis import diagnose, verdict

    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    findings = []
    for finding in diagnose(command, project["dependencies"]):
        print(f"{MARKS[finding.state]} {finding.name}: {finding.text}", flush=True)
        findings.append(finding)
    is_ready, text = verdict(findings)
    print(text)
    if not is_ready:
        sys.exit(1)


if __name__ == "__main__":
    run_script(parse_doctor, main)
