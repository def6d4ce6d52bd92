# SPDX-License-Identifier: GPL-2.0-only
"""What a test compares to see that nothing changed, or that nothing was left behind.

take(host) is what is on a private host now, by category; difference(before, after) is empty, or one line per change.
BPF objects have no place in a namespace, so those are followed by their numbers: bpf_objects() while nsbpf runs, and
still_loaded() after `nsbpf down`. Other hosts on this machine may come and go meanwhile: nothing here looks at theirs.
"""
import json
import os
import re
import time

from topology import ETC_NETNS, NETNS_DIR, mine, run, wait_for

SYSCTLS_OF_BPF = ("/proc/sys/kernel/bpf_stats_enabled", "/proc/sys/kernel/unprivileged_bpf_disabled")
SYSCTL_NAME = str.maketrans("/.", "./")
RESTLESS = ("net.netfilter.nf_conntrack_count", "net.core.bpf_jit_current")  # these count or age by themselves


def take(host):
    """Reads only; about a tenth of a second."""
    return {
        "links": _links(host),
        "addresses": ageless(host.ip("-o", "address")),
        "routes": ageless(host.ip("route", "show", "table", "all") + host.ip("-6", "route", "show", "table", "all")),
        "rules": host.ip("rule").splitlines() + host.ip("-6", "rule").splitlines(),
        "neighbours": host.ip("neighbour", "show", "nud", "permanent").splitlines(),
        "proxy": host.ip("neighbour", "show", "proxy").splitlines(),
        "qdiscs": run("tc", "-n", host.netns, "qdisc").stdout.splitlines(),
        "filters": _filters(host),
        "groups": _groups(host),
        "sysctls": sysctls(host),
        "netns": mine(NETNS_DIR, host.prefix),
        "etc": sorted(_tree(ETC_NETNS, mine(ETC_NETNS, host.prefix))),
        "pins": [path for directory in host.pin_directories() for path in [directory, *_below(directory)]],
        "run": run_files(host),
    }


def difference(before, after, *leave_out):
    changes = []
    for category, old in before.items():
        if category in leave_out:
            continue
        new = after[category]
        changes += [f"{category}: gone: {line}" for line in old if line not in new]
        changes += [f"{category}: new: {line}" for line in new if line not in old]
    return changes


def bpf_objects(host):
    """The programs, maps and links that the host's pins hold, and what those hold: {("map", 7), ("prog", 9), ...}."""
    directories = tuple(f"{directory}/" for directory in host.pin_directories())
    found = set()
    for kind, shown in _loaded("-f"):
        if any(path.startswith(directories) for path in shown.get("pinned", [])):
            found.add((kind, shown["id"]))
            found |= {("map", number) for number in shown.get("map_ids", [])}
            if "prog_id" in shown:
                found.add(("prog", shown["prog_id"]))
    return found


def still_loaded(objects):
    """Those that are still there after a second: the kernel frees them when all CPUs have left them."""
    end = time.monotonic() + 1
    left = objects
    while left and time.monotonic() < end:
        left = objects & {(kind, shown["id"]) for kind, shown in _loaded("-n")}
    return left


def _loaded(option):
    for kind in ("map", "prog", "link"):
        for shown in json.loads(wait_for(lambda: _list(option, kind))):
            yield kind, shown


def _list(option, kind):
    """Nothing if somebody else's object came or went meanwhile: bpftool then gives up in the middle."""
    done = run("bpftool", option, "-j", kind, "show", check=False)
    return None if done.returncode else done.stdout


def sysctls(netns):
    """As sysctl(8) shows them, in a fraction of its time: "net.ipv4.ip_forward = 0"."""
    shown = netns.run("grep", "-rs", "", "/proc/sys/net", *SYSCTLS_OF_BPF, check=False).stdout
    settings = (line.removeprefix("/proc/sys/").split(":", 1) for line in shown.splitlines())
    lines = (f"{path.translate(SYSCTL_NAME)} = {value}" for path, value in settings)
    return sorted(line for line in lines if not line.startswith(RESTLESS))


def run_files(host):
    """Files outside bpffs that carry the host's cookie or name (locks, say)."""
    cookie = f"{host.cookie:x}"
    return sorted(path for top in ("/run/nsbpf", "/run/lock/nsbpf", "/var/lib/nsbpf") for path in _below(top)
                  if cookie in path or host.prefix in path)


def ageless(shown):
    """Lines of ip(8), less how long what routers advertised is still good for."""
    return re.sub(r"(expires|valid_lft|preferred_lft) \d+sec", r"\1 later", shown).splitlines()


def _groups(host):
    """The IPv6 multicast groups and anycast addresses of each device: forwarding on a device adds to both."""
    shown = host.run("cat", "/proc/net/igmp6", "/proc/net/anycast6", check=False).stdout
    return [" ".join(line.split()[1:3]) for line in shown.splitlines()]


def _links(host):
    """Devices by what nsbpf could change in them; counters and the state of the other end left out."""
    keys = ("ifindex", "ifname", "mtu", "address", "ifalias", "qdisc", "group", "link_netnsid", "master", "xdp",
            "inet6_addr_gen_mode", "gso_max_size", "promiscuity", "allmulti")
    return [json.dumps({key: link.get(key) for key in keys} | {"up": "UP" in link["flags"]})
            for link in host.ip_json("-d", "link")]


def _filters(host):
    lines = []
    for device in re.findall(r"qdisc (?:clsact|ingress) .* dev (\S+)", run("tc", "-n", host.netns, "qdisc").stdout):
        for where in ("ingress", "egress"):
            shown = run("tc", "-n", host.netns, "filter", "show", "dev", device, where, check=False).stdout
            lines += [f"{device} {where}: {line}" for line in shown.splitlines()]
    return lines


def _below(directory):
    return sorted(os.path.join(parent, name) for parent, folders, files in os.walk(directory)
                  for name in folders + files)


def _tree(directory, names):
    for name in names:
        yield name
        yield from _below(f"{directory}/{name}")
