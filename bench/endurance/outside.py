"""What the kernel says of a process."""

from pathlib import Path


def look(pid: int) -> dict[str, int]:
    """Resident KiB, threads, descriptors and sockets among them. OSError if the process is gone."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    if "VmRSS" not in status:
        raise ProcessLookupError("it has ended")
    targets = [_target(each) for each in (process / "fd").iterdir()]
    return {
        "rss_kib": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "descriptors": len(targets),
        "sockets": sum(target.startswith("socket:") for target in targets),
    }


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""
