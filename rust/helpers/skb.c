// SPDX-License-Identifier: GPL-2.0

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/sctp/checksum.h>

int rct_skb_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

unsigned int rct_skb_headlen(const struct sk_buff *skb)
{
	return skb_headlen(skb);
}

void rct_skb_set_nfct(struct sk_buff *skb, unsigned long nfct)
{
	skb_set_nfct(skb, nfct);
}

bool rct_skb_is_loopback(const struct sk_buff *skb)
{
	return nf_is_loopback_packet(skb);
}

u32 rct_skb_mark(const struct sk_buff *skb)
{
	return skb->mark;
}

struct net *rct_skb_dev_net(const struct sk_buff *skb)
{
	return dev_net(skb->dev);
}

bool rct_skb_is_gso(const struct sk_buff *skb)
{
	return skb_is_gso(skb);
}

bool rct_is_l3_master(const struct net_device *dev)
{
	return netif_is_l3_master(dev);
}

int rct_ipv4_transport_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb) + ip_hdrlen(skb);
}

/* Counted from the network header's place in the packet's data, which is its start. */
int rct_ipv6_transport_offset(const struct sk_buff *skb)
{
	u8 nexthdr = ipv6_hdr(skb)->nexthdr;
	__be16 frag_off;
	int start;

	start = ipv6_skip_exthdr(skb, sizeof(struct ipv6hdr), &nexthdr, &frag_off);
	if (start < 0 || (frag_off & htons(~0x7)) != 0)
		return -1;
	return start;
}

/* 0: right or not to be verified; 1: not readable; 2: wrong. */
int rct_sctp_checksum(struct sk_buff *skb, unsigned int dataoff)
{
	const struct sctphdr *sh;

	if (skb->ip_summed != CHECKSUM_NONE)
		return 0;
	if (skb_ensure_writable(skb, dataoff + sizeof(*sh)))
		return 1;
	sh = (const struct sctphdr *)(skb->data + dataoff);
	if (sh->checksum != sctp_compute_cksum(skb, dataoff))
		return 2;
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	return 0;
}
