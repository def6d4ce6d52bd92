# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf save`: what runs as a file that `apply` makes the same of, on this host and on another."""
import json
import os

import config
import maps
import pytest
from golden import golden
from topology import Host


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        config.apply(host, config.BUSY)
        yield host


def test_nothing_runs(empty, tmp_path):
    golden("save-nothing", empty.nsbpf("save").stdout)
    assert empty.json("save") == {"settings": {}, "uplinks": [], "networks": {}, "endpoints": {}}
    path = tmp_path / "saved.yaml"
    empty.nsbpf("save", path)
    assert path.stat().st_mode & 0o777 == 0o644
    assert empty.nsbpf("apply", path, "--prune").stdout == "unchanged\n"
    assert empty.pin_directories() == [], "neither makes a host"


def test_text_and_json(busy):
    saved = busy.nsbpf("save").stdout
    golden("save", saved, config.unnamed(busy))
    assert busy.nsbpf("save", "-").stdout == saved
    found = busy.json("save")
    assert found["settings"] == {"timeout.udp": "600s", "inbound-refresh": "off"}
    assert found["uplinks"] == ["up0"]
    assert list(found["endpoints"]) == [entry["name"] for entry in busy.json("list")]
    assert found["endpoints"][busy.name("db")] == {
        "network": "default", "ip": ["10.80.0.10", "fd00:80::a"], "mac": "02:00:5e:10:00:01", "mtu": "1400",
        "max-connections": "100", "dns": ["192.0.2.53", "2001:db8::53"], "ports": [
            {"ports": "5432", "from": ["198.51.100.64/26", "2001:db8:1:64::/64"]}, "[2001:db8:1::1]:5433:5432",
            {"ports": "5432/udp", "from": ["198.51.100.64/26", "2001:db8:1:64::/64"]}]}
    assert found["endpoints"][busy.name("probe")]["dns"] == "none"


@pytest.mark.parametrize("options", [[], ["-j"]], ids=["yaml", "json"])
def test_nothing_differs_from_what_was_saved(busy, options):
    saved = busy.nsbpf("save", *options).stdout
    before = config.state(busy)
    assert busy.nsbpf("diff", "-", "--prune", input=saved).stdout == "unchanged\n"
    assert busy.nsbpf("apply", "-", "--prune", input=saved).stdout == "unchanged\n"
    assert config.state(busy) == before


def test_the_file(busy, tmp_path):
    path, link = tmp_path / "saved.yaml", tmp_path / "link.yaml"
    link.symlink_to(path)
    path.write_text("older\n", encoding="utf-8")
    path.chmod(0o640)
    assert busy.nsbpf("save", path).stdout == ""
    assert path.read_text(encoding="utf-8") == busy.nsbpf("save").stdout
    assert path.stat().st_mode & 0o777 == 0o640
    assert busy.nsbpf("save", path).stdout == "unchanged\n"
    assert json.loads(busy.nsbpf("-j", "save", path).stdout) == {"changed": False, "warning": None}
    path.write_text("older\n", encoding="utf-8")
    assert json.loads(busy.nsbpf("-j", "save", link).stdout) == {"changed": True, "warning": None}
    assert link.is_symlink() and path.read_text(encoding="utf-8").startswith("#")
    assert busy.nsbpf("save", "/dev/stdout").stdout == busy.nsbpf("save").stdout
    assert sorted(os.listdir(tmp_path)) == ["link.yaml", "saved.yaml"]


@pytest.mark.parametrize("path, cause", [("/nowhere/file.yaml", "No such file"), ("/proc/1", "Is a directory"),
                                         ("/dev/full", "No space left")])
def test_files_that_cannot_be_written(busy, path, cause):
    done = busy.nsbpf("save", path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1 and path in done.stderr and cause in done.stderr
    assert json.loads(busy.nsbpf("-j", "save", path, check=False).stderr)["error"]["code"] == 2


def test_bad_words(busy, tmp_path):
    for words in (["a", "b"], ["--frob"], [f"{tmp_path}/a", "--prune"]):
        assert busy.nsbpf("save", *words, check=False).returncode == 1
    assert os.listdir(tmp_path) == []


def test_damaged_host(host, tmp_path):
    host.add("web")
    pin = f"{host.pin_directories()[0]}/maps/networks"
    os.rename(pin, f"{pin}_gone")
    for command in (["save"], ["save", tmp_path / "saved.yaml"], ["diff", "-"], ["apply", "-"]):
        done = host.nsbpf(*command, check=False, input="{}")
        assert (done.returncode, done.stdout) == (2, "") and len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_incomplete_endpoints_are_left_out(host, tmp_path):
    """One that `add` was killed over."""
    host.add("web")
    host.add("db")
    record = bytearray(maps.raw(host, "endpoints", 1))
    record[6] = 1  # SLOT_INCOMPLETE
    maps.write(host, "endpoints", 1, record)
    done = host.nsbpf("save")
    assert host.name("web") not in done.stdout and host.name("db") in done.stdout
    assert done.stderr == "nsbpf: 1 endpoint is incomplete and left out (see `nsbpf list`)\n"
    warning = json.loads(host.nsbpf("-j", "save", tmp_path / "saved.yaml").stdout)["warning"]
    assert "1 endpoint is incomplete" in warning


def test_on_another_host(make_host):
    """All that there is to a host goes with the file."""
    first, second = make_host(), make_host()
    config.apply(first, config.BUSY)
    saved, state = first.nsbpf("save").stdout, config.state(first)
    first.nsbpf("down")
    second.nsbpf("apply", "-", input=saved)
    try:
        assert config.state(second) == state
        assert second.nsbpf("save").stdout == saved
    finally:
        second.nsbpf("down")
