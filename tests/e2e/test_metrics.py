# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf metrics`: Prometheus text by its own grammar and by promtool, where that is installed; and the file."""
import json
import os
import re
import shutil
import stat

import pytest
from golden import golden
from topology import OUTSIDE_FAR, Host, run

USAGE, SYSTEM = 1, 2
SAMPLE = re.compile(r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>[^{}]*)\})? (?P<value>\d+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(text):
    """{family: {labels: value}}, every rule of the text format and of the naming practices kept."""
    assert text.endswith("\n")
    families, name, kind = {}, None, None
    lines = iter(text[:-1].split("\n"))
    for line in lines:
        if line.startswith("# HELP "):
            name, what = line[7:].split(" ", 1)
            assert what.endswith(".") and name.startswith("nsbpf_") and name not in families, "one group each"
            kind = re.fullmatch(rf"# TYPE {name} (counter|gauge)", next(lines)).group(1)
            assert (kind == "counter") == name.endswith("_total")
            families[name] = {}
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample and sample["name"] == name, line
        labels = tuple(LABEL.findall(sample["labels"] or ""))
        assert ",".join(f'{key}="{value}"' for key, value in labels) == (sample["labels"] or "")
        assert labels not in families[name] and {key for key, _ in labels} <= {"endpoint", "reason", "version"}
        families[name][labels] = int(sample["value"])
    assert all(families.values()), "no family without a sample"
    return families


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/24")
        host.a, host.b = host.add("a"), host.add("b.c-d_e", "--network", "lab")
        host.outside.udp_echo(7001)
        host.session = host.a.udp_session(OUTSIDE_FAR, 7001)
        assert host.session.ask()["data"] == "hello"
        host.a.ping(host.b.address, count=2, timeout=0.1)
        yield host


def test_text(busy):
    text = busy.nsbpf("metrics").stdout
    shown = re.sub('version="[^"]*"', 'version="VERSION"', re.sub(r" \d+$", " N", text, flags=re.M))
    # the other reasons are compared with those of `stats` below
    shown = re.sub(r'.*\{reason="(?!isolated").*\n', "", shown)
    golden("metrics", shown, {busy.a.name: "a", busy.b.name: "b.c-d_e"})
    families = parse(text)
    stats = busy.json("stats")
    a = (("endpoint", busy.a.name),)
    endpoint = stats["endpoints"][0]
    assert families["nsbpf_running"] == {(): 1}
    assert families["nsbpf_endpoint_up"] == {a: 1, (("endpoint", busy.b.name),): 1}
    assert families["nsbpf_connections"] == families["nsbpf_nat_ports"] == {(): 1}
    assert families["nsbpf_connections_limit"] == {(): 65536}
    assert families["nsbpf_endpoint_connections"][a] == families["nsbpf_endpoint_nat_ports"][a] == 1
    assert families["nsbpf_dropped_packets_total"] == {(("reason", reason),): count
                                                       for reason, count in stats["drops"].items()}
    assert families["nsbpf_dropped_packets_total"][(("reason", "isolated"),)] == 2
    for name, key in (("receive_packets", "rx_packets"), ("receive_bytes", "rx_bytes"),
                      ("transmit_packets", "tx_packets"), ("transmit_bytes", "tx_bytes"),
                      ("dropped_packets", "drops")):
        assert 0 < families[f"nsbpf_endpoint_{name}_total"][a] <= endpoint[key]


def test_json(busy):
    """The same families, all of them."""
    families = busy.json("metrics")
    from_text = parse(busy.nsbpf("metrics").stdout)
    assert [family["name"] for family in families] == list(from_text)
    for family in families:
        assert set(family) == {"name", "type", "help", "samples"}
        assert [tuple(sample["labels"].items()) for sample in family["samples"]] == list(from_text[family["name"]])


def test_promtool(busy):
    if not shutil.which("promtool"):
        pytest.skip("no promtool here (Debian: prometheus)")
    checked = run("promtool", "check", "metrics", input=busy.nsbpf("metrics").stdout, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_nothing_runs(make_host, tmp_path):
    host = make_host()
    families = parse(host.nsbpf("metrics").stdout)
    assert families["nsbpf_running"] == {(): 0} and "nsbpf_endpoint_up" not in families
    assert [family["samples"] for family in host.json("metrics") if family["name"] == "nsbpf_endpoint_up"] == [[]]
    host.nsbpf("metrics", "--textfile", tmp_path / "nsbpf.prom")
    assert parse((tmp_path / "nsbpf.prom").read_text())["nsbpf_running"] == {(): 0}
    assert host.pin_directories() == []


def test_textfile(busy, tmp_path):
    """It is replaced at once, whoever may read the directory may read it, and nothing else is left there."""
    path = tmp_path / "nsbpf.prom"
    path.write_text("old\n")
    path.chmod(0o600)
    with path.open() as reader:
        done = busy.nsbpf("metrics", "--textfile", path)
        assert reader.read() == "old\n", "a reader of the old one reads on"
    assert (done.stdout, done.stderr) == ("", "")
    assert set(parse(path.read_text())) == set(parse(busy.nsbpf("metrics").stdout))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert busy.json("metrics", "--textfile", path) == {"changed": True, "warning": None}
    assert os.listdir(tmp_path) == ["nsbpf.prom"]


def test_textfile_that_cannot_be(busy, tmp_path):
    (tmp_path / "directory").mkdir()
    for path, why in ((tmp_path / "directory", "not a plain file"), ("/dev/null", "not a plain file"),
                      (tmp_path / "no" / "x.prom", "No such file"), (tmp_path / ("n" * 250), "too long"),
                      ("/proc/nsbpf.prom", "")):
        done = busy.nsbpf("metrics", "--textfile", path, check=False)
        assert done.returncode == SYSTEM and not done.stdout
        assert done.stderr.count("\n") == 1 and why in done.stderr and str(path) in done.stderr
    failed = busy.nsbpf("-j", "metrics", "--textfile", tmp_path / "directory", check=False)
    assert json.loads(failed.stderr)["error"]["code"] == SYSTEM
    assert os.listdir(tmp_path) == ["directory"]
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_full_disk(busy, tmp_path):
    """The old file stays."""
    run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", tmp_path)
    try:
        path = tmp_path / "nsbpf.prom"
        path.write_text("old\n")
        done = busy.nsbpf("metrics", "--textfile", path, check=False)
        assert done.returncode == SYSTEM and "No space left" in done.stderr
        assert path.read_text() == "old\n" and os.listdir(tmp_path) == ["nsbpf.prom"]
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = busy.popen(*busy.nsbpf_command("metrics")[2:], stdout=full)
            assert done.wait(5) == SYSTEM
    finally:
        run("umount", tmp_path)


def test_broken(make_host):
    host = make_host()
    host.add("a")
    run("ip", "netns", "del", host.name("a"))
    assert parse(host.nsbpf("metrics").stdout)["nsbpf_endpoint_up"] == {(("endpoint", host.name("a")),): 0}
    os.unlink(f"{host.pin_directories()[0]}/maps/usage")
    done = host.nsbpf("metrics", check=False)
    assert done.returncode == SYSTEM and not done.stdout and done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["more"], ["--textfile"], ["--textfile", ""], ["--frob"],
                                   ["--textfile", "a", "--textfile", "b"]], ids=" ".join)
def test_bad_words(busy, words):
    done = busy.nsbpf("metrics", *words, check=False)
    assert done.returncode == USAGE and not done.stdout and done.stderr.count("\n") == 1
