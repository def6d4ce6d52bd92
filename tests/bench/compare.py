# SPDX-License-Identifier: GPL-2.0-only
"""Two builds of nsbpf: what a packet costs in the programs of each, taking turns; the ratio of the medians.

    sudo tests/bench/run compare BEFORE AFTER        absolute paths of two nsbpf
"""
import contextlib
import statistics
import sys

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


def main(before, after):
    with contextlib.ExitStack() as stack:
        builds = [Build(binary, stack) for binary in (before, after)]
        samples = {name: ([], []) for name in PROGRAMS}
        for _ in range(ROUNDS):
            for name, taken in samples.items():
                for build, values in zip(builds, taken):
                    values.append(build.programs.batch(name, RUNS.get(name, 2000)))
    print(f"{'ns, one packet':<28}{'before':>8}{'after':>8}{'ratio':>8}{'of rounds':>16}")
    for name, (old, new) in samples.items():
        ratios = sorted(b / a for a, b in zip(old, new))
        print(f"{PROGRAMS[name]:<28}{statistics.median(old):>8.0f}{statistics.median(new):>8.0f}"
              f"{statistics.median(new) / statistics.median(old):>8.2f}{f'{ratios[0]:.2f}–{ratios[-1]:.2f}':>16}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
