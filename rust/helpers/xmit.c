// SPDX-License-Identifier: GPL-2.0

#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ipv6.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/tcp.h>
#include <net/xfrm.h>

/*
 * The number of the device by which a packet came in, 0 if a packet that comes in
 * there is not one that came as this one did: from this machine, by way of a bridge
 * or switch that does its own tracking, decrypted.
 */
u32 rct_ingress(const struct sk_buff *skb, const struct nf_hook_state *state)
{
	if (state->hook != NF_INET_PRE_ROUTING || !state->in ||
	    netif_is_bridge_port(state->in) || skb_sec_path(skb))
		return 0;
	return state->in->ifindex;
}

/* A packet that leaves was not routed. */
bool rct_skb_is_bridged(const struct sk_buff *skb)
{
	const struct dst_entry *dst = skb_dst(skb);

	return !dst || dst->flags & DST_FAKE_RTABLE;
}

bool rct_dev_exists(struct net *net, u32 ifindex)
{
	bool exists;

	rcu_read_lock();
	exists = dev_get_by_index_rcu(net, ifindex);
	rcu_read_unlock();
	return exists;
}

static void rct_put_ipv4(struct sk_buff *skb, const struct net *net,
			 const struct nf_conntrack_tuple *tuple,
			 const void *header, size_t len)
{
	struct iphdr *ip = skb_put_zero(skb, sizeof(*ip));
	struct tcphdr *tcp = skb_put_data(skb, header, len);

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tot_len = htons(sizeof(*ip) + len);
	ip->frag_off = htons(IP_DF);
	ip->ttl = READ_ONCE(net->ipv4.sysctl_ip_default_ttl);
	ip->protocol = IPPROTO_TCP;
	ip->saddr = tuple->src.u3.ip;
	ip->daddr = tuple->dst.u3.ip;
	ip_send_check(ip);
	tcp->check = tcp_v4_check(len, ip->saddr, ip->daddr, csum_partial(tcp, len, 0));
}

static void rct_put_ipv6(struct sk_buff *skb, const struct net *net,
			 const struct nf_conntrack_tuple *tuple,
			 const void *header, size_t len)
{
	struct ipv6hdr *ip6 = skb_put_zero(skb, sizeof(*ip6));
	struct tcphdr *tcp = skb_put_data(skb, header, len);

	ip6_flow_hdr(ip6, 0, 0);
	ip6->payload_len = htons(len);
	ip6->nexthdr = IPPROTO_TCP;
	ip6->hop_limit = READ_ONCE(net->ipv6.devconf_dflt->hop_limit);
	ip6->saddr = tuple->src.u3.in6;
	ip6->daddr = tuple->dst.u3.in6;
	tcp->check = csum_ipv6_magic(&ip6->saddr, &ip6->daddr, len, IPPROTO_TCP,
				     csum_partial(tcp, len, 0));
}

/*
 * A segment of a connection comes in by a device, as far as everybody behind it can
 * tell: HEADER is its TCP header, without a checksum, TUPLE says from whom to whom.
 */
int rct_receive_tcp(u32 ifindex, struct nf_conn *ct, unsigned int ctinfo,
		    const struct nf_conntrack_tuple *tuple, const void *header, size_t len)
{
	const struct net *net = nf_ct_net(ct);
	bool v4 = tuple->src.l3num == NFPROTO_IPV4;
	__be16 protocol = htons(v4 ? ETH_P_IP : ETH_P_IPV6);
	struct net_device *dev;
	struct sk_buff *skb;
	int error = -ENETDOWN;

	skb = alloc_skb(LL_MAX_HEADER + sizeof(struct ipv6hdr) + len, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	skb_reserve(skb, LL_MAX_HEADER);
	rcu_read_lock();
	dev = dev_get_by_index_rcu((struct net *)net, ifindex);
	if (!dev || !(READ_ONCE(dev->flags) & IFF_UP))
		goto out;
	if (v4)
		rct_put_ipv4(skb, net, tuple, header, len);
	else
		rct_put_ipv6(skb, net, tuple, header, len);
	if (dev->type == ARPHRD_ETHER) {
		struct ethhdr *eth = skb_push(skb, ETH_HLEN);

		ether_addr_copy(eth->h_dest, dev->dev_addr);
		eth_zero_addr(eth->h_source);
		eth->h_proto = protocol;
		eth_type_trans(skb, dev);
	} else {
		skb->dev = dev;
		skb_reset_mac_header(skb);
	}
	skb->protocol = protocol;
	skb_reset_network_header(skb);
	nf_conntrack_get(&ct->ct_general);
	nf_ct_set(skb, ct, ctinfo);
	local_bh_disable();
	netif_receive_skb(skb);
	local_bh_enable();
	skb = NULL;
	error = 0;
out:
	rcu_read_unlock();
	kfree_skb(skb);
	return error;
}
