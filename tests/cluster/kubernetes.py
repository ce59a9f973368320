"""A namespace of a cluster, by the kubectl and the helm on PATH: in what KUBECONFIG says."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.chart import CHART

RELEASE = "email-processor"
SERVICE = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=service"
ENFORCED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}


@dataclass(frozen=True)
class Namespace:
    """A namespace, and everything that may be done in it."""

    name: str

    def kubectl(self, *arguments: str, stdin: object = "") -> str:
        """What a command prints; AssertionError if it fails. `stdin` is sent, as JSON if it is no text."""
        return self._run(["kubectl", "--namespace", self.name, *arguments], stdin)

    def helm(self, *arguments: str, stdin: object = "") -> str:
        """What a command prints; AssertionError if it fails. `stdin` is sent, as JSON if it is no text."""
        return self._run(["helm", "--namespace", self.name, *arguments], stdin)

    def install(self, values: Mapping[str, object], *options: str) -> str:
        """Install the release, or upgrade it to these values."""
        arguments = ("upgrade", RELEASE, str(CHART), "--install", "--values", "-", *options)
        return self.helm(*arguments, stdin=values)

    def rendered(self, values: Path, *options: str) -> str:
        """The release's objects with these values, as helm would install them here: by itself it asks no cluster."""
        version = json.loads(self.kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]
        return self.helm("template", RELEASE, str(CHART), "--kube-version", version, "--values", str(values), *options)

    def items(self, kind: str, selector: str = SERVICE) -> list[Any]:
        """The objects of a kind."""
        return list(json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))["items"])

    def pods(self, *, ready: bool | None = None) -> list[str]:
        """The names of the service's pods that are not on their way out; of those that are `ready`, or are not."""
        found = [pod for pod in self.items("pods") if "deletionTimestamp" not in pod["metadata"]]
        return sorted(pod["metadata"]["name"] for pod in found if ready is None or ready == is_ready(pod))

    @contextmanager
    def last_words(self) -> Iterator[list[Any]]:
        """The last line of the log of each of the service's pods that stops in the context; complete after it."""
        command = ["kubectl", "--namespace", self.name, "logs", "--follow"]
        following = {
            name: subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in self.pods()
        }
        said: list[Any] = []
        try:
            yield said
        finally:
            staying = self.pods()
            for name, process in following.items():
                if name in staying:
                    process.terminate()
                lines, _ = process.communicate(timeout=60)
                if name not in staying:
                    said.append(json.loads(lines.splitlines()[-1]))

    def leftovers(self) -> list[str]:
        """Everything that bears the release's label, of every kind that the cluster knows."""
        kinds = self.kubectl("api-resources", "--verbs=list", "--namespaced", "--output", "name").split()
        label = f"app.kubernetes.io/instance={RELEASE}"
        found = self.kubectl("get", ",".join(kinds), "--selector", label, "--output", "name", "--ignore-not-found")
        return sorted(found.split())

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """The address here of a port of a pod there."""
        with self._listening("port-forward", target, f":{port}") as address:
            yield address

    @contextmanager
    def proxied(self) -> Iterator[str]:
        """The address here of the API server, without TLS and with our rights."""
        with self._listening("proxy", "--port=0") as address:
            yield address

    @contextmanager
    def _listening(self, *arguments: str) -> Iterator[str]:
        command = ["kubectl", "--namespace", self.name, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
                assert said is not None
                yield said[0]
            finally:
                process.terminate()

    @staticmethod
    def _run(command: list[str], stdin: object) -> str:
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=600)
        assert 0 == done.returncode, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether Kubernetes holds a pod to be ready."""
    return any(it["type"] == "Ready" and it["status"] == "True" for it in pod["status"].get("conditions", ()))


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace of its own in which PodSecurity `restricted` is enforced; gone at the end, and all that is in it."""
    found = Namespace(f"email-processor-{uuid.uuid4().hex[:8]}")
    metadata = {"name": found.name, "labels": ENFORCED}
    found.kubectl("create", "--filename", "-", stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield found
    finally:
        found.kubectl("delete", "namespace", found.name)
