# SPDX-License-Identifier: GPL-2.0-only
"""What nsbpf takes of the machine's memory: its maps, as the kernel charges for them, and each command at its peak."""
import glob
import os

from bpf import obj_get
from contestant import TOOLS
from scale_setup import Step
from topology import NSBPF, bpffs_mounts

# The maps that have room for so and so many connections. Others don't grow with that number.
PER_CONNECTION = ("connections", "index", "nat_ports", "deadlines", "timed")
ENDPOINTS, QUICK_ENDPOINTS = 1000, 50

VERBS = {
    "version": ("version",),
    "status": (),
    "list": ("list",),
    "expose": ("expose", "e0", "8080:80"),
    "ports": ("ports",),
    "unexpose": ("unexpose", "e0", "8080:80"),
    "add": ("add", "last"),
    "delete": ("del", "last"),
}

STEPS = {
    "maps": Step("all maps of a host", "MiB"),
    "connection": Step("maps, for each connection", "bytes"),
    "start": Step("first add, loads the programs", "MiB"),
    **{verb: Step(" ".join(["nsbpf", *words[:1]]), "MiB") for verb, words in VERBS.items()},
    **{f"{verb}_many": Step(" ".join(["nsbpf", *words[:1]]) + ", 1,000 endpoints", "MiB")
       for verb, words in VERBS.items()},
}


def map_sizes(host):
    """Bytes of each pinned map."""
    paths = next(found for found in (glob.glob(f"{mount}/nsbpf/{host.cookie:016x}/maps/*") for mount in bpffs_mounts())
                 if found)
    return {os.path.basename(path): memlock(path) for path in paths}


def memlock(path):
    fd = obj_get(path)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="utf-8") as info:
            return next(int(line.split()[1]) for line in info if line.startswith("memlock:"))
    finally:
        os.close(fd)


def peak(host, *words):
    """MiB that `nsbpf` with these words takes. The second one is an endpoint's short name."""
    words = [*words[:1], *map(host.name, words[1:2]), *words[2:]]
    return int(host.run(f"{TOOLS}/peak", NSBPF, *words, env=host.environment()).stdout) / 1024


def peaks(host, suffix=""):
    return {verb + suffix: peak(host, *words) for verb, words in VERBS.items()}


def memory(contestant, quick=False):
    """A figure for each step. The host has nothing before."""
    host = contestant.host
    found = {"start": peak(host, "add", "e0")}
    sizes = map_sizes(host)
    capacity = host.json()["connections"]["max"]
    found["maps"] = sum(sizes.values()) / 2**20
    found["connection"] = sum(sizes.get(name, 0) for name in PER_CONNECTION) / capacity
    found |= peaks(host)
    for number in range(1, QUICK_ENDPOINTS if quick else ENDPOINTS):
        contestant.add(f"e{number}")
    return found | peaks(host, "_many")
