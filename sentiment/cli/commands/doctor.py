"""Tells whether this machine is ready to train, a line for each thing.

sentiment doctor --tfds_data_dir=FOLDER
"""

import sys

from sentiment.config import DoctorCommand

CONFIG = DoctorCommand
MARKS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


def run(command: DoctorCommand):
    """Prints the findings as they come, then the verdict."""
    from sentiment.diagnosis import diagnose, requirements, verdict

    findings = []
    for finding in diagnose(command, requirements()):
        print(f"{MARKS[finding.state]} {finding.name}: {finding.text}", flush=True)
        findings.append(finding)
    is_ready, text = verdict(findings)
    print(text, flush=True)
    if not is_ready:
        sys.exit(1)
