# SPDX-License-Identifier: GPL-2.0-only
"""What a run was made on."""
import os

from contestant import FAMILY
from processes import run


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        about = dict(line.split(":", 1) for line in cpuinfo.read().replace("\t", "").splitlines() if ":" in line)
    with open("/proc/meminfo", encoding="utf-8") as meminfo:
        memory = int(meminfo.readline().split()[1])
    return {
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "cpu": about.get("model name", "unknown").strip(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**20),
        "hypervisor": "hypervisor" in about.get("flags", "").split(),
        "iptables": run("iptables", "--version").stdout.strip(),
        "nft": run("nft", "--version").stdout.split(" (")[0].strip(),
        "iperf3": " ".join(run("iperf3", "--version").stdout.split()[:2]),
        "load_before": os.getloadavg()[0],
        "family": FAMILY.number,
    }


def describe(about):
    """One line."""
    return (f"Linux {about['kernel']} {about['machine']}, {about['cpus']} × {about['cpu']}"
            f"{' (virtual)' if about['hypervisor'] else ''}, {about['memory_gib']} GiB, {about['iptables']}, "
            f"{about['nft']}, {about['iperf3']}; traffic by IPv{about['family']}")


def stolen_share(before, after):
    """Of the time between two readings of cpu_times(), what the hypervisor kept for others."""
    spent = [b - a for a, b in zip(before, after)]
    return spent[7] / max(1, sum(spent))
