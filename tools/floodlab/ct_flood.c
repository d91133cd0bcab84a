// SPDX-License-Identifier: GPL-2.0
/*
 * Floods the netfilter hooks of a network namespace, with honest traffic in
 * between, and tells what became of both.
 *
 * Whichever nf_conntrack is loaded serves it. One packet is used over and over,
 * PRE_ROUTING then POST_ROUTING, with bottom halves off, on the writer's CPU.
 *
 * Write to /dev/ct_flood one of
 *   "established N"           complete handshakes; they stay
 *   "timewait N"              handshakes and both FINs
 *   "halfopen N"              SYNs without an answer, from a range of their own
 *   "syn COUNT RTT EVERY"     a flood of SYNs, each of another source. After
 *   "udp COUNT RTT EVERY"     each EVERY of them an honest client sends its
 *                             first packet, and the answer comes RTT flood
 *                             packets later
 *   "alive N"                 whether the established ones still are
 *   "clear"                   flush
 * and read a line of
 *   PACKETS REFUSED FIRST-ACCEPTED HONEST LOST MEDIAN-PICOSECONDS
 * FIRST-ACCEPTED counts the packets refused before the first that was not. The
 * median is over runs of CHUNK flood packets, with the honest ones among them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/tcp.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/udp.h>
#include <net/netfilter/nf_conntrack_core.h>

#include "../feeder/ct_skb.h"

#define MAX_PACKETS	100000000U
#define BATCH		64U
#define CHUNK		64U

/* The first octet tells who sends. */
enum who { ESTABLISHED = 10, TIMEWAIT = 11, HALFOPEN = 12, HONEST = 13, FLOOD = 32 };

struct flood {
	struct mutex lock;
	struct net *net;
	struct sk_buff *tcp, *udp;
	u32 serial;		/* of flood packets: no two are of one flow */
	u32 honest_serial;
	char out[160];
	size_t len, at;
};

struct result {
	u32 packets, refused, first, honest, lost;
	u64 median;
};

static struct sk_buff *template(struct net *net, bool tcp)
{
	unsigned int l4_len = tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	unsigned int len = sizeof(struct iphdr) + l4_len;
	u8 data[sizeof(struct iphdr) + sizeof(struct tcphdr)] = {};
	struct sk_buff *skb;
	struct iphdr *ip;

	skb = ct_skb_build(net, data, len, len, false, GFP_KERNEL);
	if (!skb)
		return NULL;
	skb_set_transport_header(skb, sizeof(*ip));
	ip = ip_hdr(skb);
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = htons(len);
	ip->frag_off = htons(IP_DF);
	ip->ttl = 64;
	ip->protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	memset(IPCB(skb), 0, sizeof(struct inet_skb_parm));
	if (tcp) {
		tcp_hdr(skb)->doff = 5;
		tcp_hdr(skb)->window = htons(65535);
	} else {
		udp_hdr(skb)->len = htons(l4_len);
	}
	return skb;
}

/* A packet's state after its way through the hooks; -1 if it was dropped. */
static int walk(struct flood *f, struct sk_buff *skb)
{
	int info = -1;

	skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (ct_run_hook(f->net, NFPROTO_IPV4, NF_INET_PRE_ROUTING, skb) == NF_ACCEPT &&
	    ct_run_hook(f->net, NFPROTO_IPV4, NF_INET_POST_ROUTING, skb) == NF_ACCEPT)
		info = skb_nfct(skb) ? skb_get_nfct(skb) & NFCT_INFOMASK : IP_CT_UNTRACKED;
	nf_reset_ct(skb);
	return info;
}

static void address(struct sk_buff *skb, enum who who, u32 id, bool reply)
{
	__be16 *port = (__be16 *)skb_transport_header(skb);
	/* Floods use all of the addresses from FLOOD on. */
	__be32 client = htonl(((u32)who << 24) + id / 16);
	__be32 server = htonl(0xc0000201);
	struct iphdr *ip = ip_hdr(skb);

	ip->saddr = reply ? server : client;
	ip->daddr = reply ? client : server;
	port[reply] = htons(1024 + id % 16 * 4001);
	port[!reply] = htons(80);
}

static int segment(struct flood *f, enum who who, u32 id, bool reply, bool syn,
		   bool ack, bool fin, u32 seq, u32 ack_seq)
{
	struct tcphdr *th = tcp_hdr(f->tcp);

	address(f->tcp, who, id, reply);
	th->syn = syn;
	th->ack = ack;
	th->fin = fin;
	th->seq = htonl(seq);
	th->ack_seq = htonl(ack ? ack_seq : 0);
	return walk(f, f->tcp);
}

static int datagram(struct flood *f, enum who who, u32 id, bool reply)
{
	address(f->udp, who, id, reply);
	return walk(f, f->udp);
}

static int syn(struct flood *f, enum who who, u32 id)
{
	return segment(f, who, id, false, true, false, false, 1000, 0);
}

/* The rest of a handshake: whether both packets found their connection. */
static bool complete_handshake(struct flood *f, enum who who, u32 id)
{
	return segment(f, who, id, true, true, true, false, 5000, 1001) ==
		       IP_CT_ESTABLISHED_REPLY &&
	       segment(f, who, id, false, false, true, false, 1001, 5001) ==
		       IP_CT_ESTABLISHED;
}

static bool close_both(struct flood *f, enum who who, u32 id)
{
	return segment(f, who, id, false, false, true, true, 1001, 5001) >= 0 &&
	       segment(f, who, id, true, false, true, true, 5001, 1002) >= 0 &&
	       segment(f, who, id, false, false, true, false, 1002, 5002) >= 0;
}

static bool is_alive(struct flood *f, u32 id)
{
	return segment(f, ESTABLISHED, id, true, false, true, false, 5001, 1001) ==
	       IP_CT_ESTABLISHED_REPLY;
}

static bool one(struct flood *f, char what, u32 id)
{
	switch (what) {
	case 'e':
		return syn(f, ESTABLISHED, id) == IP_CT_NEW &&
		       complete_handshake(f, ESTABLISHED, id);
	case 't':
		return syn(f, TIMEWAIT, id) == IP_CT_NEW &&
		       complete_handshake(f, TIMEWAIT, id) && close_both(f, TIMEWAIT, id);
	case 'h':
		return syn(f, HALFOPEN, id) == IP_CT_NEW;
	default:
		return is_alive(f, id);
	}
}

static void each(struct flood *f, char what, u32 count, struct result *r)
{
	u32 i;

	for (i = 0; i < count;) {
		u32 stop = min(i + BATCH, count);

		local_bh_disable();
		for (; i < stop; i++)
			r->refused += !one(f, what, i);
		local_bh_enable();
		cond_resched();
	}
	r->packets = count;
}

static int smaller(const void *a, const void *b)
{
	return cmp_int(*(const u32 *)a, *(const u32 *)b);
}

static int flood(struct flood *f, bool tcp, u32 count, u32 rtt, u32 every, struct result *r)
{
	u32 i, nchunks = 0, first_honest = f->honest_serial, *chunks;
	bool accepted = false;
	u64 last;

	chunks = kvmalloc_array(count / CHUNK + 1, sizeof(*chunks), GFP_KERNEL);
	if (!chunks)
		return -ENOMEM;
	last = ktime_get_ns();
	for (i = 0; i < count;) {
		u32 stop = min(i + BATCH, count);

		local_bh_disable();
		for (; i < stop; i++) {
			u32 id = f->serial++;
			int info = tcp ? syn(f, FLOOD, id) : datagram(f, FLOOD, id, false);

			if (info != IP_CT_NEW)
				r->refused++;
			else
				accepted = true;
			r->first += !accepted;
			if (!every)
				continue;
			if (i % every == 0 && i + rtt < count) {
				u32 honest = first_honest + r->honest++;

				/* One that is refused counts as lost when its answer is due. */
				if (tcp)
					syn(f, HONEST, honest);
				else
					datagram(f, HONEST, honest, false);
				f->honest_serial++;
			}
			if (i >= rtt && (i - rtt) % every == 0) {
				u32 honest = first_honest + (i - rtt) / every;

				if (tcp ? !complete_handshake(f, HONEST, honest) :
				    datagram(f, HONEST, honest, true) != IP_CT_ESTABLISHED_REPLY)
					r->lost++;
			}
		}
		local_bh_enable();
		cond_resched();
		if (i % CHUNK == 0) {
			u64 now = ktime_get_ns();

			chunks[nchunks++] = now - last;
			last = now;
		}
	}
	r->packets = count;
	if (nchunks) {
		sort(chunks, nchunks, sizeof(*chunks), smaller, NULL);
		r->median = chunks[nchunks / 2] * 1000ULL / CHUNK;
	}
	kvfree(chunks);
	return 0;
}

static int any_entry(struct nf_conn *ct, void *data)
{
	return 1;
}

static int clear(struct flood *f)
{
	typeof(nf_ct_iterate_cleanup_net) *cleanup;
	struct nf_ct_iter_data data = { .net = f->net };

	cleanup = symbol_get(nf_ct_iterate_cleanup_net);
	if (!cleanup)
		return -EOPNOTSUPP;
	cleanup(any_entry, &data);
	symbol_put(nf_ct_iterate_cleanup_net);
	return 0;
}

static int command(struct flood *f, const char *text)
{
	struct result r = {};
	unsigned int count, rtt, every;
	char word[16];
	int err = 0, n;

	f->len = f->at = 0;
	n = sscanf(text, "%15s %u %u %u", word, &count, &rtt, &every);
	if (n == 1 && !strcmp(word, "clear"))
		return clear(f);
	if (n < 2 || count > MAX_PACKETS)
		return -EINVAL;
	if (n == 4 && (!strcmp(word, "syn") || !strcmp(word, "udp")))
		err = flood(f, word[0] == 's', count, rtt, every, &r);
	else if (n == 2 && (!strcmp(word, "established") || !strcmp(word, "timewait") ||
			    !strcmp(word, "halfopen") || !strcmp(word, "alive")))
		each(f, word[0], count, &r);
	else
		err = -EINVAL;
	if (!err)
		f->len = scnprintf(f->out, sizeof(f->out), "%u %u %u %u %u %llu\n", r.packets,
				   r.refused, r.first, r.honest, r.lost, r.median);
	return err;
}

static ssize_t flood_write(struct file *file, const char __user *user, size_t len,
			   loff_t *pos)
{
	struct flood *f = file->private_data;
	char text[64];
	int err;

	if (!len || len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, user, len))
		return -EFAULT;
	text[len] = 0;
	mutex_lock(&f->lock);
	err = command(f, text);
	mutex_unlock(&f->lock);
	return err ? err : len;
}

static ssize_t flood_read(struct file *file, char __user *user, size_t len, loff_t *pos)
{
	struct flood *f = file->private_data;
	ssize_t ret;

	mutex_lock(&f->lock);
	ret = min(len, f->len - f->at);
	if (copy_to_user(user, f->out + f->at, ret))
		ret = -EFAULT;
	else
		f->at += ret;
	mutex_unlock(&f->lock);
	return ret;
}

static void release(struct flood *f)
{
	kfree_skb(f->tcp);
	kfree_skb(f->udp);
	put_net(f->net);
	kfree(f);
}

static int flood_open(struct inode *inode, struct file *file)
{
	struct flood *f;
	int err;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	f = kzalloc(sizeof(*f), GFP_KERNEL);
	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	f->net = get_net(current->nsproxy->net_ns);
	f->tcp = template(f->net, true);
	f->udp = template(f->net, false);
	err = f->tcp && f->udp ? ct_tracking_get(f->net) : -ENOMEM;
	if (err <= 0) {
		release(f);
		return err ? err : -ENODEV;
	}
	file->private_data = f;
	return 0;
}

static int flood_release(struct inode *inode, struct file *file)
{
	struct flood *f = file->private_data;

	ct_tracking_put(f->net);
	release(f);
	return 0;
}

static const struct file_operations flood_fops = {
	.owner = THIS_MODULE,
	.open = flood_open,
	.release = flood_release,
	.read = flood_read,
	.write = flood_write,
};

static struct miscdevice flood_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ct_flood",
	.fops = &flood_fops,
	.mode = 0600,
};
module_misc_device(flood_device);

MODULE_DESCRIPTION("Floods the netfilter hooks");
MODULE_LICENSE("GPL");
