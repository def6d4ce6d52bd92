# SPDX-License-Identifier: GPL-2.0-only
"""Waiting on the NAT's clock, and what silence a flow outlives. Seconds are those of the NAT's time-outs."""
import time

HURRY = 16  # units of nsbpf's clock, instead of 954: a minute of its time-outs lasts a second
ATTEMPTS = 6
MARGIN = 0.5  # seconds of the NAT's clock that a probe may be late; a jiffy, which is its precision, is half of that
SPIN = 0.003  # seconds that sleep() may take too long


def wait(net, touched, seconds, timer):
    """Until a flow that was touched between those two moments has been silent for so long."""
    due = touched[1] + seconds * net.nat.second(timer)
    time.sleep(max(0.0, due - time.monotonic() - SPIN))
    while time.monotonic() < due:
        pass


def survives(net, begin, seconds, timer):
    """Whether the server's next packet still reaches the endpoint after so many seconds of silence.

    begin() makes the flow. An answer that was lost says nothing if it came late, while the flow's time was not
    up: this machine was busy, and it is tried again.
    """
    return lifetimes(net, begin, [seconds], timer)[seconds]


def lifetimes(net, begin, moments, timer):
    """survives() for several moments, in the time of the longest: {seconds: bool}. Each gets a flow of its own."""
    second, timeout = net.nat.second(timer), net.nat.timeout(timer)
    results = {}
    for _ in range(ATTEMPTS):
        flows = {moment: begin() for moment in sorted(set(moments) - set(results))}
        for moment, flow in flows.items():
            touched = flow.touched
            wait(net, touched, moment, timer)
            delivered = flow.back() is not None
            late = flow.tried[1] > touched[0] + (moment + MARGIN) * second
            if delivered or moment > timeout or not late:
                results[moment] = delivered
        if len(results) == len(set(moments)):
            return results
    raise AssertionError(f"too busy to be on time: {set(moments) - set(results)}")
