/* SPDX-License-Identifier: GPL-2.0-only */
/* The datapath as one object. Entry points: from_endpoint.h, from_uplink.h, to_endpoint.h, host_socket.h, loader.h. */
#define BPF_NO_PRESERVE_ACCESS_INDEX /* only user-API types are used: nothing to relocate, no BTF needed to load */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ICMP_ECHOREPLY 0
#define ICMP_ECHO 8
#define IPPROTO_ICMPV6 58
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

#include "nsbpf/drops.h"
#include "nsbpf/events.h"
#include "nsbpf/order.h"
#include "nsbpf/types.h"

/* The network namespace that this copy of the programs serves. */
const volatile __u64 host_netns_cookie = 0;

/* In the order of a packet's way, which is the order in which they need each other. */
/* clang-format off */
#include "maps.h"
#include "settings.h"
#include "packet.h"
#include "tuple.h"
#include "stats.h"
#include "parse.h"
#include "fragment.h"
#include "endpoint.h"
#include "arp.h"
#include "index.h"
#include "nat_port.h"
#include "deadline.h"
#include "events.h"
#include "conntrack.h"
#include "pressure.h"
#include "tcp.h"
#include "mapping.h"
#include "route.h"
#include "plan.h"
#include "port_search.h"
#include "masquerade.h"
#include "open.h"
#include "rewrite.h"
#include "forward.h"
#include "icmp.h"
#include "nd.h"
#include "icmp_error.h"
#include "icmp_write.h"
#include "icmp_answer.h"
#include "hairpin.h"
#include "from_endpoint.h"
#include "from_uplink.h"
#include "to_endpoint.h"
#include "host_socket.h"
#include "loader.h"
#include "tell_route.h"
/* clang-format on */

char _license[] SEC("license") = "GPL";
