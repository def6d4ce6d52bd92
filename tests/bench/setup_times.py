# SPDX-License-Identifier: GPL-2.0-only
"""How long the operator's commands take, each from a shell's point of view: a process is started, and has ended."""
import time

STEPS = {
    "nothing": "(an empty command)",
    "first": "first endpoint of a host",
    "add": "one more endpoint",
    "expose": "expose a port",
    "delete": "delete an endpoint",
    "down": "remove all the rest",
}


def _timed(function, *arguments):
    start = time.monotonic()
    function(*arguments)
    return (time.monotonic() - start) * 1e3


def _first(contestant):
    contestant.start()
    contestant.add("a")


def setup_times(contestant):
    """Milliseconds of each step, once. The host has nothing before and nothing afterwards."""
    return {
        "nothing": _timed(contestant.host.run, "true"),
        "first": _timed(_first, contestant),
        "add": _timed(contestant.add, "b"),
        "expose": _timed(contestant.expose, "b", 5000, 5000, "tcp"),
        "delete": _timed(contestant.delete, "b"),
        "down": _timed(contestant.down),
    }
