# SPDX-License-Identifier: GPL-2.0-only
"""Two builds of nsbpf: what a packet costs in the programs of each, taking turns; the ratio of the medians.

    sudo tests/bench/run compare BEFORE AFTER        absolute paths of two nsbpf

Where the kernel puts a program and its maps costs or saves some 15 ns a packet, the empty program's too. So each build
has several hosts, each with programs of its own; the figure is the median of theirs, beside the least and the most.
IPv6 stands beside IPv4. A build without it leaves its columns empty.
"""
import contextlib
import os
import sys
from statistics import median

import topology
from program_cost import EXPOSED, PROGRAMS, Programs
from topology import Host

HOSTS, ROUNDS, RUNS = 8, 7, {"new": 300}


def add_host(binary, stack):
    topology.NSBPF = binary
    host = Host()
    stack.callback(close, host, binary)
    host.add("a")
    host.add("b")
    host.nsbpf("expose", host.name("b"), f"{EXPOSED}/udp")
    programs = Programs(host)
    stack.callback(programs.close)
    return programs


def close(host, binary):
    topology.NSBPF = binary
    host.close()


def measure(builds):
    """Row → for each build the median of each of its hosts; none where it lacks the family."""
    rows = [hosts[0].rows() for hosts in builds]
    samples = {row: [[[] for _ in hosts] for hosts in builds] for row in rows[-1]}
    for _ in range(ROUNDS):
        for (name, family), taken in samples.items():
            for turn in range(HOSTS):
                for hosts, has, values in zip(builds, rows, taken):
                    if (name, family) in has:
                        values[turn].append(hosts[turn].batch(name, family, RUNS.get(name, 1000)))
    return {row: [[median(host) for host in hosts if host] for hosts in taken] for row, taken in samples.items()}


def show(title, old, new, new4):
    """One line: both builds and their ratio; of IPv6 its ratio to IPv4 in the new one."""
    ratio = f"{median(new) / median(old):.2f}" if old else ""
    to_ipv4 = f"{median(new) / median(new4):.2f}" if new is not new4 else ""
    line(title, span(old), span(new), ratio, to_ipv4)


def span(hosts):
    return f"{median(hosts):.0f} ({min(hosts):.0f}–{max(hosts):.0f})" if hosts else ""


def line(title, *cells):
    print(f"{title:<40}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, (17, 17, 8, 10))))


def main(before, after):
    with contextlib.ExitStack() as stack:
        builds = [[], []]
        for _ in range(HOSTS):
            for hosts, binary in zip(builds, (before, after)):
                hosts.append(add_host(os.path.abspath(binary), stack))
        samples = measure(builds)
    line("ns, one packet (of the hosts)", "before", "after", "ratio", "to IPv4")
    for (name, family), (old, new) in samples.items():
        show(f"{PROGRAMS[name]}, IPv{family}", old, new, samples[name, 4][1])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: sudo tests/bench/run compare BEFORE AFTER")
    main(*sys.argv[1:])
