"""A bridge of this machine, and a network namespace with an address for every pod."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network


def ip(*arguments: str) -> None:
    """One ``ip`` command (iproute2). Raises ``CalledProcessError`` with its words."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass(slots=True)
class PodNetwork:
    """The bridge ``name`` with the first address of ``subnet``; pods get the others.

    Nothing is routed further: pods reach each other and this machine, no one else.
    """

    name: str
    subnet: IPv4Network
    _free: Iterator[IPv4Address] = field(init=False)
    _pods: list[str] = field(default_factory=list)

    @property
    def gateway(self) -> str:
        """This machine's own address on the bridge."""
        return str(self.subnet[1])

    def create(self) -> None:
        """Make the bridge."""
        ip("link", "add", self.name, "type", "bridge")
        ip("addr", "add", f"{self.gateway}/{self.subnet.prefixlen}", "dev", self.name)
        ip("link", "set", self.name, "up")
        hosts = self.subnet.hosts()
        next(hosts)
        self._free = hosts

    def destroy(self) -> None:
        """Delete the bridge and the namespaces made here."""
        for namespace in list(self._pods):
            self.remove(namespace)
        ip("link", "del", self.name)

    def add(self, namespace: str) -> str:
        """A network namespace with loopback and one address; returns the address."""
        address = str(next(self._free))
        inside, outside = "eth0", f"v{address.replace('.', '')[-9:]}"
        ip("netns", "add", namespace)
        self._pods.append(namespace)
        ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", namespace)
        ip("link", "set", outside, "master", self.name, "up")
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "addr", "add", f"{address}/{self.subnet.prefixlen}", "dev", inside)
        ip("-n", namespace, "link", "set", inside, "up")
        return address

    def remove(self, namespace: str) -> None:
        """Delete a namespace; its end of the cable takes the other along."""
        self._pods.remove(namespace)
        ip("netns", "del", namespace)
