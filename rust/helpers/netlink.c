// SPDX-License-Identifier: GPL-2.0

#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_cttimeout.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netlink.h>
#include <net/tcp.h>

void *rct_nla_data(const struct nlattr *nla)
{
	return nla_data(nla);
}

struct nlattr *rct_nla_nest_start(struct sk_buff *skb, int attrtype)
{
	return nla_nest_start(skb, attrtype);
}

void rct_nla_nest_end(struct sk_buff *skb, struct nlattr *start)
{
	nla_nest_end(skb, start);
}

int rct_nla_parse_nested(struct nlattr *tb[], int maxtype, const struct nlattr *nla,
			 const struct nla_policy *policy)
{
	return nla_parse_nested_deprecated(tb, maxtype, nla, policy, NULL);
}

/* What attributes must look like; the macros fill bit-fields. */

const struct nla_policy rct_icmp_policy[CTA_PROTO_MAX + 1] = {
	[CTA_PROTO_ICMP_TYPE]	= { .type = NLA_U8 },
	[CTA_PROTO_ICMP_CODE]	= { .type = NLA_U8 },
	[CTA_PROTO_ICMP_ID]	= { .type = NLA_U16 },
};

const struct nla_policy rct_icmpv6_policy[CTA_PROTO_MAX + 1] = {
	[CTA_PROTO_ICMPV6_TYPE]	= { .type = NLA_U8 },
	[CTA_PROTO_ICMPV6_CODE]	= { .type = NLA_U8 },
	[CTA_PROTO_ICMPV6_ID]	= { .type = NLA_U16 },
};

const struct nla_policy rct_tcp_policy[CTA_PROTOINFO_TCP_MAX + 1] = {
	[CTA_PROTOINFO_TCP_STATE]	    = NLA_POLICY_MAX(NLA_U8, TCP_CONNTRACK_SYN_SENT2),
	[CTA_PROTOINFO_TCP_WSCALE_ORIGINAL] = NLA_POLICY_MAX(NLA_U8, TCP_MAX_WSCALE),
	[CTA_PROTOINFO_TCP_WSCALE_REPLY]    = NLA_POLICY_MAX(NLA_U8, TCP_MAX_WSCALE),
	[CTA_PROTOINFO_TCP_FLAGS_ORIGINAL]  = { .len = sizeof(struct nf_ct_tcp_flags) },
	[CTA_PROTOINFO_TCP_FLAGS_REPLY]	    = { .len = sizeof(struct nf_ct_tcp_flags) },
};

const struct nla_policy rct_sctp_policy[CTA_PROTOINFO_SCTP_MAX + 1] = {
	[CTA_PROTOINFO_SCTP_STATE]	    = NLA_POLICY_MAX(NLA_U8, SCTP_CONNTRACK_HEARTBEAT_SENT),
	[CTA_PROTOINFO_SCTP_VTAG_ORIGINAL]  = { .type = NLA_U32 },
	[CTA_PROTOINFO_SCTP_VTAG_REPLY]	    = { .type = NLA_U32 },
};

/*
 * Attributes of a timeout policy that mainline does not have, in CTA_TIMEOUT_DATA,
 * all of them 32-bit numbers in network order. They are far from mainline's own,
 * and shown only where they were given, so that its tools do not see them.
 */
enum {
	/* Added to the attribute of a state: its soft timeout, in seconds. */
	RCT_TIMEOUT_SOFT = 0x40,
	/* The span in which timeouts are scaled, in percent of nf_conntrack_max. */
	RCT_TIMEOUT_ADAPTIVE_START = 0x60,
	RCT_TIMEOUT_ADAPTIVE_END,
	RCT_TIMEOUT_MAX = RCT_TIMEOUT_ADAPTIVE_END,
};

#define TIMEOUT_POLICY(name, last)						\
	const struct nla_policy name[RCT_TIMEOUT_MAX + 1] = {			\
		[1 ... (last)] = { .type = NLA_U32 },				\
		[RCT_TIMEOUT_SOFT + 1 ... RCT_TIMEOUT_MAX] = { .type = NLA_U32 },	\
	};									\
	static_assert(RCT_TIMEOUT_SOFT > (last));				\
	static_assert(RCT_TIMEOUT_SOFT + (last) < RCT_TIMEOUT_ADAPTIVE_START)

/* By the number of states. */
TIMEOUT_POLICY(rct_timeout_policy_1, 1);
TIMEOUT_POLICY(rct_timeout_policy_2, CTA_TIMEOUT_UDP_MAX);
TIMEOUT_POLICY(rct_timeout_policy_sctp, CTA_TIMEOUT_SCTP_MAX);
TIMEOUT_POLICY(rct_timeout_policy_tcp, CTA_TIMEOUT_TCP_MAX);
