"""What a built overlay says, by kind and name; and who its network policies let reach whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Reach: TypeAlias = tuple[str, str, int]
"""Source, target, port; by the name label."""

OVERLAYS = ("development", "production")
NAME = "app.kubernetes.io/name"


@dataclass(frozen=True)
class Manifests:
    """The documents of one overlay."""

    overlay: str
    documents: list[Json]

    def of_kind(self, *kinds: str) -> Iterator[Json]:
        return (each for each in self.documents if each["kind"] in kinds)

    def get(self, kind: str, name: str) -> Json:
        """The one of this kind and name; a generated map is found without the hash behind its name."""
        (found,) = (
            each
            for each in self.of_kind(kind)
            if each["metadata"]["name"] == name
            or (kind == "ConfigMap" and each["metadata"]["name"].rpartition("-")[0] == name)
        )
        return found

    @property
    def workloads(self) -> dict[str, Json]:
        """Whatever runs pods, by name."""
        return {each["metadata"]["name"]: each for each in self.of_kind("StatefulSet", "Deployment")}

    @property
    def settings(self) -> dict[str, str]:
        """What every service is set to."""
        data: dict[str, str] = self.get("ConfigMap", "fxmesh-settings")["data"]
        return data

    def reached(self) -> set[Reach]:
        """Connections that leave and arrive by the policies. Without one that selects a pod, nothing does."""
        pods = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in self.workloads.items()}
        leaving = set(self._allowed("egress", "to", pods))
        arriving = {(source, target, port) for target, source, port in self._allowed("ingress", "from", pods)}
        return leaving & arriving

    def _allowed(self, direction: str, side: str, pods: dict[str, Json]) -> Iterator[Reach]:
        for policy in self.of_kind("NetworkPolicy"):
            spec = policy["spec"]
            for rule in spec.get(direction, ()):
                for own in _selected(spec["podSelector"], pods):
                    for other in _others(rule.get(side), pods):
                        yield from ((own, other, port["port"]) for port in rule["ports"])


def _selected(selector: Json, pods: dict[str, Json]) -> list[str]:
    wanted = selector.get("matchLabels", {}).items()
    return [name for name, labels in pods.items() if wanted <= labels.items()]


def _others(peers: list[Json] | None, pods: dict[str, Json]) -> Iterator[str]:
    if peers is None:  # anybody
        yield from pods
    for peer in peers or ():
        if "namespaceSelector" not in peer:
            yield from _selected(peer["podSelector"], pods)


def containers(workload: Json) -> list[Json]:
    """All of them, in the order of the manifest; those that prepare the pod first."""
    pod = workload["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod["containers"]]


def container(workload: Json) -> Json:
    """The only one."""
    (found,) = containers(workload)
    return found
