"""Asks whether what is shipped has known vulnerabilities: `pip-audit` on the runtime pins.

A vulnerability fails, unless it stands in `ACCEPTED` with the reason. Where the vulnerability service cannot be
reached, or does not know our dependencies, a note says so and nothing fails: a check must not depend on somebody
else's server.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / ".ci" / "pins" / "runtime.txt"
COMMAND = ("-m", "pip_audit", "--requirement", str(PINS), "--require-hashes", "--disable-pip")
OPTIONS = ("--format", "json", "--progress-spinner", "off", "--timeout", "10")

# By id or alias (GHSA-..., CVE-..., PYSEC-...): why it does not concern this service.
ACCEPTED: dict[str, str] = {}

UNREACHABLE = re.compile(r"requests\.exceptions\.|Could not connect|Timeout|\b(429|5\d\d) (Client|Server) Error")


def verdict(code: int, output: str, errors: str, accepted: dict[str, str]) -> tuple[int, list[str]]:
    """The exit code, and what to say, of what `pip-audit` has answered."""
    try:
        dependencies = json.loads(output)["dependencies"]
    except (KeyError, TypeError, ValueError):
        last = (errors.strip().splitlines() or ["no answer"])[-1]
        if code == 1 and UNREACHABLE.search(errors):
            return 0, [f"note: the vulnerability service cannot be reached, so nothing was audited: {last[:200]}"]
        return 1, [errors.strip(), f"error: pip-audit failed (exit code {code})"]
    said: list[str] = []
    found = 0
    for dependency in dependencies:
        for flaw in dependency.get("vulns", ()):
            names = [flaw["id"], *flaw.get("aliases", ())]
            what = f"{dependency['name']} {dependency['version']}: {', '.join(names)}"
            reason = next((accepted[name] for name in names if name in accepted), None)
            if reason is not None:
                said.append(f"accepted: {what}: {reason}")
                continue
            found += 1
            said.append(f"error: {what}; fixed in {', '.join(flaw.get('fix_versions', ())) or 'no release yet'}")
    unknown = sum("skip_reason" in dependency for dependency in dependencies)
    if unknown:
        said.append(
            f"note: the vulnerability service does not know {unknown} of {len(dependencies)} dependencies: "
            "they were not audited"
        )
    return int(found > 0), said


def main() -> int:
    """Audit the runtime pins, and print what was found on stderr; the exit code."""
    done = subprocess.run([sys.executable, *COMMAND, *OPTIONS], capture_output=True, text=True, check=False)
    code, said = verdict(done.returncode, done.stdout, done.stderr, ACCEPTED)
    for line in said:
        print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
