"""Renders the chart into plain manifests: `make manifests`, or `--check` to see that they are in sync.

One file for each object; those of the Prometheus operator and of Grafana in a folder of their own, since
`kubectl apply -f` on a folder does not enter those below.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HELM = ROOT / ".venv-deploy" / "bin" / "helm3"
CHART = ROOT / "helm" / "email-processor"
VALUES = ROOT / "infra" / "kubernetes-manifests" / "values.yaml"
FOLDER = ROOT / "infra" / "kubernetes-manifests" / "email-processor-service"
NAMESPACE = "email-processor"
HELMS_OWN = re.compile(r"^ *(app\.kubernetes\.io/managed-by|helm\.sh/chart|# Source):.*\n", re.MULTILINE)
HEAD = "# Rendered from the chart by `make manifests`: example names are in infra/kubernetes-manifests/values.yaml.\n"
NAMESPACE_OBJECT = f"""apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def rendered() -> dict[Path, str]:
    """Every file and its text."""
    answer = subprocess.run(
        [HELM, "template", "email-processor", CHART, "--namespace", NAMESPACE, "--values", VALUES],
        capture_output=True,
        text=True,
        check=True,
    )
    files = {FOLDER / "00-namespace.yaml": HEAD + NAMESPACE_OBJECT}
    for document in answer.stdout.split("\n---\n"):
        text = (
            "\n".join(line.rstrip() for line in HELMS_OWN.sub("", document.removeprefix("---\n")).splitlines()) + "\n"
        )
        kind = re.search(r"^kind: (\w+)$", text, re.MULTILINE)
        if kind is not None:
            is_monitoring = kind[1] in {"ServiceMonitor", "PrometheusRule"} or "component: dashboard" in text
            name = "dashboard" if "component: dashboard" in text else kind[1].lower()
            files[FOLDER / ("monitoring" if is_monitoring else "") / f"{name}.yaml"] = HEAD + text
    return files


def main() -> int:
    """Write the files, or with `--check` say which would change."""
    try:
        files = rendered()
    except subprocess.CalledProcessError as failure:
        print(f"error: {failure.stderr}", file=sys.stderr)
        return 1
    found = {path: path.read_text() for path in FOLDER.rglob("*.yaml")}
    if files == found:
        return 0
    if sys.argv[1:] == ["--check"]:
        stale = sorted(path.name for path in files.keys() | found.keys() if files.get(path) != found.get(path))
        print(f"error: not what the chart says: {', '.join(stale)}; run `make manifests`", file=sys.stderr)
        return 1
    for path in found.keys() - files.keys():
        path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(f"Wrote {len(files)} manifests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
