// SPDX-License-Identifier: GPL-2.0
/*
 * Feeds packets from user space to the netfilter hooks of a network namespace
 * and tells what connection tracking made of each.
 *
 * It knows the public headers only and whichever nf_conntrack is loaded serves
 * it, or none. Packets of an open file run one after the other in the writer's
 * context with bottom halves off. Time between packets is not waited for: the
 * entries of the sequence are made older instead, their deadlines moved towards
 * the present. The next packet meets those that are over; then they are deleted,
 * lest it is by chance whether a collector has come by before another one.
 *
 * A sequence starts with a packet that says so. Every entry that one of its
 * packets carried is followed, by a reference, until the next sequence starts;
 * then those entries are deleted, so that nothing of them is in the way of what
 * follows. The feeder never looks for entries in the table.
 *
 * See ct_feeder.h for the records.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <net/ip6_route.h>
#include <net/netfilter/nf_conntrack_acct.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_zones.h>
#include <net/route.h>

#include "ct_feeder.h"
#include "ct_skb.h"

#define CTF_MAX_WRITE	(1U << 20)
#define CTF_RESULTS	(1U << 20)
#define CTF_WORST	(sizeof(struct ctf_result) + \
			 CTF_MAX_ENTRIES * sizeof(struct ctf_entry))
/* Enough for any timeout there is, and far from wrapping 32 bits of ticks. */
#define CTF_MAX_DELAY	(1U << 29)

struct ctf_known {
	struct nf_conn *ct;
	u32 timeout;			/* as reported last */
	bool reported;
	struct ctf_entry last;
};

struct ctf_held {
	struct sk_buff *skb;
	u16 index;
	u8 path;
};

struct ctf_file {
	struct mutex lock;
	struct net *net;
	bool tracking;
	typeof(nf_ct_tmpl_alloc) *tmpl_alloc;
	typeof(nf_ct_delete) *delete;

	u32 sequence;
	u16 index;
	bool started;
	unsigned long began;		/* jiffies */
	unsigned long now;		/* likewise, when entries are looked at */
	unsigned int nknown;
	struct ctf_known *known;
	unsigned int nheld;
	struct ctf_held held[CTF_MAX_HELD];
	u32 stat[13];

	u8 *results;
	size_t fill;
	size_t drained;
};

static const u8 ctf_hooks[][4] = {
	[CTF_IN] = { NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, 0xff },
	[CTF_FORWARD] = { NF_INET_PRE_ROUTING, NF_INET_FORWARD,
			  NF_INET_POST_ROUTING, 0xff },
	[CTF_OUT] = { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, 0xff },
	[CTF_LOOP] = { NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING,
		       NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN },
	[CTF_PRE] = { NF_INET_PRE_ROUTING, 0xff },
	[CTF_LOST_OUT] = { NF_INET_LOCAL_OUT, 0xff },
};

/* The sum over all CPUs of the namespace's counters, in their order. */
static void ctf_stats(struct net *net, u32 sum[13])
{
	int cpu;

	BUILD_BUG_ON(sizeof(struct ip_conntrack_stat) != 13 * sizeof(u32));
	memset(sum, 0, 13 * sizeof(u32));
	if (!net->ct.stat)
		return;
	for_each_possible_cpu(cpu) {
		const u32 *one = (const u32 *)per_cpu_ptr(net->ct.stat, cpu);
		unsigned int i;

		for (i = 0; i < 13; i++)
			sum[i] += READ_ONCE(one[i]);
	}
}

static void ctf_end_sequence(struct ctf_file *f)
{
	unsigned int i;

	local_bh_disable();
	for (i = 0; i < f->nheld; i++)
		kfree_skb(f->held[i].skb);
	f->nheld = 0;
	for (i = 0; i < f->nknown; i++) {
		struct nf_conn *ct = f->known[i].ct;

		if (f->delete && nf_ct_is_confirmed(ct) && !nf_ct_is_dying(ct))
			f->delete(ct, 0, false);
		nf_conntrack_put(&ct->ct_general);
	}
	f->nknown = 0;
	local_bh_enable();
	cond_resched();
}

static void ctf_age(struct ctf_file *f, u32 ms)
{
	u32 ticks = min_t(u64, (u64)ms * HZ / 1000, CTF_MAX_DELAY);
	unsigned int i;

	if (!ticks)
		return;
	for (i = 0; i < f->nknown; i++) {
		struct nf_conn *ct = f->known[i].ct;
		u32 deadline = READ_ONCE(ct->timeout);

		if (nf_ct_protonum(ct) == IPPROTO_UDP)
			ct->proto.udp.stream_ts -= ticks;
		if (!nf_ct_is_confirmed(ct) || (s32)(deadline - (u32)jiffies) <= 0)
			continue;
		WRITE_ONCE(ct->timeout, deadline - ticks);
		f->known[i].timeout -= ticks;
	}
}

/* Does what a collector would do. */
static void ctf_collect(struct ctf_file *f)
{
	unsigned int i;

	for (i = 0; f->delete && i < f->nknown; i++)
		if (nf_ct_should_gc(f->known[i].ct))
			f->delete(f->known[i].ct, 0, false);
}

static u16 ctf_id_of(const struct ctf_file *f, const struct nf_conn *ct)
{
	unsigned int i;

	for (i = 0; i < f->nknown; i++)
		if (f->known[i].ct == ct)
			return f->known[i].last.id;
	return CTF_NO_ENTRY;
}

/* The number of the packet that was first seen with this entry. */
static u16 ctf_follow(struct ctf_file *f, struct nf_conn *ct)
{
	struct ctf_known *k;
	u16 id = ctf_id_of(f, ct);

	if (id != CTF_NO_ENTRY || f->nknown >= CTF_MAX_ENTRIES)
		return id;
	k = &f->known[f->nknown++];
	memset(k, 0, sizeof(*k));
	nf_conntrack_get(&ct->ct_general);
	k->ct = ct;
	k->last.id = f->index;
	return f->index;
}

static void ctf_look(struct ctf_file *f, const struct sk_buff *skb,
		     u8 *state, u8 *info, u16 *id)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct;

	*id = CTF_NO_ENTRY;
	if (!skb) {
		*state = CTF_GONE;
		*info = 0;
		return;
	}
	ct = nf_ct_get(skb, &ctinfo);
	*info = ctinfo;
	if (!ct) {
		*state = ctinfo == IP_CT_UNTRACKED ? CTF_UNTRACKED : CTF_NONE;
	} else if (nf_ct_is_template(ct)) {
		*state = CTF_TEMPLATE;
	} else {
		*state = CTF_ENTRY;
		*id = ctf_follow(f, ct);
	}
}

static void ctf_copy_tuple(struct ctf_tuple *to,
			   const struct nf_conntrack_tuple *t)
{
	memcpy(to->src, &t->src.u3, sizeof(to->src));
	memcpy(to->dst, &t->dst.u3, sizeof(to->dst));
	to->sport = (__force u16)t->src.u.all;
	to->dport = (__force u16)t->dst.u.all;
	to->proto = t->dst.protonum;
	to->dir = t->dst.dir;
	to->l3num = t->src.l3num;
}

static void ctf_copy_proto(const struct ctf_file *f, struct ctf_entry *e,
			   const struct nf_conn *ct)
{
	unsigned int i;

	switch (nf_ct_protonum(ct)) {
	case IPPROTO_TCP:
		for (i = 0; i < 2; i++) {
			const struct ip_ct_tcp_state *s = &ct->proto.tcp.seen[i];

			e->tcp.seen[i].end = s->td_end;
			e->tcp.seen[i].maxend = s->td_maxend;
			e->tcp.seen[i].maxwin = s->td_maxwin;
			e->tcp.seen[i].maxack = s->td_maxack;
			e->tcp.seen[i].scale = s->td_scale;
			e->tcp.seen[i].flags = s->flags;
		}
		e->tcp.state = ct->proto.tcp.state;
		e->tcp.last_dir = ct->proto.tcp.last_dir;
		e->tcp.retrans = ct->proto.tcp.retrans;
		e->tcp.last_index = ct->proto.tcp.last_index;
		e->tcp.last_seq = ct->proto.tcp.last_seq;
		e->tcp.last_ack = ct->proto.tcp.last_ack;
		e->tcp.last_end = ct->proto.tcp.last_end;
		e->tcp.last_win = ct->proto.tcp.last_win;
		e->tcp.last_wscale = ct->proto.tcp.last_wscale;
		e->tcp.last_flags = ct->proto.tcp.last_flags;
		break;
	case IPPROTO_SCTP:
		e->sctp.state = ct->proto.sctp.state;
		for (i = 0; i < 2; i++) {
			e->sctp.vtag[i] = (__force u32)ct->proto.sctp.vtag[i];
			e->sctp.init[i] = ct->proto.sctp.init[i];
		}
		e->sctp.last_dir = ct->proto.sctp.last_dir;
		e->sctp.flags = ct->proto.sctp.flags;
		break;
	case IPPROTO_GRE:
		e->gre.stream_timeout = ct->proto.gre.stream_timeout;
		e->gre.timeout = ct->proto.gre.timeout;
		break;
	case IPPROTO_UDP:
		e->stream = (s32)(u32)(ct->proto.udp.stream_ts - f->now);
		break;
	}
}

static void ctf_copy_entry(struct ctf_file *f, struct ctf_entry *e,
			   struct nf_conn *ct, u16 id)
{
	const struct nf_conn_acct *acct;
	bool confirmed = nf_ct_is_confirmed(ct);
	unsigned int i;
	u32 deadline = READ_ONCE(ct->timeout);

	memset(e, 0, sizeof(*e));
	e->id = id;
	e->master = CTF_NO_ENTRY;
	e->remaining = confirmed ? (s32)(deadline - (u32)f->now) : (s32)deadline;
	if (confirmed && e->remaining <= 0) {
		e->flags = CTF_E_EXPIRED;
		e->remaining = 0;
		return;
	}
	e->zone = nf_ct_zone(ct)->id;
	e->zone_dir = nf_ct_zone(ct)->dir;
	for (i = 0; ct->ext && i < NF_CT_EXT_NUM && i < 16; i++)
		if (__nf_ct_ext_exist(ct->ext, i))
			e->ext |= 1 << i;
	e->status = ct->status;
#ifdef CONFIG_NF_CONNTRACK_MARK
	e->mark = READ_ONCE(ct->mark);
#endif
	for (i = 0; i < 2; i++)
		ctf_copy_tuple(&e->tuple[i], &ct->tuplehash[i].tuple);
	acct = nf_conn_acct_find(ct);
	for (i = 0; acct && i < 2; i++) {
		e->acct[2 * i] = atomic64_read(&acct->counter[i].packets);
		e->acct[2 * i + 1] = atomic64_read(&acct->counter[i].bytes);
	}
	if (ct->master)
		e->master = ctf_id_of(f, ct->master);
	ctf_copy_proto(f, e, ct);
	e->use = refcount_read(&ct->ct_general.use) - 1;
}

/* The entries that the packet at hand has to report on. */
static void ctf_report_entries(struct ctf_file *f, struct ctf_result *r)
{
	const size_t same = offsetof(struct ctf_entry, remaining);
	struct ctf_entry *out = (struct ctf_entry *)(r + 1);
	unsigned int i;

	for (i = 0; i < f->nknown; i++) {
		struct ctf_known *k = &f->known[i];
		bool current_one = r->last_state == CTF_ENTRY &&
				   k->last.id == r->last_entry;
		u32 deadline = READ_ONCE(k->ct->timeout);
		struct ctf_entry now;

		ctf_copy_entry(f, &now, k->ct, k->last.id);
		if (!current_one && k->reported &&
		    !memcmp(&now, &k->last, same) &&
		    (deadline == k->timeout || (now.flags & CTF_E_EXPIRED)))
			continue;
		k->last = now;
		k->timeout = deadline;
		k->reported = true;
		if (current_one)
			now.flags |= CTF_E_CURRENT;
		*out++ = now;
		r->nentries++;
	}
}

/*
 * Who sends a packet has a route for it, and who translates the packet's
 * destination asks for another one. Where there are no routes it has none.
 */
static void ctf_route(struct net *net, struct sk_buff *skb)
{
	struct dst_entry *dst;

	if (skb->protocol == htons(ETH_P_IP)) {
		struct flowi4 fl4 = { .daddr = ip_hdr(skb)->daddr };
		struct rtable *rt = ip_route_output_key(net, &fl4);

		if (IS_ERR(rt))
			return;
		dst = &rt->dst;
	} else {
		struct flowi6 fl6 = { .daddr = ipv6_hdr(skb)->daddr };

		dst = ip6_route_output(net, NULL, &fl6);
		if (dst->error) {
			dst_release(dst);
			return;
		}
	}
	skb_dst_drop(skb);
	skb_dst_set(skb, dst);
}

/* Runs the hooks of @path from the @from-th on; NULL when the packet is gone. */
static struct sk_buff *ctf_walk(struct ctf_file *f, struct ctf_result *r,
				struct sk_buff *skb, u8 path, unsigned int from,
				unsigned int to)
{
	u8 pf = skb->protocol == htons(ETH_P_IP) ? NFPROTO_IPV4 : NFPROTO_IPV6;
	unsigned int i, verdict;

	for (i = from; i < to && ctf_hooks[path][i] != 0xff; i++) {
		/* Not routed: who translates it must not look for its IPsec. */
		if (pf == NFPROTO_IPV4)
			IPCB(skb)->flags |= IPSKB_XFRM_TRANSFORMED;
		else
			IP6CB(skb)->flags |= IP6SKB_XFRM_TRANSFORMED;
		if (ctf_hooks[path][i] == NF_INET_LOCAL_OUT)
			ctf_route(f->net, skb);
		verdict = ct_run_hook(f->net, pf, ctf_hooks[path][i], skb);
		r->verdict[r->nverdicts++] = verdict;
		if ((verdict & NF_VERDICT_MASK) == NF_STOLEN)
			skb = NULL;
		if (r->nverdicts == 1)
			ctf_look(f, skb, &r->first_state, &r->first_info,
				 &r->first_entry);
		if (!skb || (verdict & NF_VERDICT_MASK) != NF_ACCEPT)
			break;
	}
	return skb;
}

static struct sk_buff *ctf_make(struct ctf_file *f, struct ctf_result *r,
				const struct ctf_packet *p, const u8 *data)
{
	struct sk_buff *skb;

	skb = ct_skb_build(f->net, data, p->len, p->linear, p->family == 6,
			   GFP_KERNEL);
	if (!skb)
		return ERR_PTR(-ENOMEM);
	if (!ct_skb_valid(skb)) {
		r->outcome = CTF_REJECTED;
		goto drop;
	}
	skb->mark = p->mark;
	if (p->flags & CTF_CSUM_OK)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (p->zone) {
		struct nf_conntrack_zone zone;
		struct nf_conn *tmpl = NULL;

		nf_ct_zone_init(&zone, p->zone, p->zone_dir, p->zone_flags);
		if (f->tmpl_alloc)
			tmpl = f->tmpl_alloc(f->net, &zone, GFP_KERNEL);
		if (!tmpl) {
			r->outcome = CTF_NO_ZONE;
			goto drop;
		}
		__set_bit(IPS_CONFIRMED_BIT, &tmpl->status);
		nf_ct_set(skb, tmpl, IP_CT_NEW);
	}
	return skb;
drop:
	kfree_skb(skb);
	return NULL;
}

/* The packet that is to go on: the held one itself, or a clone of it. */
static struct sk_buff *ctf_unhold(struct ctf_file *f, const struct ctf_packet *p,
				  u8 *path)
{
	unsigned int i;

	for (i = 0; i < f->nheld; i++) {
		struct sk_buff *skb = f->held[i].skb;

		if (f->held[i].index != p->hold_ref)
			continue;
		*path = f->held[i].path;
		if (p->flags & CTF_CLONE)
			return skb_clone(skb, GFP_ATOMIC);
		f->held[i] = f->held[--f->nheld];
		return skb;
	}
	return NULL;
}

static int ctf_one(struct ctf_file *f, const struct ctf_packet *p, const u8 *data)
{
	struct ctf_result *r = (struct ctf_result *)(f->results + f->fill);
	struct sk_buff *skb = NULL;
	unsigned int i, from = 0, to = 4;
	u8 path = p->path;
	u32 stat[13];

	if (p->flags & CTF_SEQ_START || !f->started) {
		ctf_end_sequence(f);
		if (f->started)
			f->sequence++;
		f->started = true;
		f->index = 0;
		f->began = jiffies;
		ctf_stats(f->net, f->stat);
	}

	memset(r, 0, sizeof(*r));
	r->sequence = f->sequence;
	r->index = f->index;
	r->first_entry = CTF_NO_ENTRY;
	r->last_entry = CTF_NO_ENTRY;
	r->outcome = CTF_DONE;

	if (path != CTF_RELEASE) {
		skb = ctf_make(f, r, p, data);
		if (IS_ERR(skb))
			return PTR_ERR(skb);
	}

	local_bh_disable();
	ctf_age(f, p->delay_ms);
	if (path == CTF_RELEASE) {
		skb = ctf_unhold(f, p, &path);
		from = 1;
		if (!skb)
			r->outcome = CTF_MISSING;
	}
	if (p->flags & CTF_HOLD)
		to = 1;
	if (skb) {
		skb = ctf_walk(f, r, skb, path, from, to);
		ctf_look(f, skb, &r->last_state, &r->last_info, &r->last_entry);
		r->ip_summed = skb ? skb->ip_summed : 0;
		r->skb_len = skb ? skb->len : 0;
	}
	if (p->delay_ms)
		ctf_collect(f);
	f->now = jiffies;
	r->elapsed = f->now - f->began;
	r->hz = HZ;
	ctf_stats(f->net, stat);
	for (i = 0; i < 13; i++) {
		r->stat[i] = min(stat[i] - f->stat[i], 255U);
		f->stat[i] = stat[i];
	}
	ctf_report_entries(f, r);
	if (skb && p->flags & CTF_HOLD && p->path != CTF_RELEASE &&
	    r->verdict[0] == NF_ACCEPT) {
		if (f->nheld < CTF_MAX_HELD) {
			f->held[f->nheld].skb = skb;
			f->held[f->nheld].index = f->index;
			f->held[f->nheld++].path = path;
			r->outcome = CTF_HELD;
			skb = NULL;
		} else {
			r->outcome = CTF_MISSING;
		}
	}
	if (skb)
		kfree_skb(skb);
	local_bh_enable();

	f->index++;
	r->size = sizeof(*r) + r->nentries * sizeof(struct ctf_entry);
	f->fill += r->size;
	return 0;
}

static bool ctf_packet_valid(const struct ctf_packet *p)
{
	return p->len <= CTF_MAX_LEN && p->path < CTF_PATHS &&
	       (p->linear >= p->len || p->len - p->linear <= CTF_MAX_NONLINEAR) &&
	       (p->family == 4 || p->family == 6) && !(p->flags & ~CTF_FLAGS) &&
	       (p->path != CTF_RELEASE || !p->len) &&
	       p->zone_dir <= 3 && p->zone_flags <= 1;
}

static ssize_t ctf_write(struct file *file, const char __user *user, size_t len,
			 loff_t *pos)
{
	struct ctf_file *f = file->private_data;
	struct ctf_packet p;
	size_t done = 0;
	int err = 0;
	u8 *buf;

	len = min_t(size_t, len, CTF_MAX_WRITE);
	buf = vmemdup_user(user, len);
	if (IS_ERR(buf))
		return PTR_ERR(buf);

	mutex_lock(&f->lock);
	if (f->drained == f->fill)
		f->drained = f->fill = 0;
	while (len - done >= sizeof(p)) {
		size_t whole;

		memcpy(&p, buf + done, sizeof(p));
		if (!ctf_packet_valid(&p)) {
			err = -EINVAL;
			break;
		}
		whole = sizeof(p) + ALIGN(p.len, 8);
		if (len - done < whole)
			break;
		if (CTF_RESULTS - f->fill < CTF_WORST) {
			err = -ENOBUFS;
			break;
		}
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		err = ctf_one(f, &p, buf + done + sizeof(p));
		if (err)
			break;
		done += whole;
		cond_resched();
	}
	mutex_unlock(&f->lock);
	kvfree(buf);
	if (done)
		return done;
	return err ? err : -EINVAL;
}

static ssize_t ctf_read(struct file *file, char __user *user, size_t len,
			loff_t *pos)
{
	struct ctf_file *f = file->private_data;
	ssize_t ret;

	mutex_lock(&f->lock);
	ret = min(len, f->fill - f->drained);
	if (copy_to_user(user, f->results + f->drained, ret))
		ret = -EFAULT;
	else
		f->drained += ret;
	mutex_unlock(&f->lock);
	return ret;
}

static int ctf_open(struct inode *inode, struct file *file)
{
	struct ctf_file *f;
	int err;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	f = kzalloc(sizeof(*f), GFP_KERNEL);
	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	f->known = kvcalloc(CTF_MAX_ENTRIES, sizeof(*f->known), GFP_KERNEL);
	f->results = kvmalloc(CTF_RESULTS, GFP_KERNEL);
	err = -ENOMEM;
	if (!f->known || !f->results)
		goto fail;
	f->net = get_net(current->nsproxy->net_ns);
	err = ct_tracking_get(f->net);
	if (err < 0) {
		put_net(f->net);
		goto fail;
	}
	f->tracking = err;
	if (f->tracking) {
		f->tmpl_alloc = symbol_get(nf_ct_tmpl_alloc);
		f->delete = symbol_get(nf_ct_delete);
	}
	file->private_data = f;
	return 0;
fail:
	kvfree(f->results);
	kvfree(f->known);
	kfree(f);
	return err;
}

static int ctf_release(struct inode *inode, struct file *file)
{
	struct ctf_file *f = file->private_data;

	ctf_end_sequence(f);
	if (f->delete)
		symbol_put(nf_ct_delete);
	if (f->tmpl_alloc)
		symbol_put(nf_ct_tmpl_alloc);
	if (f->tracking)
		ct_tracking_put(f->net);
	put_net(f->net);
	kvfree(f->results);
	kvfree(f->known);
	kfree(f);
	return 0;
}

static const struct file_operations ctf_fops = {
	.owner = THIS_MODULE,
	.open = ctf_open,
	.release = ctf_release,
	.read = ctf_read,
	.write = ctf_write,
};

static struct miscdevice ctf_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ct_feeder",
	.fops = &ctf_fops,
	.mode = 0600,
};

static int __init ctf_init(void)
{
	BUILD_BUG_ON(sizeof(struct ctf_packet) != 24);
	BUILD_BUG_ON(sizeof(struct ctf_result) != 64);
	BUILD_BUG_ON(sizeof(struct ctf_entry) != 216);
	BUILD_BUG_ON(offsetof(struct ctf_entry, remaining) != 200);
	return misc_register(&ctf_device);
}

static void __exit ctf_exit(void)
{
	misc_deregister(&ctf_device);
}

module_init(ctf_init);
module_exit(ctf_exit);
MODULE_DESCRIPTION("Feeds packets to the netfilter hooks and reports on their conntrack entries");
MODULE_LICENSE("GPL");
