/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: what becomes of connections when a namespace is full.
 *
 * linux/trace.rs calls them. Classes, reasons and steps come as texts, so that
 * they are named in one place, and a filter reads `class == "unreplied"`.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM nf_conntrack

#if !defined(_NF_CT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _NF_CT_TRACE_H

#include <linux/in6.h>
#include <linux/tracepoint.h>
#include <net/netfilter/nf_conntrack.h>

#ifndef _NF_CT_TRACE_INLINES
#define _NF_CT_TRACE_INLINES

/* An end of a tuple as a socket address, whose print format knows the families. */
static inline void rct_trace_end(u8 *out, u16 l3num, const union nf_inet_addr *addr, __be16 id)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = id };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = id };

	memset(out, 0, sizeof(v6));
	if (l3num == NFPROTO_IPV6) {
		v6.sin6_addr = addr->in6;
		memcpy(out, &v6, sizeof(v6));
	} else {
		v4.sin_addr = addr->in;
		memcpy(out, &v4, sizeof(v4));
	}
}

#define RCT_TRACE_FLOW						\
	__field(unsigned int, netns)				\
	__field(u16, zone)					\
	__field(u8, protonum)					\
	__array(u8, saddr, sizeof(struct sockaddr_in6))		\
	__array(u8, daddr, sizeof(struct sockaddr_in6))

#define RCT_TRACE_ASSIGN(net, number, tuple)						\
	do {										\
		__entry->netns = (net)->ns.inum;					\
		__entry->zone = (number);						\
		__entry->protonum = (tuple)->dst.protonum;				\
		rct_trace_end(__entry->saddr, (tuple)->src.l3num, &(tuple)->src.u3,	\
			      (tuple)->src.u.all);					\
		rct_trace_end(__entry->daddr, (tuple)->src.l3num, &(tuple)->dst.u3,	\
			      (tuple)->dst.u.all);					\
	} while (0)

#define RCT_TRACE_FORMAT "netns=%u zone=%u proto=%u src=%pISpc dst=%pISpc"
#define RCT_TRACE_VALUES \
	__entry->netns, __entry->zone, __entry->protonum, __entry->saddr, __entry->daddr

#endif

/* An entry went before its time, so many milliseconds after its last packet. */
TRACE_EVENT(nf_ct_evict,
	TP_PROTO(const struct net *net, const struct nf_conntrack_tuple *tuple, u16 zone,
		 const char *class, const char *reason, u32 idle),
	TP_ARGS(net, tuple, zone, class, reason, idle),
	TP_STRUCT__entry(
		RCT_TRACE_FLOW
		__string(class, class)
		__string(reason, reason)
		__field(u32, idle)
	),
	TP_fast_assign(
		RCT_TRACE_ASSIGN(net, zone, tuple);
		__assign_str(class);
		__assign_str(reason);
		__entry->idle = idle;
	),
	TP_printk(RCT_TRACE_FORMAT " class=%s reason=%s idle_ms=%u",
		  RCT_TRACE_VALUES, __get_str(class), __get_str(reason), __entry->idle)
);

/* A connection found no place among the others; what becomes of its packet. */
TRACE_EVENT(nf_ct_full,
	TP_PROTO(const struct net *net, const struct nf_conntrack_tuple *tuple, u16 zone,
		 u32 count, u32 max, const char *fate),
	TP_ARGS(net, tuple, zone, count, max, fate),
	TP_STRUCT__entry(
		RCT_TRACE_FLOW
		__field(u32, count)
		__field(u32, max)
		__string(fate, fate)
	),
	TP_fast_assign(
		RCT_TRACE_ASSIGN(net, zone, tuple);
		__entry->count = count;
		__entry->max = max;
		__assign_str(fate);
	),
	TP_printk(RCT_TRACE_FORMAT " count=%u max=%u fate=%s",
		  RCT_TRACE_VALUES, __entry->count, __entry->max, __get_str(fate))
);

/* Step number `number` of asking a connection's ends whether they are still there. */
TRACE_EVENT(nf_ct_probe,
	TP_PROTO(const struct net *net, const struct nf_conntrack_tuple *tuple, u16 zone,
		 const char *step, u32 number),
	TP_ARGS(net, tuple, zone, step, number),
	TP_STRUCT__entry(
		RCT_TRACE_FLOW
		__string(step, step)
		__field(u32, number)
	),
	TP_fast_assign(
		RCT_TRACE_ASSIGN(net, zone, tuple);
		__assign_str(step);
		__entry->number = number;
	),
	TP_printk(RCT_TRACE_FORMAT " step=%s number=%u",
		  RCT_TRACE_VALUES, __get_str(step), __entry->number)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE nf_ct_trace
#include <trace/define_trace.h>
