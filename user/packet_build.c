/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets of which nothing matters but the headers. */
#include "packet_build.h"

#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "addr.h"

#define HOPS 64
#define WINDOW 64240

static bool is4(const struct tuple *tuple)
{
	return addr_is4(&tuple->saddr);
}

static unsigned int ip_header(const struct tuple *tuple)
{
	return is4(tuple) ? sizeof(struct iphdr) : sizeof(struct ip6_hdr);
}

unsigned int packet_least(const struct tuple *tuple)
{
	/* ICMP's header of an echo is as long as UDP's. */
	return ip_header(tuple) + (tuple->proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr));
}

/* RFC 1071, less the final complement. */
static __u32 sum_add(__u32 sum, const void *data, size_t length)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : bytes[i] << 8;
	return sum;
}

static __be16 sum_finish(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static __be16 l4_sum(const struct tuple *tuple, const void *l4, size_t length)
{
	size_t from = is4(tuple) ? 12 : 0;
	__u32 sum = sum_add(0, l4, length);

	if (tuple->proto == IPPROTO_ICMP)
		return sum_finish(sum);
	sum = sum_add(sum, tuple->saddr.bytes + from, sizeof(tuple->saddr) - from);
	sum = sum_add(sum, tuple->daddr.bytes + from, sizeof(tuple->daddr) - from);
	return sum_finish(sum + tuple->proto + length);
}

static void build_tcp(const struct packet_spec *spec, void *at, size_t length)
{
	struct tcphdr *tcp = at;

	tcp->source = spec->tuple.sport;
	tcp->dest = spec->tuple.dport;
	tcp->seq = htonl(1);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->syn = !spec->established;
	tcp->ack = spec->established;
	tcp->window = htons(WINDOW);
	tcp->check = l4_sum(&spec->tuple, tcp, length);
}

static void build_udp(const struct packet_spec *spec, void *at, size_t length)
{
	struct udphdr *udp = at;

	udp->source = spec->tuple.sport;
	udp->dest = spec->tuple.dport;
	udp->len = htons(length);
	udp->check = l4_sum(&spec->tuple, udp, length);
	if (!udp->check)
		udp->check = 0xffff;
}

static void build_echo(const struct packet_spec *spec, void *at, size_t length)
{
	struct icmphdr *icmp = at;

	icmp->type = is4(&spec->tuple) ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	icmp->un.echo.id = spec->tuple.sport;
	icmp->un.echo.sequence = htons(1);
	icmp->checksum = l4_sum(&spec->tuple, icmp, length);
}

static void build_ip4(const struct packet_spec *spec, void *at, unsigned int size)
{
	struct iphdr *ip = at;

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tot_len = htons(size);
	ip->frag_off = htons(IP_DF);
	ip->ttl = HOPS;
	ip->protocol = spec->tuple.proto;
	ip->saddr = addr_to4(&spec->tuple.saddr);
	ip->daddr = addr_to4(&spec->tuple.daddr);
	ip->check = sum_finish(sum_add(0, ip, sizeof(*ip)));
}

static void build_ip6(const struct packet_spec *spec, void *at, unsigned int size)
{
	struct ip6_hdr *ip = at;

	ip->ip6_vfc = 6 << 4;
	ip->ip6_plen = htons(size - sizeof(*ip));
	ip->ip6_nxt = spec->tuple.proto;
	ip->ip6_hlim = HOPS;
	memcpy(&ip->ip6_src, &spec->tuple.saddr, sizeof(ip->ip6_src));
	memcpy(&ip->ip6_dst, &spec->tuple.daddr, sizeof(ip->ip6_dst));
}

size_t packet_build(const struct packet_spec *spec, struct packet_frame *frame)
{
	unsigned int least = packet_least(&spec->tuple), size = spec->size > least ? spec->size : least;
	unsigned int header = ip_header(&spec->tuple);
	unsigned char *ip = frame->bytes + ETH_HLEN, *l4 = ip + header;
	struct ethhdr *eth = (struct ethhdr *)frame->bytes;

	if (size > PACKET_MAX - ETH_HLEN)
		size = PACKET_MAX - ETH_HLEN;
	memset(frame->bytes, 0, ETH_HLEN + size);
	memcpy(eth->h_dest, spec->to_mac, sizeof(eth->h_dest));
	memcpy(eth->h_source, spec->from_mac, sizeof(eth->h_source));
	eth->h_proto = htons(is4(&spec->tuple) ? ETH_P_IP : ETH_P_IPV6);
	if (is4(&spec->tuple))
		build_ip4(spec, ip, size);
	else
		build_ip6(spec, ip, size);
	if (spec->tuple.proto == IPPROTO_TCP)
		build_tcp(spec, l4, size - header);
	else if (spec->tuple.proto == IPPROTO_UDP)
		build_udp(spec, l4, size - header);
	else
		build_echo(spec, l4, size - header);
	return ETH_HLEN + size;
}

static const char *icmp4_error(unsigned char type, unsigned char code)
{
	if (type == ICMP_TIME_EXCEEDED)
		return "time exceeded";
	if (type != ICMP_DEST_UNREACH)
		return NULL;
	switch (code) {
	case ICMP_NET_UNREACH:
		return "network unreachable";
	case ICMP_HOST_UNREACH:
		return "host unreachable";
	case ICMP_PORT_UNREACH:
		return "port unreachable";
	case ICMP_FRAG_NEEDED:
		return "fragmentation needed";
	default:
		return "prohibited";
	}
}

static const char *icmp6_error(unsigned char type, unsigned char code)
{
	if (type == ICMP6_TIME_EXCEEDED)
		return "time exceeded";
	if (type == ICMP6_PACKET_TOO_BIG)
		return "packet too big";
	if (type != ICMP6_DST_UNREACH)
		return NULL;
	switch (code) {
	case ICMP6_DST_UNREACH_NOROUTE:
		return "no route";
	case ICMP6_DST_UNREACH_ADDR:
		return "address unreachable";
	case ICMP6_DST_UNREACH_NOPORT:
		return "port unreachable";
	default:
		return "prohibited";
	}
}

const char *packet_icmp_error(const struct packet_frame *frame, size_t length)
{
	const struct ethhdr *eth = (const struct ethhdr *)frame->bytes;
	const struct iphdr *ip4 = (const struct iphdr *)(frame->bytes + ETH_HLEN);
	const struct ip6_hdr *ip6 = (const struct ip6_hdr *)(frame->bytes + ETH_HLEN);
	const unsigned char *icmp4 = (const unsigned char *)(ip4 + 1), *icmp6 = (const unsigned char *)(ip6 + 1);

	if (length < ETH_HLEN + sizeof(*ip6) + sizeof(struct icmphdr))
		return NULL;
	if (eth->h_proto == htons(ETH_P_IP))
		return ip4->protocol == IPPROTO_ICMP ? icmp4_error(icmp4[0], icmp4[1]) : NULL;
	return ip6->ip6_nxt == IPPROTO_ICMPV6 ? icmp6_error(icmp6[0], icmp6[1]) : NULL;
}
