// SPDX-License-Identifier: GPL-2.0
/*
 * Exported functions with a variable number of arguments, which Rust cannot
 * define. They belong to `abi/`.
 */
#include <linux/export.h>
#include <linux/rcupdate.h>
#include <linux/stdarg.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_helper.h>
#include <net/netfilter/nf_conntrack_l4proto.h>
#include <net/netfilter/nf_log.h>

/* Tells why a helper drops a packet. The caller is in an RCU read-side section. */
void nf_ct_helper_log(struct sk_buff *skb, const struct nf_conn *ct,
		      const char *fmt, ...)
{
	const struct nf_conn_help *help = nfct_help(ct);
	const struct nf_conntrack_helper *helper;
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	helper = help ? rcu_dereference(help->helper) : NULL;

	va_start(args, fmt);
	vaf.va = &args;
	nf_log_packet(nf_ct_net(ct), nf_ct_l3num(ct), 0, skb, NULL, NULL, NULL,
		      "helper %s dropping packet: %pV ",
		      helper ? helper->name : "(null)", &vaf);
	va_end(args);
}
EXPORT_SYMBOL_GPL(nf_ct_helper_log);

/* Why a packet is invalid, if the administrator wants to know it of this protocol. */
__printf(4, 5) __cold
void nf_l4proto_log_invalid(const struct sk_buff *skb, const struct nf_hook_state *state,
			    u8 protonum, const char *fmt, ...)
{
	u8 wanted = READ_ONCE(state->net->ct.sysctl_log_invalid);
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	if (wanted != protonum && wanted != IPPROTO_RAW)
		return;

	va_start(args, fmt);
	vaf.va = &args;
	nf_log_packet(state->net, state->pf, 0, skb, state->in, state->out, NULL,
		      "nf_ct_proto_%d: %pV ", protonum, &vaf);
	va_end(args);
}
EXPORT_SYMBOL_GPL(nf_l4proto_log_invalid);

/*
 * The same for a packet that has an entry. The entry's lock must not be held:
 * a listener may ask for the entry's state.
 */
__printf(4, 5) __cold
void nf_ct_l4proto_log_invalid(const struct sk_buff *skb, const struct nf_conn *ct,
			       const struct nf_hook_state *state, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	lockdep_assert_not_held(&ct->lock);

	va_start(args, fmt);
	vaf.va = &args;
	nf_l4proto_log_invalid(skb, state, nf_ct_protonum(ct), "%pV", &vaf);
	va_end(args);
}
EXPORT_SYMBOL_GPL(nf_ct_l4proto_log_invalid);
