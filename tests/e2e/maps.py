# SPDX-License-Identifier: GPL-2.0-only
"""A host's pinned maps, as bpftool shows them: values by the words of include/nsbpf/types.h, whatever their layout."""
import json

from topology import run


def path(host, name):
    return f"{host.pin_directories()[0]}/maps/{name}"


def words(index):
    return [f"{byte:#04x}" for byte in index.to_bytes(4, "little")]


def entry(host, name, index=0):
    """One value of an array."""
    shown = run("bpftool", "-j", "map", "lookup", "pinned", path(host, name), "key", *words(index)).stdout
    return json.loads(shown)["formatted"]["value"]


def raw(host, name, index=0):
    """The same as bytes."""
    shown = run("bpftool", "-j", "map", "lookup", "pinned", path(host, name), "key", *words(index)).stdout
    return bytes(int(byte, 16) for byte in json.loads(shown)["value"])


def values(host, name):
    return [shown["formatted"]["value"] for shown in
            json.loads(run("bpftool", "-j", "map", "dump", "pinned", path(host, name)).stdout)]


def size(host, name):
    """How many entries there is room for."""
    return json.loads(run("bpftool", "-j", "map", "show", "pinned", path(host, name)).stdout)["max_entries"]


def write(host, name, index, value):
    """One value of an array, as bytes."""
    run("bpftool", "map", "update", "pinned", path(host, name), "key", *words(index), "value",
        *[f"{byte:#04x}" for byte in value])
