"""AWS as a pod, and what the chart has to be told of it."""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.kubernetes import Namespace
from tests.support.emulators import REGION, Emulator, Queue, aws_environment
from tests.support.site import Site

NAME = "aws"
FOR_SERVICE, FOR_CHECK = 4566, 4567  # ports, as tests/cluster/aws.py has them
POD = {
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}
CONTAINER = {
    "name": NAME,
    "imagePullPolicy": "IfNotPresent",
    "readinessProbe": {"tcpSocket": {"port": FOR_SERVICE}, "periodSeconds": 1},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    },
    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the container's own
}


@dataclass(frozen=True)
class ClusterAws:
    """SQS and S3 as a pod: `emulator` is how they are reached from here; other pods learn it from a secret."""

    space: Namespace
    emulator: Emulator

    def refuse(self, service: str) -> None:
        """Refuse SQS or S3 to pods until the next call; "" refuses nothing."""
        request = urllib.request.Request(f"{self.emulator.url}/_refuse/{service}", method="PUT")  # noqa: S310 - ours
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - as above

    def new_site(self, directory: Path, *, receives: int = 5) -> tuple[Site, Queue]:
        """A queue and a bucket, and the dead-letter queue for what was received so often and not deleted."""
        dead = self.emulator.new_queue()
        policy = {"deadLetterTargetArn": dead.arn, "maxReceiveCount": receives}
        queue = self.emulator.new_queue(RedrivePolicy=json.dumps(policy))
        return Site(queue, self.emulator.new_bucket(), directory), dead

    def values(self, site: Site, **settings: object) -> dict[str, object]:
        """The chart's values for a service that works at a site."""
        repository, _, tag = os.environ["IMAGE"].rpartition(":")
        told = {"SQS_QUEUE_URL": site.queue.url, "S3_BUCKET_NAME": site.bucket.name, "AWS_REGION": REGION}
        return {
            "image": {"repository": repository, "tag": tag},
            "settings": {**told, "POLL_INTERVAL_SECONDS": 1, **settings},
            "extraEnvFrom": [{"secretRef": {"name": NAME}}],
            "networkPolicy": {"extraEgress": [{"ports": [{"port": FOR_SERVICE, "protocol": "TCP"}]}]},
            "podLabels": {"cluster-check": self.space.name},
        }


@contextmanager
def cluster_aws(space: Namespace) -> Iterator[ClusterAws]:
    """Run it from the image AWS_IMAGE for as long as the context lasts."""
    labels = {"app": NAME}
    pod = {**POD, "containers": [{**CONTAINER, "image": os.environ["AWS_IMAGE"]}]}
    ports = [{"port": FOR_SERVICE}]
    for kind, spec in {"Pod": pod, "Service": {"selector": labels, "ports": ports}}.items():
        made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": NAME, "labels": labels}, "spec": spec}
        space.kubectl("create", "--filename", "-", stdin=made)
    space.kubectl("wait", f"pod/{NAME}", "--for=condition=Ready", "--timeout=120s")
    (service,) = space.items("services", f"app={NAME}")
    inside = f"http://{service['spec']['clusterIP']}:{FOR_SERVICE}"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "stringData": aws_environment(inside)}
    space.kubectl("create", "--filename", "-", stdin=secret)
    with space.forwarded(f"pod/{NAME}", FOR_CHECK) as address:
        yield ClusterAws(space, Emulator("ministack", f"http://{address}"))
