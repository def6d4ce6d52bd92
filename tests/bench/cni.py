# SPDX-License-Identifier: GPL-2.0-only
"""The CNI plugins bridge and portmap, as a container runtime calls them: the command in the environment, the
configuration on stdin, the result of each for the next one."""
import json
import os
import shutil
import tempfile

from bridge import WORDS
from contestant import FAMILY, Contestant
from topology import Netns

PLUGINS = "/usr/lib/cni"
COMMON = {"cniVersion": "1.0.0", "name": "bench"}


class Cni(Contestant):
    key, title = "cni", "CNI plugins"

    def __init__(self):
        super().__init__()
        self.addresses = tempfile.mkdtemp(prefix="bench-cni-")
        self.results, self.mappings = {}, {}

    def close(self):
        super().close()
        shutil.rmtree(self.addresses)

    def plugin(self, name, command, short, configuration, container=None):
        """A container of its own for each call of portmap: so ports can be added to an endpoint one after the other."""
        endpoint = self.host.name(short)
        words = {**os.environ, "CNI_COMMAND": command, "CNI_CONTAINERID": container or endpoint, "CNI_IFNAME": "eth0",
                 "CNI_NETNS": Netns(endpoint).path, "CNI_PATH": PLUGINS}
        done = self.host.run(f"{PLUGINS}/{name}", input=json.dumps({**COMMON, "type": name, **configuration}),
                             env=words, check=False)
        if done.returncode:
            raise AssertionError(f"CNI {name} {command}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout or "null")

    def bridge(self):
        return {"bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": {
            "type": "host-local", "dataDir": self.addresses, "ranges": [[{"subnet": WORDS["subnet"]}]],
            "routes": [{"dst": "::/0" if FAMILY.number == 6 else "0.0.0.0/0"}]}}

    def address(self, short):
        return self.results[short]["ips"][0]["address"].split("/")[0]

    def add(self, short):
        name = self.host.name(short)
        self.host.machine(short)
        os.makedirs(f"/etc/netns/{name}", exist_ok=True)
        with open(f"/etc/netns/{name}/resolv.conf", "w", encoding="utf-8") as file:
            file.write("nameserver 198.51.100.53\n")
        self.results[short] = self.plugin("bridge", "ADD", short, self.bridge())
        self.mappings[short] = []
        return Netns(name, self.host)

    def expose(self, short, first, last, proto):
        mapping = {
            "capabilities": {"portMappings": True}, "prevResult": self.results[short],
            "runtimeConfig": {"portMappings": [{"hostPort": port, "containerPort": port, "protocol": proto}
                                               for port in range(first, last + 1)]}}
        container = f"{self.host.name(short)}-{first}-{proto}"
        self.plugin("portmap", "ADD", short, mapping, container)
        self.mappings[short].append((container, mapping))

    def expose_singly(self, short, first, last):
        """portmap makes a rule for each port anyway."""
        self.expose(short, first, last, "tcp")

    def delete(self, short):
        for container, mapping in self.mappings.pop(short):
            self.plugin("portmap", "DEL", short, mapping, container)
        self.plugin("bridge", "DEL", short, {**self.bridge(), "prevResult": self.results.pop(short)})
        self.host.run("ip", "netns", "del", self.host.name(short))
        shutil.rmtree(f"/etc/netns/{self.host.name(short)}", ignore_errors=True)

    def down(self):
        for short in list(self.results):
            self.delete(short)
        self.host.ip("link", "del", "cni0")
        self.host.run(WORDS["iptables"], "-t", "nat", "-F")
        self.host.run(WORDS["iptables"], "-t", "nat", "-X")
        self.host.sysctl(WORDS["forward"], 0)
