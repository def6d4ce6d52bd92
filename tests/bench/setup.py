# SPDX-License-Identifier: GPL-2.0-only
"""The commands: how long they take, with little and with much that is there already, and how much memory."""
import memory
import scale_setup
import setup_times
from contestant import NsbpfClsact, NsbpfTcx


def _with_commands(bench):
    return [kind for kind in bench.classes if kind.has_commands]


def _with_much(bench):
    """A minute or two for each: nsbpf once, as it makes no difference here how its programs are attached."""
    return [kind for kind in _with_commands(bench) if kind is not NsbpfClsact or NsbpfTcx not in bench.classes]


def steps(bench):
    return bench.plan.setups * len(_with_commands(bench)) + len(_with_much(bench)) + 1


def _samples(names, kinds):
    return {name: {kind.key: [] for kind in kinds} for name in names}


def _note(samples, entrant, figures):
    for name, figure in figures.items():
        samples[name][entrant.key].append(figure)


def commands(bench):
    """On hosts of their own, because the first endpoint of a host is one of the steps."""
    kinds = _with_commands(bench)
    samples = _samples(setup_times.STEPS, kinds)
    with bench.entrants(kinds) as entrants:
        for entrant in entrants * bench.plan.setups:
            with bench.attempt(f"commands, {entrant.title}"):
                _note(samples, entrant, setup_times.setup_times(entrant))
    return samples


def once(bench, what, names, kinds, function):
    """Samples and remarks: a host each, which is gone before the next one comes."""
    samples, remarks = _samples(names, kinds), []
    for kind in kinds:
        with bench.attempt(f"{what}, {kind.title}"), bench.entrants([kind]) as (entrant,):
            figures = function(entrant, bench.plan.quick)
            remarks += figures.pop("remarks", [])
            _note(samples, entrant, figures)
    return samples, remarks


def setup(bench):
    bench.progress.milestone("commands")
    results = {"commands": commands(bench)}
    kinds = _with_much(bench)
    bench.progress.milestone("commands with much")
    results["much"], remarks = once(bench, "commands with much", scale_setup.STEPS, kinds, scale_setup.scale_setup)
    if remarks:
        results["remarks"] = remarks
    bench.progress.milestone("memory")
    results["memory"], _ = once(bench, "memory", memory.STEPS, [k for k in kinds if issubclass(k, NsbpfTcx)],
                                memory.memory)
    return results
