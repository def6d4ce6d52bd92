# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What tests/demo looks at: packets on the wire, throughput, and the state of the host before and after.

listens() # NAMESPACE PORT
{
	[ -n "$(ip netns exec "$1" ss -Hltn "sport = :$2")" ]
}

# An endpoint's IPv6 address.
address6() # NAME
{
	nsbpf list -j | python3 -c 'import json, sys
print(next(e["addresses"][1] for e in json.load(sys.stdin) if e["name"] == sys.argv[1]))' "$1"
}

# Keeps tcpdump's line about the next TCP SYN on a device.
capture() # NAMESPACE DEVICE
{
	# In IPv6 tcpdump does not know where TCP begins; these packets have no extension headers.
	ip netns exec "$1" tcpdump -Z root -tqnn -l -c 1 -i "$2" 'tcp[tcpflags] == tcp-syn or (ip6[6] == 6 and ip6[53] == 2)' \
		>"/run/$1.packet" 2>"/run/$1.log" &
	captures+=($!)
	wait_until grep -q "listening on" "/run/$1.log"
}

# Shows a command, and the first packet of its connection: in NAMESPACE, and behind the host in OTHER.
watch() # COMMAND NAMESPACE OTHER
{
	local captures=() pid where

	capture ns1 eth0
	capture outside wan0
	show "$1"
	for pid in "${captures[@]}"; do
		wait_until is_over "$pid" || kill "$pid"
	done
	for where in "$2" "$3"; do
		say_output "$(printf "tcpdump in %-9s%s" "$where:" "$(cat "/run/$where.packet")")"
	done
}

is_over()
{
	! kill -0 "$1"
}

says_line() # NAMESPACE PATTERN
{
	# shellcheck disable=SC2053 # a pattern it is
	[[ $(cat "/run/$1.packet") == *$2 ]]
}

# Bits per second of a second of TCP, one stream; nothing if it failed.
iperf() # SERVER CLIENT ADDRESS
{
	local server

	ip netns exec "$1" iperf3 -s -1 >/dev/null 2>&1 &
	server=$!
	wait_until listens "$1" 5201
	ip netns exec "$2" timeout 10 iperf3 -c "$3" -t 1 -J </dev/null |
		python3 -c 'import json, sys; print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]))' 2>/dev/null
	kill "$server" 2>/dev/null
	wait "$server"
}

# One stream in each family, and its share of the bare wire's.
row() # WHAT SERVER CLIENT ADDRESS ADDRESS6
{
	local bits bits6

	bits=$(iperf "$2" "$3" "$4")
	bits6=$(iperf "$2" "$3" "$5")
	bare=${bare:-${bits:-0}} bare6=${bare6:-${bits6:-0}}
	awk -v what="$1" -v bits="${bits:-0}" -v bits6="${bits6:-0}" -v bare="$bare" -v bare6="$bare6" \
		'BEGIN { printf "     %-46s %6.1f %5.2f %8.1f %5.2f\n", what, bits / 1e9, bare ? bits / bare : 0,
		         bits6 / 1e9, bare6 ? bits6 / bare6 : 0 }'
	quiet=yes check "iperf3: $1" test "${bits:-0}" -gt 0
	quiet=yes check "iperf3: $1, IPv6" test "${bits6:-0}" -gt 0
}

throughput()
{
	local bare bare6

	step "Throughput: iperf3, one TCP stream for a second each"
	ip netns add bare1
	ip netns add bare2
	ip -n bare1 link add eth0 type veth peer name eth0 netns bare2
	for i in 1 2; do
		ip -n bare$i address add 192.0.2.$i/24 dev eth0
		ip -n bare$i address add 2001:db8:3::$i/64 dev eth0 nodad
		ip -n bare$i link set eth0 up
	done
	show "nsbpf expose ns1 5201"
	printf '     %-46s %12s %14s\n' 'Gbit/s, and the ratio to the bare veth' 'IPv4' 'IPv6'
	row "bare veth between two namespaces" bare1 bare2 192.0.2.1 2001:db8:3::1
	row "ns2 to ns1" ns1 ns2 10.80.0.2 "$ns1_6"
	row "ns1 to outside, masqueraded (two veth pairs)" outside ns1 203.0.113.2 2001:db8:2::2
	row "outside to ns1, exposed port (two veth pairs)" ns1 outside 198.51.100.1 2001:db8:1::1
	ip netns del bare1
	ip netns del bare2
}

# All that a command could leave behind on this host, as text.
what_is_here()
{
	local device

	ip -d -o link
	ip -o address
	ip route show table all
	ip rule
	ip neighbour show nud permanent
	tc qdisc
	for device in /sys/class/net/*; do
		tc filter show dev "${device##*/}" ingress
		tc filter show dev "${device##*/}" egress
	done
	nft list ruleset
	sysctl -a -r '^net\.ipv[46]\.'
	find /sys/fs/bpf /run/netns /run/nsbpf /run/lock /etc/netns | sort
} 2>&1

program_ids()
{
	find /sys/fs/bpf/nsbpf -path '*/programs/*' -type f -exec bpftool -j prog show pinned {} \; |
		sed 's/.*"id":\([0-9]*\).*/\1/'
}

are_gone() # IDS
{
	local id

	for id in $1; do
		! bpftool prog show id "$id" || return 1
	done
}

all_listed()
{
	says ns1 && says ns2 && says 5000 && says up0
}
