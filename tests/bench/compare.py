# SPDX-License-Identifier: GPL-2.0-only
"""Two builds of nsbpf: what a packet costs in the programs of each, taking turns; the ratio of the medians.

    sudo tests/bench/run compare BEFORE AFTER        absolute paths of two nsbpf

IPv6 stands beside IPv4. A build without it leaves its columns empty.
"""
import contextlib
import sys
from statistics import median

import topology
from program_cost import PROGRAMS, Programs
from topology import Host

ROUNDS, RUNS = 11, {"new": 500}


class Build:
    def __init__(self, binary, stack):
        self.binary = topology.NSBPF = binary
        self.host = Host()
        stack.callback(self.close)
        self.host.add("a")
        self.programs = Programs(self.host)

    def close(self):
        self.programs.close()
        topology.NSBPF = self.binary
        self.host.close()


def measure(builds):
    """Row → the samples of each build; none where it lacks the family."""
    rows = [build.programs.rows() for build in builds]
    samples = {row: [[] for _ in builds] for row in rows[-1]}
    for _ in range(ROUNDS):
        for (name, family), taken in samples.items():
            for build, has, values in zip(builds, rows, taken):
                if (name, family) in has:
                    values.append(build.programs.batch(name, family, RUNS.get(name, 2000)))
    return samples


def show(title, old, new, new4):
    """One line: both builds and their ratio; of IPv6 its ratio to IPv4 in the new one."""
    cells = ["", f"{median(new):.0f}", "", "", f"{median(new) / median(new4):.2f}" if new is not new4 else ""]
    if old:
        ratios = sorted(b / a for a, b in zip(old, new))
        cells[0] = f"{median(old):.0f}"
        cells[2:4] = f"{median(new) / median(old):.2f}", f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
    line(title, *cells)


def line(title, *cells):
    print(f"{title:<34}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, (8, 8, 8, 16, 10))))


def main(before, after):
    with contextlib.ExitStack() as stack:
        samples = measure([Build(binary, stack) for binary in (before, after)])
    line("ns, one packet", "before", "after", "ratio", "of rounds", "to IPv4")
    for (name, family), (old, new) in samples.items():
        show(f"{PROGRAMS[name]}, IPv{family}", old, new, samples[name, 4][1])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
