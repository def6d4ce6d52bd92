# SPDX-License-Identifier: GPL-2.0-only
"""For the tests of save, apply and diff: files, and what a host has to be like when they have been applied."""
import json

DRIFT = 5

# Names are the whole machine's: WEB stands for a unique one.
BUSY = """
settings: {timeout.udp: 10m, inbound-refresh: off}
uplinks: [up0]
networks:
  default: {subnet: 10.80.0.0/16, subnet6: "fd00:80::/64"}
  lab:
    subnet: 192.0.2.0/24
    subnet6: 2001:db8:80::/64
    gateway: [192.0.2.254, "2001:db8:80::fe"]
    isolate: off
    mtu: 1400
    filtering: endpoint-independent
  dmz: {mode: routed, subnet: 10.81.0.0/16, subnet6: "2001:db8:3::/64", masquerade: on, masquerade6: off}
endpoints:
  WEB:  # the first that takes what is free
    ports: ["8080:80", 5000-5010:6000/udp]
  DB:
    ip: [10.80.0.10, "fd00:80::a"]
    mac: "02:00:5e:10:00:01"
    mtu: 1400
    dns: [192.0.2.53, "2001:db8::53"]
    max-connections: 100
    ports:
      - ports: "[2001:db8:1::1]:5433:5432"
      - {ports: 5432/both, from: [198.51.100.64/26, "2001:db8:1:64::/64"]}
  PROBE: {network: lab, dns: none}
  MAIL: {network: dmz, ip: 10.81.0.25}
"""
NAMES = {"WEB": "web", "DB": "db", "PROBE": "probe", "MAIL": "mail"}


def named(host, text):
    """With the host's own names."""
    for placeholder, short in NAMES.items():
        text = text.replace(placeholder, host.name(short))
    return text


def unnamed(host):
    """What golden() is to put back."""
    return {host.name(short): placeholder for placeholder, short in NAMES.items()}


def apply(host, text, *options, verb="apply", **more):
    return host.nsbpf(verb, "-", *options, input=named(host, text), **more)


def changes(host, text, *options, verb="apply", **more):
    """The changes, and each as (sign, object, name, keys that differ), the name without the host's prefix."""
    found = json.loads(apply(host, text, "-j", *options, verb=verb, **more).stdout)
    assert found["changed"] == bool(found["changes"])
    return [(change["action"], change["object"],
             change["name"].removeprefix(host.prefix) + (f" {change['ports']}" if change["ports"] else ""),
             [one["key"] for one in change["differs"] or []]) for change in found["changes"]]


def state(host):
    """All that a file says, and some more, as the listings have it; without counters and what is the host's own."""
    settings = {setting["name"]: setting["value"] for setting in host.json("get")}
    counters = ("rx_", "tx_", "drops", "connections", "nat_ports", "device")
    endpoints = [{key: value for key, value in endpoint.items() if not key.startswith(counters)}
                 for endpoint in host.json("list")]
    return {"settings": settings, "endpoints": sorted(endpoints, key=lambda endpoint: endpoint["name"]),
            "ports": host.json("ports"), "uplinks": [uplink["named"] for uplink in host.json("uplink", "list")],
            "networks": sorted(host.json("network", "list"), key=lambda network: network["name"])}
