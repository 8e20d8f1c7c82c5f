"""Jobs on an API server without nodes, run as processes.

Helm waits for the Jobs of a chart's hooks. Nobody runs pods here, so this takes the kubelet's and
the Job controller's place for as much as these Jobs need: the container's arguments run in a
process, with a token of the Job's own ServiceAccount and with its ConfigMaps as files, and the
outcome becomes the Job's status. What is not the real thing: no image, no container.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.cluster import ClusterError, ControlPlane

LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class JobRun:
    """One Job that ran."""

    name: str
    account: str
    arguments: tuple[str, ...]
    code: int
    output: str


@dataclass(slots=True)
class JobRunner:
    """Runs the Jobs of one namespace, each once, until it is stopped."""

    plane: ControlPlane
    namespace: str
    folder: Path
    runs: list[JobRun] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def follow(self, stop: threading.Event) -> None:
        """Look for new Jobs until ``stop``."""
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        while not stop.wait(LOOK_EVERY):
            for job in self.plane.request("GET", path)["items"]:
                if job["metadata"]["uid"] not in self._seen:
                    self._seen.add(job["metadata"]["uid"])
                    try:
                        self._run(job)
                    except (ClusterError, OSError, KeyError) as error:
                        self.problems.append(f"{job['metadata']['name']}: {error}")

    def _run(self, job: dict[str, Any]) -> None:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        mounts = self._mounts(pod, container)
        arguments = [_moved(each, mounts) for each in container["args"]]
        began = _now()
        kubeconfig = self.plane.kubeconfig_for(self.namespace, pod["serviceAccountName"])
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(self.folder)}
        environment |= {each["name"]: self._value(each) for each in container.get("env", [])}
        done = subprocess.run(
            [sys.executable, "-m", "fluxgate_cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=job["spec"]["activeDeadlineSeconds"],
            env=environment,
        )
        name = job["metadata"]["name"]
        self.runs.append(
            JobRun(
                name,
                pod["serviceAccountName"],
                tuple(container["args"]),
                done.returncode,
                done.stdout,
            )
        )
        self._finish(name, began, succeeded=done.returncode == 0)

    def _value(self, variable: dict[str, Any]) -> str:
        """Of a container's variable: said, or an entry of a Secret."""
        if "value" in variable:
            return str(variable["value"])
        source = variable["valueFrom"]["secretKeyRef"]
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{source['name']}"
        return b64decode(self.plane.request("GET", path)["data"][source["key"]]).decode()

    def _mounts(self, pod: dict[str, Any], container: dict[str, Any]) -> dict[str, Path]:
        """The ConfigMaps of a pod as folders, by the paths at which its container has them."""
        folders: dict[str, Path] = {}
        for volume in pod["volumes"]:
            if "configMap" not in volume:
                continue
            name = volume["configMap"]["name"]
            path = f"/api/v1/namespaces/{self.namespace}/configmaps/{name}"
            folder = self.folder / name
            folder.mkdir(exist_ok=True)
            for key, text in self.plane.request("GET", path)["data"].items():
                (folder / key).write_text(text)
            folders[volume["name"]] = folder
        return {
            each["mountPath"]: folders[each["name"]]
            for each in container["volumeMounts"]
            if each["name"] in folders
        }

    def _finish(self, name: str, began: str, *, succeeded: bool) -> None:
        """Write what the Job controller would (batch/v1 JobStatus)."""
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}"
        job = self.plane.request("GET", path)
        now = _now()
        types = ("SuccessCriteriaMet", "Complete") if succeeded else ("FailureTarget", "Failed")
        job["status"] = {
            "startTime": began,
            **({"completionTime": now, "succeeded": 1} if succeeded else {"failed": 1}),
            "active": 0,
            "ready": 0,
            "terminating": 0,
            "uncountedTerminatedPods": {},
            "conditions": [
                {
                    "type": each,
                    "status": "True",
                    "lastTransitionTime": now,
                    "lastProbeTime": now,
                    "reason": "CompletionsReached" if succeeded else "BackoffLimitExceeded",
                    "message": "ran as a process",
                }
                for each in types
            ],
        }
        self.plane.request("PUT", f"{path}/status", job)


def _moved(argument: str, mounts: dict[str, Path]) -> str:
    for mounted, folder in mounts.items():
        argument = argument.replace(f"{mounted}/", f"{folder}/")
    return argument


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def running_jobs(plane: ControlPlane, namespace: str, folder: Path) -> Iterator[JobRunner]:
    """Run the Jobs of ``namespace`` while the context is open."""
    runner = JobRunner(plane, namespace, folder)
    stop = threading.Event()
    thread = threading.Thread(target=runner.follow, args=(stop,), name="jobs")
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join()
