"""Builds everything that a release is made of into `dist/`: `make release`.

Wheel and sdist, the chart, a software bill of materials of what the image holds, and the checksums of all. Built twice
from one commit the files are the same to the byte: every time in them is the commit's.
"""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from email_processor import __version__

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "email-processor"
PINS = ROOT / ".ci" / "pins" / "runtime.txt"
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[\w.!+-]+)")

# Where the version stands besides the package itself, and how it is written there.
PLACES = {
    "Dockerfile": r"^ARG VERSION=(.+)$",
    "helm/email-processor/Chart.yaml": r"^version: (.+)$",
    "helm/email-processor/Chart.yaml#": r'^appVersion: "(.+)"$',
    "docker-compose.yml": r"email-processor:(\d\S+)",
    "CHANGELOG.md": r"^## (\S+) - ",
}


def versions() -> Mapping[str, str]:
    """The version in each place where it stands."""
    found = {"src/email_processor/__init__.py": __version__}
    for place, pattern in PLACES.items():
        match = re.search(pattern, (ROOT / place.rstrip("#")).read_text(), re.MULTILINE)
        found[place] = match[1] if match else "none"
    return found


def commit_time() -> int:
    """When the commit that is built was made, in Unix time."""
    said = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 - wherever it is
    return int(said.stdout)


def package_chart(directory: Path, moment: int) -> None:
    """Write the chart as Helm packs it, but with one time for all files."""
    with (
        (directory / f"email-processor-chart-{__version__}.tgz").open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=moment) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(it for it in CHART.rglob("*") if it.is_file() and "ci" not in it.relative_to(CHART).parts):
            entry = tarfile.TarInfo(f"email-processor/{path.relative_to(CHART)}")
            content = path.read_bytes()
            entry.size, entry.mtime, entry.mode = len(content), moment, 0o644
            archive.addfile(entry, io.BytesIO(content))


def components(pins: str) -> Iterator[dict[str, Any]]:
    """Every dependency of the image, as CycloneDX has it."""
    for line in pins.splitlines():
        if pin := PIN.match(line):
            name, version = pin["name"], pin["version"]
            yield {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name.lower()}@{version}"}


def bill_of_materials() -> dict[str, Any]:
    """What the image holds besides its base image."""
    subject = {"type": "application", "name": "email-processor", "version": __version__}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": subject},
        "components": list(components(PINS.read_text())),
    }


def build(directory: Path) -> None:
    """Build everything into an empty directory."""
    moment = commit_time()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)],
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(moment)},
        check=True,
        capture_output=True,
    )
    package_chart(directory, moment)
    bill = json.dumps(bill_of_materials(), indent=2) + "\n"
    (directory / f"email-processor-{__version__}.cdx.json").write_text(bill)
    files = sorted(directory.iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (directory / "SHA256SUMS").write_text("".join(sums))


def main() -> int:
    """Build, unless the version stands somewhere as another one; a tag may be given that must be the version's."""
    found = {**versions(), **{f"tag {tag}": tag.removeprefix("v") for tag in sys.argv[1:]}}
    other = {place: version for place, version in found.items() if version != __version__}
    if other:
        print(f"error: the version is {__version__}, but: {other}", file=sys.stderr)
        return 1
    directory = ROOT / "dist"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    build(directory)
    print((directory / "SHA256SUMS").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
