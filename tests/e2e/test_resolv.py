# SPDX-License-Identifier: GPL-2.0-only
"""/etc/netns/NAME/resolv.conf: the host's real upstream resolvers, never one that only the host itself can reach."""
import os

import pytest
from topology import ETC_NETNS, run

SYSTEMD = "/run/systemd/resolve/resolv.conf"
NETWORK_MANAGER = "/run/NetworkManager/resolv.conf"


@pytest.fixture
def files(private, tmp_path):
    """A function that puts texts over files of this mount namespace; all is as before after the test."""
    mounted = []

    def cover(directory):
        os.makedirs(directory, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
        mounted.append(directory)

    def put(**texts):
        for path, text in texts.items():
            path = {"etc": "/etc/resolv.conf", "systemd": SYSTEMD, "networkmanager": NETWORK_MANAGER}[path]
            if path.startswith("/run/"):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                continue
            source = tmp_path / "resolv.conf"
            source.write_text(text, encoding="utf-8")
            run("mount", "--bind", source, os.path.realpath(path))
            mounted.append(os.path.realpath(path))

    made = [directory for directory in ("/run/systemd", "/run/NetworkManager") if not os.path.exists(directory)]
    for directory in ("/run/systemd", "/run/NetworkManager", "/run/resolvconf", "/var/run/dnsmasq"):
        if os.path.exists(directory) or directory in made:
            cover(directory)
    os.mkdir("/run/systemd/resolve")
    yield put
    for path in reversed(mounted):
        run("umount", path)
    for directory in made:
        os.rmdir(directory)


def written(ns):
    """The file's lines by keyword: {"nameserver": ["192.0.2.53", ...], "search": [...], ...}."""
    lines = {}
    with open(ns.resolv_conf, encoding="utf-8") as resolv_conf:
        for line in resolv_conf:
            if line.strip() and not line.startswith("#"):
                keyword, *rest = line.split()
                lines.setdefault(keyword, []).extend(rest)
    return lines


def said(host, *options):
    """What `add` says about DNS."""
    return host.nsbpf("add", host.name("a"), *options).stdout.rstrip("\n").split(", dns ")[1]


@pytest.mark.parametrize("loopback", ["127.0.0.53", "127.0.0.1", "127.0.1.1", "::1"])
def test_pitfall_moby_6388_resolver_on_loopback(host, files, loopback):
    files(etc=f"nameserver {loopback}\noptions edns0 trust-ad\nsearch example.org\n",
          systemd="# real ones\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.net\n")
    assert said(host).replace(",", " ").split() == ["192.0.2.53", "192.0.2.54"]
    assert written(host.endpoint("a"))["nameserver"] == ["192.0.2.53", "192.0.2.54"]


def test_network_manager_s_file(host, files):
    files(etc="nameserver 127.0.0.1\n", networkmanager="nameserver 192.0.2.60\n")
    assert "192.0.2.60" in said(host)
    assert written(host.endpoint("a"))["nameserver"] == ["192.0.2.60"]


def test_file_behind_it_that_names_loopback_too_is_passed_over(host, files):
    files(etc="nameserver 127.0.0.53\n", systemd="nameserver 127.0.0.1\n", networkmanager="nameserver 192.0.2.60\n")
    assert "192.0.2.60" in said(host)


def test_real_resolvers_are_copied_with_search_and_options(host, files):
    files(etc="nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org example.net\noptions ndots:2\n",
          systemd="nameserver 192.0.2.99\n")
    assert "192.0.2.53" in said(host)
    assert written(host.endpoint("a")) == {"nameserver": ["192.0.2.53", "2001:db8::53"],
                                           "search": ["example.org", "example.net"], "options": ["ndots:2"]}


def test_loopback_beside_a_real_one_is_left_out(host, files):
    files(etc="nameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n")
    assert "192.0.2.53" in said(host)
    assert written(host.endpoint("a"))["nameserver"] == ["192.0.2.53"]


@pytest.mark.parametrize("text", ["", "nameserver 127.0.0.53\n", "# nothing\nnameserver\nnameserver nonsense\n"])
def test_none_known_is_said(host, files, text):
    files(etc=text)
    assert said(host) == "none known"
    ns = host.endpoint("a")
    assert not os.path.exists(ns.resolv_conf) or "nameserver" not in written(ns)


def test_under_ip_netns_exec_the_hosts_own_resolv_conf_counts(host):
    """/etc/netns/HOST/resolv.conf is what this host's processes see as /etc/resolv.conf."""
    directory = f"{ETC_NETNS}/{host.netns}"
    os.makedirs(directory)
    with open(f"{directory}/resolv.conf", "w", encoding="utf-8") as resolv_conf:
        resolv_conf.write("nameserver 192.0.2.61\n")
    done = host.nsbpf("add", host.name("a"), via="exec")
    assert "dns 192.0.2.61" in done.stdout
    ns = host.endpoint("a")
    assert written(ns)["nameserver"] == ["192.0.2.61"]
    assert "192.0.2.61" in host.nsbpf("exec", ns.name, "cat", "/etc/resolv.conf").stdout
    assert "192.0.2.61" in ns.run("cat", "/etc/resolv.conf", via="exec").stdout


@pytest.mark.families("both")
def test_dns_given(host):
    servers = ["192.0.2.70", "2001:db8::71"]
    assert said(host, "--dns", "192.0.2.70,2001:db8::71").replace(",", " ").split() == servers
    ns = host.endpoint("a")
    assert written(ns) == {"nameserver": servers}
    assert os.stat(ns.resolv_conf).st_mode & 0o777 == 0o644
    host.nsbpf("del", ns.name)
    assert not os.path.exists(f"{ETC_NETNS}/{ns.name}")


def test_dns_none(host):
    host.nsbpf("add", host.name("a"), "--dns", "none")
    assert not os.path.exists(f"{ETC_NETNS}/{host.name('a')}")


def test_dns_host(host, files):
    files(etc="nameserver 192.0.2.53\n")
    assert "192.0.2.53" in said(host, "--dns", "host")
    assert written(host.endpoint("a"))["nameserver"] == ["192.0.2.53"]


def test_file_of_the_operator_is_kept(host):
    directory = f"{ETC_NETNS}/{host.name('a')}"
    os.makedirs(directory)
    with open(f"{directory}/resolv.conf", "w", encoding="utf-8") as resolv_conf:
        resolv_conf.write("nameserver 192.0.2.80\n")
    assert said(host) == f"as in {directory}/resolv.conf"
    host.nsbpf("del", host.name("a"))
    with open(f"{directory}/resolv.conf", encoding="utf-8") as resolv_conf:
        assert resolv_conf.read() == "nameserver 192.0.2.80\n"


@pytest.mark.parametrize("dns", ["", "nonsense", "192.0.2.300", "192.0.2.1,", ",192.0.2.1", "192.0.2.1 192.0.2.2",
                                 "192.0.2.1,none", "192.0.2.1/32"])
def test_bad_dns(host, dns):
    failed = host.nsbpf("add", host.name("a"), "--dns", dns, check=False)
    assert failed.returncode == 1 and len(failed.stderr.splitlines()) == 1
    assert host.json("list") == []
    assert not os.path.exists(f"{ETC_NETNS}/{host.name('a')}")
