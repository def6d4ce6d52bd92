# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The stage of tests/demo: a private machine to show things on, and how a command is shown and its outcome checked.

# Mount, PID and network namespaces of its own: whatever the demo makes ends with it, even if it is killed.
go_private()
{
	[ "$$ ${NSBPF_DEMO_PRIVATE-}" = "1 yes" ] && return
	if [ "$(id -u)" != 0 ]; then
		echo "demo: only root can do this (sudo make demo)" >&2
		exit 1
	fi
	exec unshare --mount --pid --net --fork --kill-child --mount-proc env NSBPF_DEMO_PRIVATE=yes "$0" "$@"
}

# The machine's /run, /etc and bpffs give way to empty ones, or a copy. Only out of sight would not do for /run/netns:
# our copy of such a mount keeps a namespace alive that somebody else deletes.
build_machine()
{
	umount -R -l /run/netns 2>/dev/null || true
	while umount -l /sys/fs/bpf 2>/dev/null; do :; done
	mount -t tmpfs -o mode=755 demo /run
	mount -t bpf -o mode=700 demo /sys/fs/bpf
	mkdir /run/etc /run/www
	mount -t tmpfs -o mode=755 demo /run/etc
	cp -a /etc/. /run/etc
	rm -rf /run/etc/netns /run/etc/resolv.conf
	echo "nameserver 198.51.100.53" >/run/etc/resolv.conf
	# There is no such server, and http.server looks the machine's name up before it listens.
	echo "127.0.0.1 localhost $(uname -n)" >/run/etc/hosts
	mount --move /run/etc /etc
	rmdir /run/etc
}

# This network namespace is the host.
build_network()
{
	ip netns add outside
	ip link add up0 type veth peer name wan0 netns outside
	ip link set lo up
	ip link set up0 addrgenmode none up
	ip -n outside link set lo up
	ip -n outside link set wan0 addrgenmode none up
	ip address add 198.51.100.1/24 dev up0
	ip address add 2001:db8:1::1/64 dev up0 nodad
	ip address add fe80::1/64 dev up0 nodad
	ip -n outside address add 198.51.100.2/24 dev wan0
	ip -n outside address add 2001:db8:1::2/64 dev wan0 nodad
	ip -n outside address add fe80::2/64 dev wan0 nodad
	ip -n outside address add 203.0.113.2/32 dev lo
	ip -n outside address add 2001:db8:2::2/128 dev lo
	ip route add default via 198.51.100.2
	ip route add default via fe80::2 dev up0
	# a new namespace may have the machine's settings
	sysctl -q net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
}

# What the steps type is `nsbpf`, whichever file it is.
install_nsbpf() # FILE
{
	mkdir /run/bin
	ln -s "$(realpath "$1")" /run/bin/nsbpf
	PATH=/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	nsbpf version >/dev/null
}

serve_pages()
{
	mkdir /run/outside /run/ns1
	echo "hello from outside" >/run/outside/index.html
	echo "hello from ns1" >/run/ns1/index.html
	ip netns exec outside python3 -m http.server --bind :: 80 --directory /run/outside >/dev/null 2>&1 &
	wait_until listens outside 80
	cd /run/ns1 || exit
}

colours()
{
	bold='' green='' red='' dim='' plain=''
	[ -t 1 ] && [ -z "${NO_COLOR-}" ] && [ "${TERM-dumb}" != dumb ] || return 0
	bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
}

steps=0 passed=0 failed=0

step()
{
	printf '\n%s%d. %s%s\n' "$bold" $((++steps)) "$*" "$plain"
}

say_command()
{
	printf '   %s# %s%s\n' "$bold" "$*" "$plain"
}

say_output()
{
	[ -z "$1" ] || printf '%s\n' "$1" | sed 's/^./     &/'
}

# Runs a command line as it is typed. What came of it is in $output and $status.
show()
{
	say_command "$1"
	status=0
	output=$(eval "$1" 2>&1 </dev/null) || status=$?
	say_output "$output"
	[ "$status" = 0 ] || check "exit code $status" false
}

# For a command that is to print nothing.
show_none() # COMMAND WHAT
{
	say_command "$1"
	output=$(eval "$1" 2>&1 </dev/null)
	say_output "${output:-$dim(nothing)$plain}"
	check "$2" test -z "$output"
}

# check WHAT COMMAND...: the command, usually a test, tells whether it is so.
check()
{
	if "${@:2}"; then
		passed=$((passed + 1))
		[ -n "${quiet-}" ] || printf '   %sok%s  %s\n' "$green" "$plain" "$1"
	else
		failed=$((failed + 1))
		printf '   %sFAILED%s  %s\n' "$red" "$plain" "$1"
	fi
}

says()
{
	[[ $output == *"$1"* ]]
}

says_both()
{
	says "$1" && says "$2"
}

# As many ping commands as that lost nothing.
says_no_loss() # COUNT
{
	[ "$(grep -c ' 0% packet loss' <<<"$output")" = "$1" ]
}

# Polls for up to five seconds.
wait_until()
{
	for _ in {1..100}; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.05
	done
	return 1
}

summary()
{
	if [ "$failed" = 0 ]; then
		printf '\n%sAll %d checks passed in %d seconds.%s\n' "$green" "$passed" "$SECONDS" "$plain"
	else
		printf '\n%s%d of %d checks FAILED.%s\n' "$red" "$failed" $((passed + failed)) "$plain"
		return 1
	fi
}
