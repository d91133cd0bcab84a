/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Packets made in kernel space and walked through a namespace's netfilter
 * hooks, for the test modules in tools/. Knows conntrack's headers only: no
 * symbol of nf_conntrack is linked to, so the modules load with and without it.
 */
#ifndef _CT_SKB_H
#define _CT_SKB_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack.h>

/* Tracking on in @net, if there is a conntrack to do it: 1, 0, or an error. */
static inline int ct_tracking_get(struct net *net)
{
	int (*get)(struct net *net, u8 nfproto);
	int err;

	get = symbol_get(nf_ct_netns_get);
	if (!get)
		return 0;
	err = get(net, NFPROTO_INET);
	if (err < 0) {
		symbol_put(nf_ct_netns_get);
		return err;
	}
	return 1;
}

static inline void ct_tracking_put(struct net *net)
{
	void (*put)(struct net *net, u8 nfproto);

	put = symbol_get(nf_ct_netns_put);
	if (put) {
		put(net, NFPROTO_INET);
		symbol_put(nf_ct_netns_put);
	}
	symbol_put(nf_ct_netns_get);
}

/*
 * Runs the functions of one hook as nf_hook_slow() does, but leaves the packet
 * to the caller on anything but NF_STOLEN, so that it can still be looked at.
 */
static inline unsigned int ct_run_hook(struct net *net, u8 pf, unsigned int hook,
				       struct sk_buff *skb)
{
	const struct nf_hook_entries *e;
	unsigned int verdict = NF_ACCEPT;
	struct nf_hook_state state;
	struct net_device *in = NULL, *out = NULL;
	unsigned int i;

	if (hook == NF_INET_PRE_ROUTING || hook == NF_INET_LOCAL_IN ||
	    hook == NF_INET_FORWARD)
		in = net->loopback_dev;
	if (hook == NF_INET_FORWARD || hook == NF_INET_LOCAL_OUT ||
	    hook == NF_INET_POST_ROUTING)
		out = net->loopback_dev;

	rcu_read_lock();
	if (pf == NFPROTO_IPV4)
		e = rcu_dereference(net->nf.hooks_ipv4[hook]);
	else
		e = rcu_dereference(net->nf.hooks_ipv6[hook]);
	if (e) {
		nf_hook_state_init(&state, hook, pf, in, out, NULL, net, NULL);
		for (i = 0; i < e->num_hook_entries; i++) {
			verdict = nf_hook_entry_hookfn(&e->hooks[i], skb, &state);
			if ((verdict & NF_VERDICT_MASK) != NF_ACCEPT)
				break;
		}
	}
	rcu_read_unlock();
	return verdict;
}

/* What ip_rcv() and ip6_rcv() see to before the first hook, and no more. */
static inline bool ct_skb_valid(struct sk_buff *skb)
{
	unsigned int len;

	if (skb->protocol == htons(ETH_P_IP)) {
		const struct iphdr *iph;

		if (!pskb_may_pull(skb, sizeof(*iph)))
			return false;
		iph = ip_hdr(skb);
		if (iph->ihl < 5 || iph->version != 4)
			return false;
		if (!pskb_may_pull(skb, iph->ihl * 4))
			return false;
		iph = ip_hdr(skb);
		if (ip_fast_csum((u8 *)iph, iph->ihl))
			return false;
		len = ntohs(iph->tot_len);
		if (skb->len < len || len < iph->ihl * 4)
			return false;
		if (pskb_trim_rcsum(skb, len))
			return false;
		skb_set_transport_header(skb, ip_hdr(skb)->ihl * 4);
		memset(IPCB(skb), 0, sizeof(struct inet_skb_parm));
		IPCB(skb)->iif = skb->skb_iif;
	} else {
		const struct ipv6hdr *hdr;

		if (!pskb_may_pull(skb, sizeof(*hdr)))
			return false;
		hdr = ipv6_hdr(skb);
		if (hdr->version != 6)
			return false;
		len = ntohs(hdr->payload_len);
		if (len || hdr->nexthdr != NEXTHDR_HOP) {
			if (len + sizeof(*hdr) > skb->len)
				return false;
			if (pskb_trim_rcsum(skb, len + sizeof(*hdr)))
				return false;
		}
		skb_set_transport_header(skb, sizeof(*hdr));
		memset(IP6CB(skb), 0, sizeof(struct inet6_skb_parm));
		IP6CB(skb)->iif = skb->skb_iif;
		IP6CB(skb)->nhoff = offsetof(struct ipv6hdr, nexthdr);
	}
	return true;
}

/*
 * @len bytes at @data as a packet of @net, the first @linear of them in the
 * head and the rest, at most a page, in a fragment page.
 */
static inline struct sk_buff *ct_skb_build(struct net *net, const void *data,
					   unsigned int len, unsigned int linear,
					   bool v6, gfp_t gfp)
{
	unsigned int room = LL_MAX_HEADER + ETH_HLEN;
	struct sk_buff *skb;

	linear = min(linear, len);
	if (len - linear > PAGE_SIZE)
		return NULL;
	skb = alloc_skb(room + linear, gfp);
	if (!skb)
		return NULL;
	skb_reserve(skb, room);
	skb_put_data(skb, data, linear);
	if (linear < len) {
		struct page *page = alloc_page(gfp);

		if (!page) {
			kfree_skb(skb);
			return NULL;
		}
		memcpy(page_address(page), data + linear, len - linear);
		skb_add_rx_frag(skb, 0, page, 0, len - linear, PAGE_SIZE);
	}
	skb->mac_header = skb->data - skb->head - ETH_HLEN;
	skb->mac_len = ETH_HLEN;
	memset(skb_mac_header(skb), 0, ETH_HLEN);
	skb_reset_network_header(skb);
	skb_reset_transport_header(skb);
	skb->protocol = v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	skb->dev = net->loopback_dev;
	skb->skb_iif = skb->dev->ifindex;
	skb->pkt_type = PACKET_HOST;
	skb->ip_summed = CHECKSUM_NONE;
	return skb;
}

#endif /* _CT_SKB_H */
