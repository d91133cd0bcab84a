// SPDX-License-Identifier: GPL-2.0

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/netfilter/nf_conntrack.h>

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
