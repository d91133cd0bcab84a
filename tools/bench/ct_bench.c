// SPDX-License-Identifier: GPL-2.0
/*
 * Times packets through the netfilter hooks of a network namespace.
 *
 * Whichever nf_conntrack is loaded serves it, or none: that is what the loop
 * itself costs. Each CPU uses one packet over and over: write the flow's
 * addresses and ports into it, PRE_ROUTING, POST_ROUTING, drop its entry. No
 * allocation and no checksum is part of the figures but what the engine does.
 *
 * Write to /dev/ct_bench:
 *   "run udp|tcp 4|6 FLOWS CPUS"	all phases; the entries stay
 *   "clear"				flush the namespace's entries
 * and read what came out: lines of
 *   PHASE PACKETS NANOSECONDS-ALL-CPUS AS-EXPECTED MEDIAN-PICOSECONDS
 * Nanoseconds are summed over the CPUs: divided by the packets they are what a
 * packet costs on its CPU, with all that came between. The median is that of
 * what a packet costs in each run of CHUNK packets: the host's other work
 * disturbs it little. AS-EXPECTED counts packets that ended with the packet
 * state that the phase stands for.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/tcp.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/udp.h>
#include <net/netfilter/nf_conntrack_core.h>

#include "../feeder/ct_skb.h"

#define MAX_FLOWS	1000000U
#define MAX_CPUS	8U
#define BATCH		64U
#define CHUNK		(4 * BATCH)
#define MAX_CHUNKS	(MAX_FLOWS / CHUNK + MAX_CPUS)

enum phase { FIRST, REPLY, THIRD, ESTABLISHED, ESTABLISHED_REPLY, PHASES };

static const char * const phase_names[PHASES] = {
	"first", "reply", "handshake", "established", "established",
};

static const u8 phase_info[PHASES] = {
	IP_CT_NEW, IP_CT_ESTABLISHED_REPLY, IP_CT_ESTABLISHED, IP_CT_ESTABLISHED,
	IP_CT_ESTABLISHED_REPLY,
};

struct bench {
	struct mutex lock;
	struct net *net;
	bool tracking;
	bool tcp, v6;
	u32 flows;
	u32 ncpus;
	u32 *order;
	u32 *chunks;		/* nanoseconds of each whole one */
	atomic_t nchunks;
	atomic_t ready;
	enum phase phase;
	char out[512];
	size_t len, at;
};

struct worker {
	struct bench *b;
	u32 from, to;		/* of the flows */
	u32 expected;		/* packets */
	u64 ns;
	int err;
	struct completion done;
};

static void fill_v4(struct sk_buff *skb, u32 flow, bool reply)
{
	struct iphdr *ip = ip_hdr(skb);
	__be32 client = htonl(0x0a000000 + flow / 64);
	__be32 server = htonl(0xc0000201);

	ip->saddr = reply ? server : client;
	ip->daddr = reply ? client : server;
}

static void fill_v6(struct sk_buff *skb, u32 flow, bool reply)
{
	struct ipv6hdr *ip = ipv6_hdr(skb);
	struct in6_addr *client = reply ? &ip->daddr : &ip->saddr;
	struct in6_addr *server = reply ? &ip->saddr : &ip->daddr;

	ipv6_addr_set(client, htonl(0x20010db8), 0, 0, htonl(1 + flow / 64));
	ipv6_addr_set(server, htonl(0x20010db8), htonl(0xffff0000), 0, htonl(1));
}

static void fill_ports(const struct bench *b, struct sk_buff *skb, u32 flow,
		       bool reply)
{
	__be16 *port = (__be16 *)skb_transport_header(skb);

	port[reply] = htons(1024 + flow % 64 * 1000);
	port[!reply] = htons(b->tcp ? 80 : 53);
}

/* What no two packets of a phase differ in. */
static struct sk_buff *template(const struct bench *b)
{
	bool reply = b->phase == REPLY || b->phase == ESTABLISHED_REPLY;
	unsigned int net_len = b->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	unsigned int l4_len = b->tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	unsigned int len = net_len + l4_len;
	struct sk_buff *skb;
	u8 data[sizeof(struct ipv6hdr) + sizeof(struct tcphdr)] = {};

	skb = ct_skb_build(b->net, data, len, len, b->v6, GFP_KERNEL);
	if (!skb)
		return NULL;
	skb_set_transport_header(skb, net_len);
	if (b->v6) {
		struct ipv6hdr *ip = ipv6_hdr(skb);

		ip->version = 6;
		ip->payload_len = htons(l4_len);
		ip->nexthdr = b->tcp ? IPPROTO_TCP : IPPROTO_UDP;
		ip->hop_limit = 64;
		memset(IP6CB(skb), 0, sizeof(struct inet6_skb_parm));
	} else {
		struct iphdr *ip = ip_hdr(skb);

		ip->version = 4;
		ip->ihl = 5;
		ip->tot_len = htons(len);
		ip->frag_off = htons(IP_DF);
		ip->ttl = 64;
		ip->protocol = b->tcp ? IPPROTO_TCP : IPPROTO_UDP;
		memset(IPCB(skb), 0, sizeof(struct inet_skb_parm));
	}
	if (b->tcp) {
		struct tcphdr *th = tcp_hdr(skb);

		th->doff = 5;
		th->window = htons(65535);
		th->syn = b->phase == FIRST || b->phase == REPLY;
		th->ack = b->phase != FIRST;
		th->seq = htonl((reply ? 5000 : 1000) + !th->syn);
		if (th->ack)
			th->ack_seq = htonl(reply ? 1001 : 5001);
	} else {
		udp_hdr(skb)->len = htons(l4_len);
	}
	return skb;
}

static int work(void *data)
{
	struct worker *w = data;
	struct bench *b = w->b;
	bool reply = b->phase == REPLY || b->phase == ESTABLISHED_REPLY;
	u8 pf = b->v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	u8 info = phase_info[b->phase];
	struct sk_buff *skb = template(b);
	u32 i, expected = 0;
	u64 start, last, now;

	w->err = skb ? 0 : -ENOMEM;
	/* All start together, the one that has no packet too. */
	atomic_inc(&b->ready);
	while (atomic_read(&b->ready) < b->ncpus)
		cond_resched();
	if (!skb)
		goto out;

	start = last = ktime_get_ns();
	for (i = w->from; i < w->to;) {
		u32 stop = min(i + BATCH, w->to);

		local_bh_disable();
		for (; i < stop; i++) {
			u32 flow = b->order[i];
			unsigned int verdict;

			if (b->v6)
				fill_v6(skb, flow, reply);
			else
				fill_v4(skb, flow, reply);
			fill_ports(b, skb, flow, reply);
			skb->ip_summed = CHECKSUM_UNNECESSARY;
			verdict = ct_run_hook(b->net, pf, NF_INET_PRE_ROUTING, skb);
			if (likely(verdict == NF_ACCEPT))
				verdict = ct_run_hook(b->net, pf,
						      NF_INET_POST_ROUTING, skb);
			expected += verdict == NF_ACCEPT && skb_nfct(skb) &&
				    (skb_get_nfct(skb) & NFCT_INFOMASK) == info;
			nf_reset_ct(skb);
		}
		local_bh_enable();
		cond_resched();
		if ((i - w->from) % CHUNK)
			continue;
		now = ktime_get_ns();
		b->chunks[atomic_inc_return(&b->nchunks) - 1] = now - last;
		last = now;
	}
	w->ns = ktime_get_ns() - start;
	w->expected = expected;
	kfree_skb(skb);
out:
	complete(&w->done);
	return 0;
}

static int run_phase(struct bench *b, enum phase phase, u64 *ns, u64 *expected)
{
	struct worker w[MAX_CPUS] = {};
	unsigned int i, started, cpu = cpumask_first(cpu_online_mask);
	int err = 0;

	b->phase = phase;
	atomic_set(&b->ready, 0);
	atomic_set(&b->nchunks, 0);
	for (started = 0; started < b->ncpus; started++) {
		struct task_struct *task;

		i = started;
		w[i].b = b;
		w[i].from = (u64)b->flows * i / b->ncpus;
		w[i].to = (u64)b->flows * (i + 1) / b->ncpus;
		init_completion(&w[i].done);
		task = kthread_create(work, &w[i], "ct_bench/%u", cpu);
		if (IS_ERR(task)) {
			err = PTR_ERR(task);
			break;
		}
		kthread_bind(task, cpu);
		wake_up_process(task);
		cpu = cpumask_next(cpu, cpu_online_mask);
	}
	/* Those that did start must not wait for the rest for ever. */
	atomic_add(b->ncpus - started, &b->ready);
	*ns = *expected = 0;
	for (i = 0; i < started; i++) {
		wait_for_completion(&w[i].done);
		err = err ? err : w[i].err;
		*ns += w[i].ns;
		*expected += w[i].expected;
	}
	return err;
}

static void shuffle(u32 *order, u32 n, u64 seed)
{
	struct rnd_state rnd;
	u32 i;

	prandom_seed_state(&rnd, seed);
	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n; i > 1; i--) {
		u32 other = prandom_u32_state(&rnd) % i;

		swap(order[i - 1], order[other]);
	}
}

static int smaller(const void *a, const void *b)
{
	return cmp_int(*(const u32 *)a, *(const u32 *)b);
}

/* What a packet of the middle chunk took, in picoseconds. */
static u64 median(struct bench *b)
{
	u32 n = atomic_read(&b->nchunks);

	if (!n)
		return 0;
	sort(b->chunks, n, sizeof(*b->chunks), smaller, NULL);
	return b->chunks[n / 2] * 1000ULL / CHUNK;
}

static int run(struct bench *b, bool tcp, bool v6, u32 flows, u32 ncpus)
{
	enum phase phase;
	int err = 0;

	b->tcp = tcp;
	b->v6 = v6;
	b->flows = flows;
	b->ncpus = ncpus;
	b->len = b->at = 0;
	b->order = kvmalloc_array(flows, sizeof(*b->order), GFP_KERNEL);
	b->chunks = kvmalloc_array(MAX_CHUNKS, sizeof(*b->chunks), GFP_KERNEL);
	if (!b->order || !b->chunks) {
		err = -ENOMEM;
		goto out;
	}
	for (phase = FIRST; phase < PHASES; phase++) {
		u64 ns, expected;

		if (phase == THIRD && !tcp)
			continue;
		shuffle(b->order, flows, phase + 1);
		err = run_phase(b, phase, &ns, &expected);
		if (err)
			break;
		b->len += scnprintf(b->out + b->len, sizeof(b->out) - b->len,
				    "%s %u %llu %llu %llu\n", phase_names[phase],
				    flows, ns, expected, median(b));
	}
out:
	kvfree(b->chunks);
	kvfree(b->order);
	return err;
}

static int any_entry(struct nf_conn *ct, void *data)
{
	return 1;
}

static int clear(struct bench *b)
{
	typeof(nf_ct_iterate_cleanup_net) *cleanup;
	struct nf_ct_iter_data data = { .net = b->net };

	if (!b->tracking)
		return 0;
	cleanup = symbol_get(nf_ct_iterate_cleanup_net);
	if (!cleanup)
		return -EOPNOTSUPP;
	cleanup(any_entry, &data);
	symbol_put(nf_ct_iterate_cleanup_net);
	return 0;
}

static ssize_t bench_write(struct file *file, const char __user *user, size_t len,
			   loff_t *pos)
{
	struct bench *b = file->private_data;
	unsigned int family, flows, ncpus;
	char text[64], proto[4];
	int err = -EINVAL;

	if (!len || len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, user, len))
		return -EFAULT;
	text[len] = 0;
	mutex_lock(&b->lock);
	if (!strncmp(text, "clear", 5))
		err = clear(b);
	else if (sscanf(text, "run %3s %u %u %u", proto, &family, &flows, &ncpus) == 4 &&
		 (!strcmp(proto, "tcp") || !strcmp(proto, "udp")) &&
		 (family == 4 || family == 6) && flows && flows <= MAX_FLOWS &&
		 ncpus && ncpus <= min(MAX_CPUS, num_online_cpus()))
		err = run(b, proto[0] == 't', family == 6, flows, ncpus);
	mutex_unlock(&b->lock);
	return err ? err : len;
}

static ssize_t bench_read(struct file *file, char __user *user, size_t len,
			  loff_t *pos)
{
	struct bench *b = file->private_data;
	ssize_t ret;

	mutex_lock(&b->lock);
	ret = min(len, b->len - b->at);
	if (copy_to_user(user, b->out + b->at, ret))
		ret = -EFAULT;
	else
		b->at += ret;
	mutex_unlock(&b->lock);
	return ret;
}

static int bench_open(struct inode *inode, struct file *file)
{
	struct bench *b;
	int err;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return -ENOMEM;
	mutex_init(&b->lock);
	b->net = get_net(current->nsproxy->net_ns);
	err = ct_tracking_get(b->net);
	if (err < 0) {
		put_net(b->net);
		kfree(b);
		return err;
	}
	b->tracking = err;
	file->private_data = b;
	return 0;
}

static int bench_release(struct inode *inode, struct file *file)
{
	struct bench *b = file->private_data;

	if (b->tracking)
		ct_tracking_put(b->net);
	put_net(b->net);
	kfree(b);
	return 0;
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.open = bench_open,
	.release = bench_release,
	.read = bench_read,
	.write = bench_write,
};

static struct miscdevice bench_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ct_bench",
	.fops = &bench_fops,
	.mode = 0600,
};
module_misc_device(bench_device);

MODULE_DESCRIPTION("Times packets through the netfilter hooks");
MODULE_LICENSE("GPL");
