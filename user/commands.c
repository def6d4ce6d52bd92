/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of commands. */
#include <stddef.h>
#include <string.h>

#include "command.h"

static const struct command commands[] = {
	{ "add", cmd_add,
	  "NAME [--ip ADDR[,ADDR6]] [--network NET] [--mac MAC] [--mtu N] [--dns ADDR[,ADDR]|host|none] "
	  "[--max-connections N|auto]",
	  "make a namespace, or take one that exists, and attach it to a network",
	  "nsbpf add web\n"
	  "nsbpf add db --ip 10.80.0.10 --dns 192.0.2.53\n"
	  "nsbpf add probe --network lab --max-connections 100" },
	{ "del", cmd_del, "NAME [--keep]", "detach and remove a namespace (--keep: it stays)",
	  "nsbpf del web\n"
	  "nsbpf del db --keep" },
	{ "list", cmd_list, "", "the endpoints", "nsbpf list\nnsbpf -j list | jq -r '.[].name'" },
	{ "exec", cmd_exec, "NAME [--] CMD [ARG...]",
	  "run a command inside, with /etc/netns/NAME/* over /etc as `ip netns exec` does",
	  "nsbpf exec web ping -c1 10.80.0.10\n"
	  "nsbpf exec web -- iperf3 -s" },
	{ "shell", cmd_shell, "NAME", "a shell inside, with a prompt that says so", "nsbpf shell web" },
	{ "expose", cmd_expose, "NAME [ADDR:]P[-P][:TARGET][/tcp|udp|both] [--from CIDR]...",
	  "forward ports of the host to it",
	  "nsbpf expose web 5000\n"
	  "nsbpf expose web 8080:80\n"
	  "nsbpf expose web 198.51.100.1:6000-6010:7000/udp\n"
	  "nsbpf expose db 5432 --from 192.0.2.0/24 --from 2001:db8::/32" },
	{ "unexpose", cmd_unexpose, "NAME [ADDR:]P[-P][:TARGET][/tcp|udp|both]",
	  "stop that, and end the connections that came through it", "nsbpf unexpose web 8080" },
	{ "ports", cmd_ports, "", "what is exposed", "nsbpf ports" },
	{ "network", cmd_network,
	  "list | add NET [--subnet CIDR] [--subnet6 CIDR] [--gateway ADDR[,ADDR6]] [--mode nat|routed] [OPTIONS] | "
	  "set NET [OPTIONS] | del NET\n"
	  "options: [--mtu N|auto] [--isolate on|off] [--masquerade on|off|ADDR[,ADDR6]] "
	  "[--filtering endpoint-independent|address-and-port-dependent]",
	  "networks of endpoints",
	  "nsbpf network add lab --subnet 192.0.2.0/24\n"
	  "nsbpf network add dmz --mode routed --subnet6 2001:db8:3::/64\n"
	  "nsbpf network set lab --masquerade 198.51.100.9" },
	{ "uplink", cmd_uplink, "list | add DEV | del DEV", "the devices towards the outside",
	  "nsbpf uplink add eth1" },
	{ "conntrack", cmd_conntrack,
	  "list [FILTER...] | get TUPLE... | count [FILTER...] | delete FILTER... | flush | stats | "
	  "events [FILTER...] [--count N] [--time SECONDS]\n"
	  "filter: [-p|--proto tcp|udp|icmp|icmpv6] [-s|--src ADDR[/N]] [-d|--dst ADDR[/N]] [--sport N] [--dport N]\n"
	  "        [--icmp-id N] [--state STATE[,STATE]...] [--endpoint NAME] [--nat snat|dnat] [-f|--family "
	  "ipv4|ipv6]\n"
	  "tuple:  -p PROTO -s ADDR -d ADDR, --sport N --dport N or --icmp-id N; of packets in either direction\n"
	  "state:  syn, established, fin, closing, reset, udp, icmp, unreplied, assured",
	  "the connections: show them, count them, end them, and see them come and go",
	  "nsbpf conntrack list -p tcp --state established\n"
	  "nsbpf conntrack list --endpoint web --nat dnat -s 192.0.2.0/24\n"
	  "nsbpf conntrack get -p udp -s 10.80.0.2 -d 203.0.113.2 --sport 40000 --dport 53\n"
	  "nsbpf conntrack delete --endpoint web\n"
	  "nsbpf conntrack events -p tcp --dport 80\n"
	  "nsbpf -j conntrack list | jq -r '.[] | select(.assured | not) | .original.source'" },
	{ "monitor", cmd_monitor,
	  "[--drops|--packets] [--pcap FILE|-] [--endpoint NAME] [--proto P] [--port N] [--count N] [--time SECONDS]",
	  "connections and drops as they happen (--drops: only those; --packets: every packet and its verdict)",
	  "nsbpf monitor\n"
	  "nsbpf monitor --drops --endpoint web\n"
	  "nsbpf -j monitor --packets --proto tcp --port 80 --count 10\n"
	  "nsbpf monitor --pcap - | tcpdump -nr -" },
	{ "why", cmd_why,
	  "tcp|udp|icmp SRC[:PORT] DST[:PORT] [--from outside|host|NAME] [--established] [--size BYTES]",
	  "what would become of a packet, stage by stage, and what would change it; nothing is sent",
	  "nsbpf why tcp 10.80.0.2:40000 203.0.113.2:80\n"
	  "nsbpf why tcp 198.51.100.2 198.51.100.1:8080 --from outside\n"
	  "nsbpf why icmp 2001:db8:80::2 2001:db8:2::2\n"
	  "nsbpf why udp 10.80.0.2 203.0.113.2:53 --size 2000" },
	{ "stats", cmd_stats, "[--watch [SECONDS] [--count N]]",
	  "packets, bytes, connections and drops by endpoint and by reason (--watch: how fast, again and again)",
	  "nsbpf stats\n"
	  "nsbpf stats --watch 5\n"
	  "nsbpf -j stats | jq .drops" },
	{ "top", cmd_top,
	  "[--sort bits|packets|drops|connections|name] [--endpoint NAME] [--interval SECONDS] "
	  "[--once | --count N] [--flows N]",
	  "endpoints and flows by rate, live",
	  "nsbpf top\n"
	  "nsbpf top --sort drops --interval 5\n"
	  "nsbpf top --once --endpoint web --flows 100\n"
	  "nsbpf -j top --count 10" },
	{ "metrics", cmd_metrics, "[--textfile FILE]",
	  "counters for Prometheus, or into a file for node_exporter's textfile collector",
	  "nsbpf metrics\n"
	  "nsbpf metrics --textfile /var/lib/prometheus/node-exporter/nsbpf.prom" },
	{ "check", cmd_check, "[--repair]", "compare what should be with what is, and mend it",
	  "nsbpf check\n"
	  "nsbpf check --repair\n"
	  "nsbpf -j check | jq '.findings[]'" },
	{ "doctor", cmd_doctor, "", "explain what on this host would stop it from working, and the fix",
	  "nsbpf doctor\n"
	  "nsbpf -j doctor | jq '.diagnoses[] | select(.level == \"problem\")'" },
	{ "set", cmd_set, "NAME VALUE|default", "change a setting of this host, at once",
	  "nsbpf set timeout.udp 10m\n"
	  "nsbpf set connections 1048576\n"
	  "nsbpf set max-connections 5000\n"
	  "nsbpf set nat-ports 20000-29999" },
	{ "get", cmd_get, "[NAME]", "the settings of this host", "nsbpf get\nnsbpf get timeout.udp" },
	{ "save", cmd_save, "[FILE]", "write what runs to a file, or to stdout, for `apply`",
	  "nsbpf save /etc/nsbpf.yaml\n"
	  "nsbpf save | diff /etc/nsbpf.yaml -" },
	{ "apply", cmd_apply, "FILE|- [--prune] [--dry-run]",
	  "make the host as a file says (--prune: what the file does not name goes)",
	  "nsbpf apply /etc/nsbpf.yaml\n"
	  "nsbpf apply /etc/nsbpf.yaml --prune --dry-run\n"
	  "ssh other nsbpf save | nsbpf apply -" },
	{ "diff", cmd_diff, "FILE|- [--prune]", "what `apply` would change; exit code 5 if there is anything",
	  "nsbpf diff /etc/nsbpf.yaml --prune" },
	{ "down", cmd_down, "", "remove everything that nsbpf made on this host", "nsbpf down" },
	{ "version", cmd_version, "", "which nsbpf this is", NULL },
	{ "help", cmd_help, "[VERB]", "this, or more about one command", "nsbpf help expose" },
};

const struct command *command_at(size_t i)
{
	return i < sizeof(commands) / sizeof(commands[0]) ? &commands[i] : NULL;
}

const struct command *command_find(const char *name)
{
	const struct command *command;

	for (size_t i = 0; (command = command_at(i)); i++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}
