# SPDX-License-Identifier: GPL-2.0-only
"""The classic recipe, command by command as it is told everywhere: a bridge, ip_forward, and NAT by iptables or nft."""
import contextlib
import os

from contestant import FAMILY, Contestant
from topology import Netns

WORDS = {4: {"iptables": "iptables", "ip": "ip", "forward": "net.ipv4.ip_forward", "subnet": "10.90.0.0/16",
             "net": "10.90.", "length": "16"},
         6: {"iptables": "ip6tables", "ip": "ip6", "forward": "net.ipv6.conf.all.forwarding", "subnet": "fd90::/64",
             "net": "fd90::", "length": "64 nodad"}}[FAMILY.number]


def address(number):
    """The gateway has 1."""
    high, low = divmod(number, 256)
    return f"{WORDS['net']}{high}.{low}" if FAMILY.number == 4 else f"{WORDS['net']}{number:x}"


class Bridge(Contestant):
    """What both recipes have in common; the number of an endpoint is its place in the order of their adding."""

    START = """
        ip link add br0 type bridge
        ip address add {gateway}/{length} dev br0
        ip link set br0 up
        sysctl -q {forward}=1
        """
    ADD = """
        ip netns add $1
        ip link add v-$2 type veth peer name eth0 netns $1
        ip link set v-$2 master br0
        ip link set v-$2 up
        ip -n $1 link set lo up
        ip -n $1 address add $3/{length} dev eth0
        ip -n $1 link set eth0 up
        ip -n $1 route add default via {gateway}
        mkdir -p /etc/netns/$1
        echo nameserver 198.51.100.53 >/etc/netns/$1/resolv.conf
        """
    DELETE = """
        ip netns del $1
        rm -rf /etc/netns/$1
        ip link del v-$2 2>/dev/null || true # it goes with the namespace, but that may take a while
        """
    DOWN = """
        sysctl -q {forward}=0
        ip link del br0
        """

    def __init__(self):
        super().__init__()
        self.numbers = {}
        # Where br_netfilter is loaded, what crosses the bridge crosses netfilter too. The recipe doesn't ask for that.
        for call in ("iptables", "ip6tables"):
            with contextlib.suppress(AssertionError):
                self.host.sysctl(f"net.bridge.bridge-nf-call-{call}", 0)

    def address(self, short):
        return address(self.numbers[short])

    def script(self, script, *arguments):
        self.host.run("sh", "-ec", script.format(gateway=address(1), **WORDS), "sh", *arguments)

    def start(self):
        self.script(self.START + self.NAT)

    def add(self, short):
        self.numbers[short] = 2 + len(self.numbers)
        self.script(self.ADD, self.host.name(short), short, self.address(short))
        return Netns(self.host.name(short), self.host)

    def expose(self, short, first, last, proto):
        self.script(self.EXPOSE, proto, first, last, self.address(short))

    def expose_singly(self, short, first, last):
        """As EXPOSE does, but all of them at once: a process for each would take minutes."""
        rules = "".join(self.RULE.format(port=port, to=self.address(short), **WORDS) for port in range(first, last + 1))
        self.host.run(*self.RULES.format(**WORDS).split(), input=self.RULES_FORMAT.format(rules))

    def delete(self, short):
        self.script(self.DELETE, self.host.name(short), short)

    def down(self):
        for short in self.numbers:
            if os.path.exists(Netns(self.host.name(short)).path):
                self.delete(short)
        self.script(self.NO_NAT + self.DOWN)


class BridgeIptables(Bridge):
    key, title = "bridge", f"bridge+{WORDS['iptables']}"

    NAT = """
        {iptables} -P FORWARD ACCEPT
        {iptables} -t nat -A POSTROUTING -s {subnet} -o up0 -j MASQUERADE
        """
    EXPOSE = """
        {iptables} -t nat -A PREROUTING -p $1 -m addrtype --dst-type LOCAL --dport $2:$3 -j DNAT --to-destination $4
        """
    NO_NAT = "{iptables} -t nat -F"
    RULES, RULES_FORMAT = "{iptables}-restore --noflush", "*nat\n{}COMMIT\n"
    RULE = "-A PREROUTING -p tcp -m addrtype --dst-type LOCAL --dport {port} -j DNAT --to-destination {to}\n"


class BridgeNft(Bridge):
    key, title = "nft", "bridge+nftables"

    NAT = """
        nft add table {ip} nat
        nft 'add chain {ip} nat prerouting {{ type nat hook prerouting priority dstnat; }}'
        nft 'add chain {ip} nat postrouting {{ type nat hook postrouting priority srcnat; }}'
        nft add rule {ip} nat postrouting {ip} saddr {subnet} oifname up0 masquerade
        """
    EXPOSE = """
        nft add rule {ip} nat prerouting fib daddr type local $1 dport $2-$3 dnat to $4
        """
    NO_NAT = "nft delete table {ip} nat"
    RULES, RULES_FORMAT = "nft -f -", "{}"
    RULE = "add rule {ip} nat prerouting fib daddr type local tcp dport {port} dnat to {to}\n"
