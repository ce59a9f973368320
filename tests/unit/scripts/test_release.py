"""What a release is made of: one version everywhere, and the same bytes from the same commit."""

import hashlib
import json
import re
import tarfile
from pathlib import Path

from email_processor import __version__
from scripts import release


def test_the_version_is_the_same_wherever_it_stands() -> None:
    """Package, image, chart, compose file and changelog."""
    assert dict.fromkeys(["src/email_processor/__init__.py", *release.PLACES], __version__) == release.versions()


def test_the_same_commit_makes_the_same_files(tmp_path: Path) -> None:
    """Wheel, sdist, chart, bill of materials and checksums, to the byte."""
    digests = []
    for name in ("once", "twice"):
        directory = tmp_path / name
        directory.mkdir()
        release.build(directory)
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()})
    assert digests[0] == digests[1]
    assert 5 == len(digests[0])
    chart = tmp_path / "once" / f"email-processor-chart-{__version__}.tgz"
    with tarfile.open(chart) as archive:
        names = archive.getnames()
    assert {"email-processor/Chart.yaml", "email-processor/templates/deployment.yaml"} < set(names)
    assert [] == [name for name in names if "/ci/" in name]


def test_the_bill_of_materials_names_every_pin() -> None:
    """Each dependency of the image, with its version."""
    pinned = re.findall(r"^([\w.-]+)==([\w.]+)", release.PINS.read_text(), re.MULTILINE)
    found = json.loads(json.dumps(release.bill_of_materials()))["components"]
    assert pinned == [(it["name"], it["version"]) for it in found]
