# SPDX-License-Identifier: GPL-2.0-only
"""`make install` and `make deb`: what they put where, that it runs, and that nothing of it stays.

The package is installed by dpkg itself, in a directory and with a copy of this machine's list of packages, so that its
dependencies are checked for what they are. Its scripts run on a private host.
"""
import gzip
import os
import re
import shutil

import pytest
from processes import run
from topology import TOP

MANUALS = sorted(name for name in os.listdir(f"{TOP}/docs") if name.endswith(".8"))
COMPLETIONS = ["share/bash-completion/completions/nsbpf", "share/fish/vendor_completions.d/nsbpf.fish",
               "share/zsh/site-functions/_nsbpf"]
INSTALLED = ["sbin/nsbpf", *COMPLETIONS, *(f"share/man/man8/{name}" for name in MANUALS)]


def files_below(directory):
    return sorted(os.path.relpath(os.path.join(at, name), directory)
                  for at, _, names in os.walk(directory) for name in names)


@pytest.fixture(scope="module")
def package():
    run("make", "-s", "-C", TOP, "deb")
    built = [name for name in os.listdir(f"{TOP}/build/deb") if name.endswith(".deb")]
    assert len(built) == 1
    return f"{TOP}/build/deb/{built[0]}"


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    root = str(tmp_path_factory.mktemp("unpacked"))
    run("dpkg-deb", "-R", package, root)
    return root


def test_install_and_uninstall(tmp_path):
    run("make", "-s", "-C", TOP, "install", f"DESTDIR={tmp_path}", "PREFIX=/opt/x")
    assert files_below(f"{tmp_path}/opt/x") == sorted(INSTALLED)
    assert run(f"{tmp_path}/opt/x/sbin/nsbpf", "version").stdout.startswith("nsbpf ")
    run("make", "-s", "-C", TOP, "uninstall", f"DESTDIR={tmp_path}", "PREFIX=/opt/x")
    assert files_below(tmp_path) == []


def test_contents(unpacked):
    usr = [f"usr/{name}.gz" if "/man/" in name else f"usr/{name}".replace("site-functions", "vendor-completions")
           for name in INSTALLED]
    documents = [f"usr/share/doc/nsbpf/{name}"
                 for name in ("README.md", "changelog.Debian.gz", "copyright", "examples/nsbpf.yaml", "json.md")]
    control = [f"DEBIAN/{name}" for name in ("control", "md5sums", "postinst", "postrm", "prerm")]
    assert files_below(unpacked) == sorted([*usr, *documents, *control, "lib/systemd/system/nsbpf.service"])
    for name in MANUALS:
        with gzip.open(f"{unpacked}/usr/share/man/man8/{name}.gz", "rt", encoding="utf-8") as page:
            assert ".TH NSBPF" in page.read()


def test_owners_and_modes(package):
    for line in run("dpkg-deb", "-c", package).stdout.splitlines():
        mode, owner, *_, path = line.split()
        runs = path.endswith("/") or path == "./usr/sbin/nsbpf"
        assert (mode[1:], owner) == ("rwxr-xr-x" if runs else "rw-r--r--", "root/root"), line


def test_depends_on_what_it_is_linked_with(package, unpacked):
    depends = run("dpkg-deb", "-f", package, "Depends").stdout
    needed = re.findall(r"NEEDED +(\S+)", run("objdump", "-p", f"{unpacked}/usr/sbin/nsbpf").stdout)
    assert "libbpf.so.1" in needed
    found = run("dpkg-query", "-S", *(f"*/{library}" for library in needed)).stdout
    for library in needed:
        owners = re.findall(rf"^([^:, ]+).*/{re.escape(library)}$", found, re.MULTILINE)
        assert any(re.search(rf"(^| ){re.escape(owner)}( |,|$)", depends.strip()) for owner in owners), library


def test_same_twice(package):
    with open(package, "rb") as file:
        first = file.read()
    run("make", "-s", "-C", TOP, "deb")
    with open(package, "rb") as file:
        assert file.read() == first


class Dpkg:
    """dpkg with a root and a list of packages of its own: that of this machine, but for their files."""

    def __init__(self, directory):
        self.root, self.admin = f"{directory}/root", f"{directory}/admin"
        for path in (self.root, f"{self.admin}/info", f"{self.admin}/updates", f"{self.admin}/triggers"):
            os.makedirs(path)
        shutil.copy("/var/lib/dpkg/status", self.admin)
        for line in run("dpkg-query", "-W", "-f", "${binary:Package} ${Package}\n").stdout.splitlines():
            for name in line.split():
                with open(f"{self.admin}/info/{name}.list", "w", encoding="utf-8"):
                    pass

    def __call__(self, *arguments, check=True):
        return run("dpkg", f"--root={self.root}", f"--admindir={self.admin}", "--force-script-chrootless",
                   f"--log={self.admin}/log", *arguments, check=check)


def test_installs_runs_and_goes(package, tmp_path, host):
    dpkg = Dpkg(tmp_path)
    dpkg("-i", package)
    nsbpf = f"{dpkg.root}/usr/sbin/nsbpf"
    assert dpkg("-V", "nsbpf").stdout == ""
    assert run(nsbpf, "version").stdout.startswith("nsbpf ")
    name = host.name("web")
    host.run(nsbpf, "add", name)
    assert name in host.run(nsbpf, "list").stdout
    host.run(nsbpf, "down")

    dpkg("-r", "nsbpf")
    assert files_below(dpkg.root) == []
    dpkg("-i", package)
    dpkg("-P", "nsbpf")
    assert dpkg("-s", "nsbpf", check=False).returncode == 1
    assert files_below(dpkg.root) == []


def test_scripts(unpacked, host):
    """Removing it ends what runs; an upgrade does not."""
    def script(name, *arguments):
        path = f"PATH={unpacked}/usr/sbin:{os.environ['PATH']}"
        return host.run("env", path, f"{unpacked}/DEBIAN/{name}", *arguments)

    host.add("web")
    script("postinst", "configure", "")
    script("prerm", "upgrade", "0.2.0-1")
    script("postrm", "upgrade", "0.2.0-1")
    assert len(host.json("list")) == 1
    script("prerm", "remove")
    assert host.json("list") == [] and not host.pin_directories()
    script("prerm", "remove")  # nothing runs: no error
    script("postrm", "remove")
    script("postrm", "purge")


def test_lintian(package):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    # It closes no bug because nobody asked Debian for it.
    out = run("lintian", "--allow-root", "--suppress-tags", "initial-upload-closes-no-bugs", package).stdout
    assert out == ""
