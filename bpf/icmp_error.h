/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ICMP errors about packets of known connections, translated both ways (RFC 5508 REQ-4, REQ-5): whoever sent such a
 * packet gets the error as if it was about the packet as he sent it. Errors neither keep nor end a connection (REQ-6).
 */
#ifndef NSBPF_BPF_ICMP_ERROR_H
#define NSBPF_BPF_ICMP_ERROR_H

/* The packet that an error is about, as far as it is quoted. */
struct icmp_quote {
	__u32 ip;        /* offset of its IP header in the frame */
	__u32 l4_length; /* how much there is of what follows */
	struct packet packet;
};

static __always_inline bool is_icmp_error(bool ipv6, __u8 type)
{
	if (ipv6)
		return type >= ICMPV6_UNREACH && type <= ICMPV6_PARAMETER;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

static __always_inline bool quote_parse_header4(struct __sk_buff *skb, struct icmp_quote *q)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    ip.frag_off & bpf_htons(IP_OFFSET) || q->ip + ip.ihl * 4 > L4_OFFSET_MAX)
		return false;
	addr_set4(&q->packet.tuple.saddr, ip.saddr);
	addr_set4(&q->packet.tuple.daddr, ip.daddr);
	q->packet.tuple.proto = ip.protocol;
	q->packet.l4 = q->ip + ip.ihl * 4;
	return true;
}

static __always_inline bool quote_parse_header6(struct __sk_buff *skb, struct icmp_quote *q)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	addr_set6(&q->packet.tuple.saddr, &ip.saddr);
	addr_set6(&q->packet.tuple.daddr, &ip.daddr);
	if (addr_is4(&q->packet.tuple.saddr) || addr_is4(&q->packet.tuple.daddr))
		return false;
	q->packet.tuple.proto = ip.nexthdr;
	return parse_extensions(skb, &q->packet, q->ip) == VERDICT_CONTINUE && q->packet.kind != L4_FRAGMENT;
}

/* False: it quotes nothing that a connection could have sent. */
static __noinline bool icmp_quote_parse(struct __sk_buff *skb, const struct packet *p, struct icmp_quote *q)
{
	__u32 end = ETH_HLEN + p->length;
	struct tuple *tuple = &q->packet.tuple;
	struct icmphdr l4; /* the 8 bytes that have to be there; ports are the first 4 */

	__builtin_memset(q, 0, sizeof(*q));
	q->ip = p->l4 + ICMP_HLEN;
	q->packet.ipv6 = p->ipv6;
	q->packet.length = end - q->ip;
	if (!(p->ipv6 ? quote_parse_header6(skb, q) : quote_parse_header4(skb, q)))
		return false;
	if (q->packet.l4 + sizeof(l4) > end || bpf_skb_load_bytes(skb, q->packet.l4, &l4, sizeof(l4)))
		return false;
	q->l4_length = end - q->packet.l4;
	if (!is_translated(p->ipv6, tuple->proto))
		return false;
	if (!is_icmp(tuple->proto)) {
		__builtin_memcpy(&tuple->sport, &l4, 4);
		return true;
	}
	if (l4.type == (p->ipv6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO))
		tuple->sport = l4.un.echo.id;
	else if (l4.type == (p->ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY))
		tuple->dport = l4.un.echo.id;
	else
		return false;
	return true;
}

/* The quoted packet's own checksum, if as much of it is quoted, follows its new ends. It is not looked at otherwise. */
static __always_inline int icmp_quote_checksum(struct __sk_buff *skb, const struct icmp_quote *q,
					       const struct tuple *to)
{
	const struct tuple *from = &q->packet.tuple;
	__u32 offset = l4_checksum_offset(from->proto);
	__u64 sum = csum_change_ports(from, to);
	__u16 check;

	if (offset + sizeof(check) > q->l4_length)
		return 0;
	if (bpf_skb_load_bytes(skb, q->packet.l4 + offset, &check, sizeof(check)))
		return -EINVAL;
	if (from->proto == IPPROTO_UDP && !check)
		return 0;
	if (q->packet.ipv6)
		sum = csum_fold32(sum) + csum_change_addresses6(from, to);
	else if (from->proto != IPPROTO_ICMP)
		sum += csum_change_addresses4(from, to);
	check = ~csum_fold16((__u16)~check + (__u64)csum_fold32(sum));
	if (from->proto == IPPROTO_UDP && !check)
		check = 0xffff;
	return bpf_skb_store_bytes(skb, q->packet.l4 + offset, &check, sizeof(check), 0);
}

static __always_inline int quote_rewrite_header4(struct __sk_buff *skb, const struct icmp_quote *q,
						 const struct tuple *to)
{
	__be32 addrs[2] = { addr_get4(&to->saddr), addr_get4(&to->daddr) };
	__u32 where = q->ip + offsetof(struct iphdr, check);
	__u16 check;

	if (bpf_skb_load_bytes(skb, where, &check, sizeof(check)))
		return -EINVAL;
	check = ~csum_fold16((__u16)~check + (__u64)csum_fold32(csum_change_addresses4(&q->packet.tuple, to)));
	if (bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0))
		return -EINVAL;
	return bpf_skb_store_bytes(skb, q->ip + offsetof(struct iphdr, saddr), addrs, sizeof(addrs), 0);
}

static __always_inline int quote_rewrite_header6(struct __sk_buff *skb, const struct icmp_quote *q,
						 const struct tuple *to)
{
	/* The two addresses are neighbours in a tuple as well as in the header. */
	return bpf_skb_store_bytes(skb, q->ip + offsetof(struct ipv6hdr, saddr), &to->saddr,
				   sizeof(to->saddr) + sizeof(to->daddr), 0);
}

static __noinline int icmp_quote_rewrite(struct __sk_buff *skb, const struct icmp_quote *q, const struct tuple *to)
{
	__be16 ports[2] = { to->sport, to->dport }, id = to->sport | to->dport;
	int err = icmp_quote_checksum(skb, q, to);

	if (!err)
		err = q->packet.ipv6 ? quote_rewrite_header6(skb, q, to) : quote_rewrite_header4(skb, q, to);
	if (err)
		return err;
	if (is_icmp(q->packet.tuple.proto))
		return bpf_skb_store_bytes(skb, q->packet.l4 + offsetof(struct icmphdr, un.echo.id), &id, sizeof(id),
					   0);
	return bpf_skb_store_bytes(skb, q->packet.l4, ports, sizeof(ports), 0);
}

/* The message's own checksum, anew: so much of it has changed. ICMPv6's goes by the new ends as well. */
static __always_inline int icmp_checksum_write(struct __sk_buff *skb, const struct packet *p, const struct tuple *ends)
{
	__u32 where = p->l4 + offsetof(struct icmphdr, checksum);
	__u16 check = 0;

	if (bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0))
		return -EINVAL;
	check = ~icmp_sum(skb, p, ends);
	return bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0);
}

/* Quote and outer header in the terms of whoever sent the quoted packet: `sent` is its tuple as it was then. */
static __noinline enum verdict icmp_error_rewrite(struct __sk_buff *skb, struct packet *p, const struct icmp_quote *q,
						  const struct tuple *sent)
{
	struct tuple answer = *sent;

	/* From the quoted packet's destination itself, under the name that its sender knows; or from a router on the
	 * way, whose address is nobody's but its own. */
	if (!addr_equal(&p->tuple.saddr, &q->packet.tuple.daddr))
		answer.daddr = p->tuple.saddr;
	if (icmp_quote_rewrite(skb, q, sent) || icmp_checksum_write(skb, p, &answer))
		return drop(p, DROP_REWRITE);
	return p->ipv6 ? rewrite_header6(skb, p, &answer, true)
		       : rewrite_header4(skb, p, &answer, csum_change_addresses4(&p->tuple, &answer));
}

/* Does an error from this side speak of a connection whose packets come from this side? */
static __always_inline bool icmp_error_belongs(const struct packet *p, const struct conn *c, enum conn_dir dir)
{
	return is_from_outside(c, dir) == !p->endpoint;
}

/*
 * VERDICT_PASS: it is about no connection that is known, or no error at all. VERDICT_CONTINUE: it is translated, and
 * p->tuple is the key of the connection whose way it goes.
 */
__noinline int icmp_error(struct __sk_buff *skb, struct packet *p)
{
	struct icmp_quote q;
	struct icmphdr *icmp;
	struct tuple key;
	struct conn *c;
	enum verdict v;
	__u64 ref;

	if (!p)
		return VERDICT_PASS;
	icmp = packet_l4(skb, p);
	if ((void *)(icmp + 1) > packet_end(skb) || !is_icmp_error(p->ipv6, icmp->type) ||
	    !icmp_quote_parse(skb, p, &q))
		return VERDICT_PASS;
	/* An endpoint can only speak of what was sent to itself, of the host's packets too: the host would believe it.
	 */
	if (p->endpoint && !addr_equal(&p->tuple.saddr, &q.packet.tuple.daddr))
		return drop(p, DROP_ICMP_ERROR);
	tuple_reverse(&q.packet.tuple, &key);
	ref = conn_lookup(&key);
	c = conn_get(ref);
	if (!c || !icmp_error_belongs(p, c, ref_dir(ref)))
		return VERDICT_PASS;
	if (icmp_sum(skb, p, &p->tuple) != 0xffff)
		return drop(p, DROP_CHECKSUM);
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	v = icmp_error_rewrite(skb, p, &q, &c->tuples[!ref_dir(ref)]);
	p->tuple = key;
	return conn_is_still(c, ref) ? v : drop(p, DROP_ICMP_ERROR);
}

/* What icmp_error() has translated. The connection's own packets may not have needed a route yet. */
static __noinline enum verdict related_forward(struct __sk_buff *skb, struct packet *p, __u32 network)
{
	__u64 ref = conn_lookup(&p->tuple);
	enum conn_dir dir = ref_dir(ref);
	struct conn *c = conn_get(ref);
	enum verdict v;

	if (!c)
		return drop(p, DROP_ICMP_ERROR);
	if (!c->targets[dir] && !c->oif && conn_route(skb, p, network, ref) != VERDICT_CONTINUE)
		return drop(p, DROP_ICMP_ERROR);
	if (!c->targets[dir] && !packet_fits(skb, p, c->mtu))
		return drop(p, DROP_TOO_BIG);
	v = forward(skb, p, c, dir);
	return conn_is_still(c, ref) ? v : drop(p, DROP_ICMP_ERROR);
}

#endif
