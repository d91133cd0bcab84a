/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module needs from the kernel's headers beyond what the kernel
 * crate's own bindings have. Names are chosen in `bindings_parameters`; a
 * type that is in both comes from the kernel crate.
 */

#include <linux/hrtimer_types.h>

#include <linux/types.h>
#include <linux/rcupdate.h>
#include <linux/rculist_nulls.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_cttimeout.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_pptp.h>
#include <linux/netfilter/nf_conntrack_proto_gre.h>
#include <linux/netfilter/nf_conntrack_sctp.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/proc_fs.h>
#include <linux/sctp.h>
#include <linux/seq_file.h>
#include <linux/seq_file_net.h>
#include <linux/siphash.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/sysctl.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/workqueue.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/ipv6_frag.h>
#include <net/net_namespace.h>
#include <net/netfilter/ipv4/nf_conntrack_ipv4.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>
#include <net/netfilter/ipv6/nf_conntrack_ipv6.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_acct.h>
#include <net/netfilter/nf_conntrack_act_ct.h>
#include <net/netfilter/nf_conntrack_bridge.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_ecache.h>
#include <net/netfilter/nf_conntrack_expect.h>
#include <net/netfilter/nf_conntrack_extend.h>
#include <net/netfilter/nf_conntrack_helper.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netfilter/nf_conntrack_labels.h>
#include <net/netfilter/nf_conntrack_seqadj.h>
#include <net/netfilter/nf_conntrack_synproxy.h>
#include <net/netfilter/nf_conntrack_timeout.h>
#include <net/netfilter/nf_conntrack_timestamp.h>
#include <net/netfilter/nf_conntrack_tuple.h>
#include <net/netfilter/nf_conntrack_zones.h>
#include <net/netfilter/nf_log.h>
#include <net/netfilter/nf_nat.h>
#include <net/netfilter/nf_nat_helper.h>
#include <net/netfilter/nf_queue.h>
#include <net/netlink.h>
#include <net/netns/generic.h>

#include "../../tools/xtables/xt_cttable.h"
#include "../helpers/helpers.c"
#include "../helpers/nf_ct_trace.h"
#include "../helpers/params.h"

/* Macros that bindgen cannot evaluate. */
const slab_flags_t RCT_CONST_RCT_SLAB_FLAGS = SLAB_TYPESAFE_BY_RCU | SLAB_HWCACHE_ALIGN;
const u8 RCT_CONST_RCT_NEXTHDR_HOP = NEXTHDR_HOP;
const u32 RCT_CONST_RCT_DEFRAG_USER_V4 = IP_DEFRAG_CONNTRACK_IN;
const u32 RCT_CONST_RCT_DEFRAG_USER_V6 = IP6_DEFRAG_CONNTRACK_IN;
const unsigned int RCT_CONST_CTA_PROTO_MAX_NUMBER = CTA_PROTO_MAX;
const unsigned int RCT_CONST_CTA_PROTOINFO_MAX_NUMBER = CTA_PROTOINFO_MAX;
const unsigned int RCT_CONST_CTA_TIMEOUT_TCP_MAX_NUMBER = CTA_TIMEOUT_TCP_MAX;
const unsigned int RCT_CONST_CTA_TIMEOUT_SCTP_MAX_NUMBER = CTA_TIMEOUT_SCTP_MAX;
const unsigned int RCT_CONST_CTA_TIMEOUT_UDP_MAX_NUMBER = CTA_TIMEOUT_UDP_MAX;
/* The bare name is the one of the user API, which bindgen takes to be 100. */
const unsigned int RCT_CONST_RCT_HZ = HZ;
