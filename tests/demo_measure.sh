# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What tests/demo looks at: packets on the wire, throughput, and the state of the host before and after.

listens() # NAMESPACE PORT
{
	[ -n "$(ip netns exec "$1" ss -Hltn "sport = :$2")" ]
}

# Keeps tcpdump's line about the next TCP SYN on a device.
capture() # NAMESPACE DEVICE
{
	ip netns exec "$1" tcpdump -Z root -tqnn -l -c 1 -i "$2" 'tcp[tcpflags] == tcp-syn' >"/run/$1.packet" 2>"/run/$1.log" &
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

# Bits per second of two seconds of TCP, one stream; nothing if it failed.
iperf() # SERVER CLIENT ADDRESS
{
	local server

	ip netns exec "$1" iperf3 -s -1 >/dev/null 2>&1 &
	server=$!
	wait_until listens "$1" 5201
	ip netns exec "$2" timeout 10 iperf3 -c "$3" -t 2 -J </dev/null |
		python3 -c 'import json, sys; print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]))' 2>/dev/null
	kill "$server" 2>/dev/null
	wait "$server"
}

row() # WHAT BITS
{
	awk -v what="$1" -v bits="${2:-0}" -v bare="${bare:-0}" \
		'BEGIN { printf "     %-46s %6.1f Gbit/s %7.2f\n", what, bits / 1e9, bare ? bits / bare : 0 }'
	quiet=yes check "iperf3: $1" test "${2:-0}" -gt 0
}

throughput()
{
	local bare

	step "Throughput: iperf3, one TCP stream for two seconds each"
	ip netns add bare1
	ip netns add bare2
	ip -n bare1 link add eth0 type veth peer name eth0 netns bare2
	for i in 1 2; do
		ip -n bare$i address add 192.0.2.$i/24 dev eth0
		ip -n bare$i link set eth0 up
	done
	show "nsbpf expose ns1 5201"
	printf '     %-46s %13s %7s\n' '' '' ratio
	bare=$(iperf bare1 bare2 192.0.2.1)
	row "bare veth between two namespaces" "$bare"
	row "ns2 to ns1" "$(iperf ns1 ns2 10.80.0.2)"
	row "ns1 to outside, masqueraded (two veth pairs)" "$(iperf outside ns1 203.0.113.2)"
	row "outside to ns1, exposed port (two veth pairs)" "$(iperf ns1 outside 198.51.100.1)"
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
