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
	__u32 l4;        /* and of its L4 header */
	__u32 l4_length; /* how much of that is there */
	struct tuple tuple;
};

static __always_inline bool is_icmp_error(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* False: it quotes nothing that a connection could have sent. */
static __noinline bool icmp_quote_parse(struct __sk_buff *skb, const struct packet *p, struct icmp_quote *q)
{
	__u32 end = ETH_HLEN + p->length;
	struct iphdr ip;
	struct icmphdr l4; /* the 8 bytes that have to be there; ports are the first 4 */

	q->ip = p->l4 + ICMP_HLEN;
	if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    ip.frag_off & bpf_htons(IP_OFFSET))
		return false;
	q->l4 = q->ip + ip.ihl * 4;
	if (q->l4 + sizeof(l4) > end || bpf_skb_load_bytes(skb, q->l4, &l4, sizeof(l4)))
		return false;
	q->l4_length = end - q->l4;

	__builtin_memset(&q->tuple, 0, sizeof(q->tuple));
	addr_set4(&q->tuple.saddr, ip.saddr);
	addr_set4(&q->tuple.daddr, ip.daddr);
	q->tuple.proto = ip.protocol;
	if (ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) {
		__builtin_memcpy(&q->tuple.sport, &l4, 4);
		return true;
	}
	if (ip.protocol != IPPROTO_ICMP)
		return false;
	if (l4.type == ICMP_ECHO)
		q->tuple.sport = l4.un.echo.id;
	else if (l4.type == ICMP_ECHOREPLY)
		q->tuple.dport = l4.un.echo.id;
	return l4.type == ICMP_ECHO || l4.type == ICMP_ECHOREPLY;
}

/* The quoted packet's own checksum, if as much of it is quoted, follows its new ends. It is not looked at otherwise. */
static __always_inline int icmp_quote_checksum(struct __sk_buff *skb, const struct icmp_quote *q,
					       const struct tuple *to)
{
	__u32 offset = l4_checksum_offset(q->tuple.proto);
	__u64 sum = csum_change((__u32)q->tuple.sport + q->tuple.dport, (__u32)to->sport + to->dport);
	__u16 check;

	if (offset + sizeof(check) > q->l4_length)
		return 0;
	if (bpf_skb_load_bytes(skb, q->l4 + offset, &check, sizeof(check)))
		return -EINVAL;
	if (q->tuple.proto == IPPROTO_UDP && !check)
		return 0;
	if (q->tuple.proto != IPPROTO_ICMP)
		sum += csum_change_addresses(&q->tuple, to);
	check = ~csum_fold16((__u16)~check + (__u64)csum_fold32(sum));
	if (q->tuple.proto == IPPROTO_UDP && !check)
		check = 0xffff;
	return bpf_skb_store_bytes(skb, q->l4 + offset, &check, sizeof(check), 0);
}

static __noinline int icmp_quote_rewrite(struct __sk_buff *skb, const struct icmp_quote *q, const struct tuple *to)
{
	__be32 addrs[2] = { addr_get4(&to->saddr), addr_get4(&to->daddr) };
	__be16 ports[2] = { to->sport, to->dport }, id = to->sport | to->dport;
	__u16 check;

	if (bpf_skb_load_bytes(skb, q->ip + offsetof(struct iphdr, check), &check, sizeof(check)))
		return -EINVAL;
	check = ~csum_fold16((__u16)~check + (__u64)csum_fold32(csum_change_addresses(&q->tuple, to)));
	if (icmp_quote_checksum(skb, q, to) ||
	    bpf_skb_store_bytes(skb, q->ip + offsetof(struct iphdr, check), &check, sizeof(check), 0) ||
	    bpf_skb_store_bytes(skb, q->ip + offsetof(struct iphdr, saddr), addrs, sizeof(addrs), 0))
		return -EINVAL;
	if (q->tuple.proto == IPPROTO_ICMP)
		return bpf_skb_store_bytes(skb, q->l4 + offsetof(struct icmphdr, un.echo.id), &id, sizeof(id), 0);
	return bpf_skb_store_bytes(skb, q->l4, ports, sizeof(ports), 0);
}

/* The message's own checksum, anew: so much of it has changed. */
static __always_inline int icmp_checksum_write(struct __sk_buff *skb, const struct packet *p)
{
	__u32 where = p->l4 + offsetof(struct icmphdr, checksum);
	__u16 check = 0;

	if (bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0))
		return -EINVAL;
	check = ~skb_sum(skb, p->l4, p->length + ETH_HLEN - p->l4);
	return bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0);
}

/* Quote and outer header in the terms of whoever sent the quoted packet, which is what answers are translated into. */
static __noinline enum verdict icmp_error_rewrite(struct __sk_buff *skb, struct packet *p, const struct icmp_quote *q,
						  const struct conn *c)
{
	struct tuple to, outer;
	struct iphdr *ip;

	tuple_reverse(&c->xlat, &to);
	if (icmp_quote_rewrite(skb, q, &to) || icmp_checksum_write(skb, p))
		return drop(p, DROP_REWRITE);
	/* From the quoted packet's destination itself, under the name that its sender knows; or from a router on the
	 * way, whose address is nobody's but its own. */
	tuple_reverse(&to, &outer);
	if (!addr_equal(&p->tuple.saddr, &q->tuple.daddr))
		outer.saddr = p->tuple.saddr;
	ip = packet_data(skb) + ETH_HLEN;
	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	rewrite_ip_header(ip, p, &outer);
	return VERDICT_CONTINUE;
}

/* Does an error from this side speak of a connection whose packets come from this side? */
static __always_inline bool icmp_error_belongs(const struct packet *p, const struct conn *c)
{
	return is_from_outside(c) == !p->endpoint;
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

	if (!p)
		return VERDICT_PASS;
	icmp = packet_l4(skb, p);
	if ((void *)(icmp + 1) > packet_end(skb) || !is_icmp_error(icmp->type) || !icmp_quote_parse(skb, p, &q))
		return VERDICT_PASS;
	/* An endpoint can only speak of what was sent to itself, of the host's packets too: the host would believe it.
	 */
	if (p->endpoint && !addr_equal(&p->tuple.saddr, &q.tuple.daddr))
		return drop(p, DROP_ICMP_ERROR);
	tuple_reverse(&q.tuple, &key);
	c = conn_lookup(&key);
	if (!c || !icmp_error_belongs(p, c))
		return VERDICT_PASS;
	if (skb_sum(skb, p->l4, p->length + ETH_HLEN - p->l4) != 0xffff)
		return drop(p, DROP_CHECKSUM);
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	v = icmp_error_rewrite(skb, p, &q, c);
	p->tuple = key;
	return conn_is_still(c, &key) ? v : drop(p, DROP_ICMP_ERROR);
}

/* What icmp_error() has translated. The connection's own packets may not have needed a route yet. */
static __noinline enum verdict related_forward(struct __sk_buff *skb, struct packet *p, __u32 network)
{
	struct conn *c = conn_lookup(&p->tuple);
	enum verdict v;

	if (c && !c->target && !c->oif) {
		if (conn_route(skb, p, network) != VERDICT_CONTINUE)
			return drop(p, DROP_ICMP_ERROR);
	}
	if (!c)
		return drop(p, DROP_ICMP_ERROR);
	if (!c->target && !packet_fits(skb, p, c->mtu))
		return drop(p, DROP_TOO_BIG);
	v = forward(skb, p, c);
	return conn_is_still(c, &p->tuple) ? v : drop(p, DROP_ICMP_ERROR);
}

#endif
