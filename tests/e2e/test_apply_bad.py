# SPDX-License-Identifier: GPL-2.0-only
"""Files that `apply` and `diff` refuse: the place and the key are named, and nothing is changed."""
import json

import config
import pytest
import snapshot
from topology import NSBPF, Host

USAGE, SYSTEM, MISSING, CONFLICT = 1, 2, 3, 4

# The file, where the error is, and what its text has to name.
BAD = {
    "no YAML": ("endpoints: [", "2:1", ["expected node"]),
    "a tab": ("endpoints:\n\tweb:", "2:1", ["token"]),
    "a list": ("- web", "1:1", ["key: value"]),
    "text": ("web", "1:1", ["key: value"]),
    "unknown section": ("endpoint: {}", "1:1", ["'endpoint'", "endpoints"]),
    "section twice": ("endpoints: {}\nendpoints: {}", "2:1", ["endpoints", "twice"]),
    "two documents": ("{}\n---\n{}", "3:1", ["document"]),
    "a list of endpoints": ("endpoints: [web]", "1:12", ["endpoints"]),
    "bad name": ("endpoints: {a/b: }", "1:13", ["a/b"]),
    "name too long": ("endpoints: {? " + "a" * 64 + "}", "1:15", ["a" * 64]),
    "a list for a name": ("endpoints: {[a]: }", "1:13", ["one value"]),
    "endpoint twice": ("endpoints:\n  web:\n  web:", "3:3", ["web", "twice"]),
    "unknown key": ("endpoints:\n  web: {ipv4: 10.80.0.2}", "2:9", ["endpoints.web", "'ipv4'", "max-connections"]),
    "merge key": ("endpoints:\n  a: &a {mtu: 1400}\n  b: {<<: *a}", "3:7", ["endpoints.b", "'<<'"]),
    "key twice": ("endpoints:\n  web: {mtu: 1400, mtu: 1500}", "2:20", ["mtu", "twice"]),
    "bad address": ("endpoints:\n  web:\n    ip: 10.80.0", "3:9", ["endpoints.web", "ip 10.80.0:"]),
    "two addresses": ("endpoints: {web: {ip: [10.80.0.2, 10.80.0.3]}}", "1:23", ["endpoints.web", "ip"]),
    "bad MAC": ("endpoints: {web: {mac: 1:2:3:4:5:6}}", "1:24", ["endpoints.web", "mac 1:2:3:4:5:6"]),
    "bad MTU": ("endpoints: {web: {mtu: 15_00}}", "1:24", ["mtu 15_00"]),
    "a mapping for a value": ("endpoints: {web: {mtu: {a: b}}}", "1:24", ["mtu"]),
    "a mapping in a list": ("endpoints: {web: {ip: [{a: b}]}}", "1:24", ["ip"]),
    "a long list": ("endpoints: {web: {dns: [" + "2001:db8::1," * 90 + "]}}", "1:1045", ["dns", "long"]),
    "nine resolvers": ("endpoints: {web: {dns: [" + "192.0.2.1," * 9 + "]}}", "1:24", ["dns", "8"]),
    "bad dns": ("endpoints: {web: {dns: [host, none]}}", "1:24", ["dns host,none"]),
    "bad limit": ("endpoints: {web: {max-connections: many}}", "1:36", ["max-connections many"]),
    "ports as text": ("endpoints: {web: {ports: 80}}", "1:26", ["endpoints.web", "list"]),
    "bad ports": ("endpoints:\n  web:\n    ports:\n    - 80-70", "4:7", ["endpoints.web", "80-70", "below"]),
    "ports missing": ("endpoints: {web: {ports: [{from: 192.0.2.1}]}}", "1:27", ["`ports` is missing"]),
    "unknown key of ports": ("endpoints: {web: {ports: [{ports: 80, to: 90}]}}", "1:39", ["'to'", "from"]),
    "bad source": ("endpoints: {web: {ports: [{ports: 80, from: [192.0.2.1/24]}]}}", "1:46", ["192.0.2.1/24"]),
    "source of the other family": (
        "endpoints: {web: {ports: [{ports: '192.0.2.1:80', from: '2001:db8::1'}]}}", "1:57", ["family"]),
    "ports twice": ("endpoints:\n  a: {ports: [80-90]}\n  b: {ports: [81]}", "3:15", ["endpoints.b", "80-90", "endpoint a"]),
    "ports of udp twice": ("endpoints: {a: {ports: [80/both, 80/udp]}}", "1:34", ["80/udp"]),
    "address twice": ("endpoints: {a: {ip: 10.80.0.2}, b: {ip: 10.80.0.2}}", "1:33", ["endpoints.b", "endpoint a"]),
    "address of no network": ("networks: {default: {subnet: 10.80.0.0/16}}\nendpoints: {a: {ip: 10.81.0.2}}", "2:13",
                              ["endpoints.a", "10.81.0.2", "10.80.0.0/16"]),
    "address of the gateway": ("networks: {default: {subnet: 10.1.0.0/16, gateway: 10.1.0.9}}\n"
                               "endpoints: {a: {ip: 10.1.0.9}}", "2:13", ["endpoints.a", "gateway"]),
    "unknown network": ("endpoints:\n  web: {network: nowhere}", "2:3", ["endpoints.web", "nowhere"]),
    "unknown key of a network": ("networks: {lab: {subnet4: 10.1.0.0/16}}", "1:18", ["networks.lab", "'subnet4'"]),
    "bad subnet": ("networks: {lab: {subnet: 10.1.0.0}}", "1:26", ["networks.lab", "subnet 10.1.0.0"]),
    "overlapping subnets": ("networks: {a: {subnet: 10.0.0.0/8}, b: {subnet: 10.1.0.0/16}}", "1:37", ["networks.b", "a"]),
    "gateway without subnet": ("networks: {lab: {gateway: 10.1.0.1}}", "1:12", ["gateway needs subnet"]),
    "routed without subnet": ("networks: {lab: {mode: routed}}", "1:12", ["mode routed needs subnet"]),
    "not masqueraded": ("networks: {lab: {masquerade: off}}", "1:12", ["masquerade off needs mode routed"]),
    "routed, but neither": ("networks: {lab: {mode: routed, subnet: 10.1.0.0/16, masquerade6: on}}", "1:12", ["routed"]),
    "masquerade6 as IPv4": ("networks: {lab: {masquerade6: 192.0.2.1}}", "1:31", ["masquerade6 192.0.2.1"]),
    "true": ("networks: {lab: {isolate: true}}", "1:27", ["isolate true", "on or off"]),
    "unknown setting": ("settings: {timeout.upd: 60}", "1:12", ["timeout.upd"]),
    "bad setting": ("settings: {timeout.udp: 0}", "1:25", ["timeout.udp 0", "a time"]),
    "a list of values": ("settings: {timeout.udp: [60]}", "1:25", ["timeout.udp"]),
    "uplinks as text": ("uplinks: up0", "1:10", ["list"]),
    "unknown uplink": ("uplinks: [up0, up1]", "1:16", ["up1"]),
    "uplink twice": ("uplinks: [up0, up0]", "1:16", ["up0", "twice"]),
    "uplink too long": ("uplinks: [abcdefghijklmnop]", "1:11", ["abcdefghijklmnop"]),
    "a NUL": ('uplinks: ["up0\\0"]', "1:11", ["NUL"]),
    "an alias of nothing": ("uplinks: *x", "1:10", ["alias"]),
}
CODES = {"unknown network": MISSING, "unknown uplink": MISSING, "address twice": CONFLICT, "ports twice": CONFLICT,
         "ports of udp twice": CONFLICT, "overlapping subnets": CONFLICT, "address of the gateway": CONFLICT}


@pytest.fixture(scope="module")
def ready():
    with Host() as host:
        config.apply(host, "endpoints: {WEB: {ports: [8080]}}")
        yield host


def refused(host, command, code, **more):
    done = host.nsbpf(*command, check=False, **more)
    assert done.returncode == code, done
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("nsbpf: "), done
    return done.stderr


def test_bad_files(empty):
    """On an empty host, which stays one."""
    wrong = []
    for name, (text, place, words) in BAD.items():
        error = refused(empty, ["apply", "-"], CODES.get(name, USAGE), input=text)
        if not error.startswith(f"nsbpf: stdin:{place}:") or [word for word in words if word not in error]:
            wrong.append(f"{name}: {place} {words} wanted, not {error}")
    assert wrong == []
    assert empty.pin_directories() == []


def test_nothing_is_changed(ready):
    """Not even what stands before the mistake, nor by --prune; and `diff` says the same."""
    before = snapshot.take(ready), config.state(ready)
    good = "settings: {timeout.udp: 600}\nnetworks: {lab: {subnet: 192.0.2.0/24}}\n"
    for bad in ("endpoints: {a: {mtu: 1}}", "endpoints: {a: {network: nowhere}}", "uplinks: [nowhere]",
                "endpoints: {a: {ip: 192.0.2.9}}", "endpoints: {a: {ports: [8080]}}"):
        errors = {refused(ready, command, CONFLICT if "8080" in bad else MISSING if "nowhere" in bad else USAGE,
                          input=good + bad)
                  for command in (["apply", "-"], ["apply", "--dry-run", "-"], ["diff", "-"])}
        assert len(errors) == 1
    for words in ("{a: {mtu: 1}}", "{a: {network: nowhere}}"):
        refused(ready, ["apply", "-", "--prune"], MISSING if "nowhere" in words else USAGE,
                input=f"{good}endpoints: {words}")
    assert snapshot.difference(before[0], snapshot.take(ready)) == [] and config.state(ready) == before[1]


def test_files_that_are_none(ready, tmp_path):
    empty, binary, large = tmp_path / "empty.yaml", tmp_path / "binary.yaml", tmp_path / "large.yaml"
    empty.write_text("# nothing but this\n", encoding="utf-8")
    binary.write_bytes(b"endpoints: \xff\xfe")
    large.write_text("# " + "x" * (17 << 20), encoding="utf-8")
    for path, code, words in ((empty, USAGE, "nothing in it"), (binary, USAGE, "byte 11"), (large, SYSTEM, "too large"),
                              (tmp_path, SYSTEM, "Is a directory"), ("/dev/zero", USAGE, "byte 0"),
                              ("/dev/null", USAGE, "nothing in it"), (tmp_path / "none.yaml", MISSING, "No such file")):
        for command in (["apply", path, "--prune"], ["diff", path]):
            error = refused(ready, command, code)
            assert str(path) in error and words in error, error
    assert len(ready.json("list")) == 1


def test_too_many(empty):
    """More than there is room for, and many aliases of one thing."""
    many = "endpoints: {" + ",".join(f"e{i}" for i in range(2048)) + "}"
    assert "2047" in refused(empty, ["diff", "-"], USAGE, input=many)
    keys = "networks: {" + ",".join(f"n{i}" for i in range(5000)) + "}"
    assert "4096" in refused(empty, ["diff", "-"], USAGE, input=keys)
    ports = "endpoints:\n e: &e {ports: [" + ",".join(map(str, range(1, 4000))) + "]}\n"
    aliases = ports + "".join(f" e{i}: *e\n" for i in range(10))
    assert "16384" in refused(empty, ["diff", "-"], USAGE, input=aliases)
    assert "x: *x" not in refused(empty, ["diff", "-"], USAGE, input="endpoints: &x {a: *x}")
    assert refused(empty, ["diff", "-"], USAGE, input="endpoints: " + "[" * 5000)


def test_bad_words(ready):
    for words in (["apply"], ["diff"], ["apply", "a", "b"], ["apply", "a", "--frob"], ["diff", "a", "--dry-run"],
                  ["apply", "a", "--prune=yes"]):
        refused(ready, words, USAGE)


def test_errors_as_json(ready):
    done = ready.nsbpf("-j", "apply", "-", input="endpoints: {a: {mtu: 1}}", check=False)
    assert (done.returncode, done.stdout) == (USAGE, "")
    error = json.loads(done.stderr)["error"]
    assert error["code"] == USAGE and error["text"].startswith("stdin:1:22: endpoints.a: mtu 1: ")


def test_only_root(ready, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("{}", encoding="utf-8")
    for verb in ("apply", "diff"):
        done = ready.run("setpriv", "--reuid", "65534", "--clear-groups", NSBPF, verb, "-", input="{}", check=False)
        assert (done.returncode, done.stderr) == (SYSTEM, "nsbpf: only root can do this\n")
