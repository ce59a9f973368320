"""A Kubernetes API server of a namespace with one release in it, for kubectl: it lists, tells logs, and runs commands.

A command in a pod is run here, with the pod's environment; so what answers is the real program.
"""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.deploy.chart import NAME, NAMESPACE
from tests.support.emulators import BIN
from tests.support.environment import clean_environment

LABELS = {"app.kubernetes.io/instance": NAME, "app.kubernetes.io/component": "service"}
GROUPS = {
    "v1": {"pods": "Pod", "configmaps": "ConfigMap", "events": "Event", "services": "Service"},
    "apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
}
STDOUT, STDERR, STATUS = 1, 2, 3  # channels of a command


@dataclass
class FakePod:
    """A pod: how it is, what it has logged, and the environment of its commands; None: it runs none."""

    name: str
    status: str = "Running"
    is_ready: bool = True
    restarts: int = 0
    log: list[str] = field(default_factory=list)
    log_before: list[str] = field(default_factory=list)
    environment: Mapping[str, str] | None = None

    def manifest(self) -> dict[str, Any]:
        """As Kubernetes has it."""
        state = {"running": {}} if self.status == "Running" else {"waiting": {"reason": self.status}}
        container = {"name": NAME, "ready": self.is_ready, "restartCount": self.restarts, "state": state}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": LABELS},
            "spec": {"containers": [{"name": NAME, "image": NAME}]},
            "status": {"phase": "Running", "containerStatuses": [{**container, "image": NAME, "imageID": ""}]},
        }


@dataclass
class Cluster:
    """The namespace: its pods, and the settings of the release."""

    pods: list[FakePod]
    settings: Mapping[str, str]

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        metadata = {"name": NAME, "namespace": NAMESPACE, "labels": LABELS, "uid": "1"}
        if kind == "Pod":
            return [pod.manifest() for pod in self.pods]
        if kind == "ConfigMap":
            return [{"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": dict(self.settings)}]
        if kind == "Deployment":
            template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": NAME, "image": NAME}]}}
            ready = sum(pod.is_ready for pod in self.pods)
            return [
                {
                    "apiVersion": "apps/v1",
                    "kind": kind,
                    "metadata": metadata,
                    "spec": {"replicas": len(self.pods), "selector": {"matchLabels": LABELS}, "template": template},
                    "status": {"replicas": len(self.pods), "readyReplicas": ready, "unavailableReplicas": 2 - ready},
                }
            ]
        return []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Discovery, lists, objects, logs and commands."""
        parts = request.path.strip("/").split("/")
        if request.path == "/api":
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if request.path == "/apis":
            groups = [
                {"name": group.split("/")[0], "versions": [{"groupVersion": group, "version": group.split("/")[1]}]}
                for group in GROUPS
                if "/" in group
            ]
            return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        group, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        if not rest:
            resources = [
                {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
                for name, kind in GROUPS.get(group, {}).items()
            ]
            return web.json_response({"kind": "APIResourceList", "groupVersion": group, "resources": resources})
        assert ["namespaces", NAMESPACE] == rest[:2], f"not in the release's namespace: {request.path}"
        return await self._namespaced(group, rest[2:], request)

    async def _namespaced(self, group: str, path: list[str], request: web.Request) -> web.StreamResponse:
        kind = GROUPS.get(group, {}).get(path[0])
        found = self.objects(kind) if kind else []
        match path[1:]:
            case []:
                if path[0] != "events" and "uid" not in request.query.get("fieldSelector", ""):
                    assert f"app.kubernetes.io/instance={NAME}" in request.query.get("labelSelector", "") or not found
                if kind == "Pod" and "as=Table" in request.headers.get("Accept", ""):
                    return web.json_response(self._table())
                version = {"apiVersion": group, "kind": f"{kind}List", "metadata": {}}
                return web.json_response({**version, "items": found})
            case [name]:
                return web.json_response(next(it for it in found if it["metadata"]["name"] == name))
            case [name, "log"]:
                pod = self._pod(name)
                lines = pod.log_before if request.query.get("previous") else pod.log
                if not lines:
                    return _refusal(f'previous terminated container "{NAME}" in pod "{name}" not found')
                return web.Response(text="\n".join([*lines, ""]))
            case [name, "exec"]:
                return await self._execute(self._pod(name), request)
        raise web.HTTPNotFound

    def _pod(self, name: str) -> FakePod:
        return next(pod for pod in self.pods if pod.name == name)

    def _table(self) -> dict[str, Any]:
        columns = [{"name": name, "type": "string", "format": ""} for name in ("Name", "Ready", "Status", "Restarts")]
        rows = [
            {
                "cells": [pod.name, f"{int(pod.is_ready)}/1", pod.status, str(pod.restarts)],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": pod.manifest()["metadata"],
                },
            }
            for pod in self.pods
        ]
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {},
            "columnDefinitions": columns,
            "rows": rows,
        }

    @staticmethod
    async def _execute(pod: FakePod, request: web.Request) -> web.StreamResponse:
        if pod.environment is None:
            return _refusal(f"container not found ({NAME})")
        socket = web.WebSocketResponse(protocols=["v5.channel.k8s.io"])
        await socket.prepare(request)
        program, *arguments = request.query.getall("command")
        process = await asyncio.create_subprocess_exec(
            BIN / program,
            *arguments,
            env={**clean_environment(), **pod.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        status: dict[str, Any] = {"metadata": {}, "status": "Success"}
        if process.returncode:
            cause = {"reason": "ExitCode", "message": str(process.returncode)}
            status = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [cause]}}
        for channel, text in ((STDOUT, out), (STDERR, error), (STATUS, json.dumps(status).encode())):
            await socket.send_bytes(bytes([channel]) + text)
        await socket.close()
        return socket


def _refusal(message: str) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "BadRequest"}
    return web.json_response({**status, "code": 400}, status=400)


@contextmanager
def serving(cluster: Cluster, directory: Path) -> Iterator[Path]:
    """Serve a cluster from a thread; the value is the kubeconfig for it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", cluster.answer)
    runner = web.AppRunner(application)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": ""}}],
            "current-context": "fake",
        }
        path = directory / "kubeconfig"
        path.write_text(json.dumps(config))
        yield path
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
