# SPDX-License-Identifier: GPL-2.0-only
"""What nsbpf takes of the machine's memory: its maps, as the kernel charges for them, and each command at its peak."""
import glob
import os

from bpf import obj_get
from contestant import TOOLS
from scale_setup import Step
from topology import NSBPF, bpffs_mounts

ROOM = 65536, 131072  # connections that there is room for; the first is the default
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


def size_of_maps(host, room):
    """Bytes of all pinned maps of a host that has room for so many connections."""
    host.nsbpf("set", "connections", room)
    # By their names, as bpffs may be mounted more than once.
    pins = {os.path.basename(path): path for mount in bpffs_mounts()
            for path in glob.glob(f"{mount}/nsbpf/{host.cookie:016x}/maps/*")}
    found = sum(map(memlock, pins.values()))
    host.nsbpf("down")
    return found


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
    usual, twice = (size_of_maps(host, room) for room in ROOM)
    found = {"maps": usual / 2**20, "connection": (twice - usual) / (ROOM[1] - ROOM[0]),
             "start": peak(host, "add", "e0"), **peaks(host)}
    for number in range(1, QUICK_ENDPOINTS if quick else ENDPOINTS):
        contestant.add(f"e{number}")
    return found | peaks(host, "_many")
