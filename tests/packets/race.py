# SPDX-License-Identifier: GPL-2.0-only
"""Two CPUs with a packet each at the same moment.

Threads would wait for each other's turn in Python. So the second is a process, and both spin on shared memory until
the other one is ready, too.
"""
import mmap
import os
import struct
import time

import pytest

from bpf import inside

RESULT = struct.Struct("=iI4xQQ")  # verdict, length of the packet, when it ran
ROOM = 2048


class Lane:
    """What one CPU is to run, and has to say, in memory that both see."""

    def __init__(self, memory, mine, other):
        self.memory, self.mine, self.other = memory, mine, other

    def run(self, runs):
        for index, run in enumerate(runs):
            turn = index + 1
            struct.pack_into("=Q", self.memory, self.mine, turn)
            while struct.unpack_from("=Q", self.memory, self.other)[0] < turn:
                pass
            began = time.monotonic_ns()
            verdict = run()
            ended = time.monotonic_ns()
            offset = self._slot(index)
            RESULT.pack_into(self.memory, offset, verdict, len(run.packet), began, ended)
            self.memory[offset + RESULT.size:offset + RESULT.size + len(run.packet)] = run.packet

    def result(self, index):
        """(verdict, packet), and the time it took."""
        offset = self._slot(index)
        verdict, length, began, ended = RESULT.unpack_from(self.memory, offset)
        packet = self.memory[offset + RESULT.size:offset + RESULT.size + length]
        return (verdict, packet), (began, ended)

    def _slot(self, index):
        return self.mine + 64 + index * ROOM


def both_cpus(work):
    """work(0) here and work(1) in a process of its own, each on its own CPU."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("needs two CPUs")
    child = os.fork()
    if not child:
        status = 1
        try:
            os.sched_setaffinity(0, allowed[-1:])
            work(1)
            status = 0
        finally:
            os._exit(status)
    try:
        os.sched_setaffinity(0, allowed[:1])
        work(0)
    finally:
        os.sched_setaffinity(0, allowed)
    assert os.waitpid(child, 0)[1] == 0


def race(netns, pairs, meeting=True):
    """Runs both of each pair (see Program.prepare) at once; returns their results in pairs, (verdict, packet) each.

    Fails if the two never met, as then it would prove nothing; unless the caller sees that by the results.
    """
    size = 64 + len(pairs) * ROOM
    memory = mmap.mmap(-1, 2 * size)
    lanes = Lane(memory, 0, size), Lane(memory, size, 0)

    def work(cpu):
        with inside(netns):
            lanes[cpu].run([pair[cpu] for pair in pairs])

    both_cpus(work)
    results, met = [], 0
    for index in range(len(pairs)):
        (first, (began, ended)), (second, (began_too, ended_too)) = (lane.result(index) for lane in lanes)
        met += began < ended_too and began_too < ended
        results.append((first, second))
    assert met or not meeting, "the two never ran at the same time"
    return results
