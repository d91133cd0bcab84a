// SPDX-License-Identifier: GPL-2.0

#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <net/ip.h>
#include <net/ipv6.h>

unsigned int rct_ip_hdrlen(const struct sk_buff *skb)
{
	return ip_hdrlen(skb);
}

u8 rct_ip_protocol(const struct sk_buff *skb)
{
	return ip_hdr(skb)->protocol;
}

u8 rct_ipv6_nexthdr(const struct sk_buff *skb)
{
	return ipv6_hdr(skb)->nexthdr;
}

unsigned int rct_skb_ip_totlen(const struct sk_buff *skb)
{
	return skb_ip_totlen(skb);
}

unsigned int rct_skb_ipv6_payload_len(const struct sk_buff *skb)
{
	return skb_ipv6_payload_len(skb);
}

int rct_pskb_trim_rcsum(struct sk_buff *skb, unsigned int len)
{
	return pskb_trim_rcsum(skb, len);
}

void rct_ipcb_clear(struct sk_buff *skb)
{
	memset(IPCB(skb), 0, sizeof(struct inet_skb_parm));
}

u16 rct_ipcb_frag_max_size(const struct sk_buff *skb)
{
	return IPCB(skb)->frag_max_size;
}

void rct_ip6cb_clear(struct sk_buff *skb)
{
	memset(IP6CB(skb), 0, sizeof(struct inet6_skb_parm));
}

u16 rct_ip6cb_frag_max_size(const struct sk_buff *skb)
{
	return IP6CB(skb)->frag_max_size;
}

void rct_kfree_skb(struct sk_buff *skb)
{
	kfree_skb(skb);
}

/* The packet is another one now, and may be longer than what it came in. */
void rct_skb_reassembled(struct sk_buff *skb)
{
	skb_clear_hash(skb);
	skb->ignore_df = 1;
}
