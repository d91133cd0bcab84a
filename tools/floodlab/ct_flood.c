// SPDX-License-Identifier: GPL-2.0
/*
 * Floods the netfilter hooks of a network namespace, with honest traffic in
 * between, and tells what became of both.
 *
 * Whichever nf_conntrack is loaded serves it. One packet is used over and over,
 * PRE_ROUTING then POST_ROUTING, with bottom halves off, on the writer's CPU.
 *
 * Write to /dev/ct_flood one of
 *   "established N [PER]"     complete handshakes, PER of a source (16); they stay
 *   "timewait N"              handshakes and both FINs
 *   "closewait N"             handshakes, and a FIN of the server that was seen
 *   "halfopen N"              SYNs without an answer
 *   "syn COUNT RTT EVERY"     a flood of SYNs, each of another source. After
 *                             each EVERY of them an honest client sends its
 *                             first packet, and the answer comes RTT flood
 *                             packets later
 *   "udp COUNT RTT EVERY"     the same in UDP,
 *   "ntp COUNT RTT EVERY"     ... in UDP, each packet answered at once,
 *   "bot COUNT RTT EVERY"     ... whole handshakes, of 16 sources,
 *   "collide COUNT RTT EVERY" ... SYNs, every other one of a collected flow
 *      [BURST]                a rest after each BURST of them
 *   "collect BUCKETS"         notes the flood's flows in the first buckets
 *   "alive N [PER]"           whether the established ones still are
 *   "recover MS"              honest handshakes, until 50 in a row succeed
 *   "count"                   entries of the namespace
 *   "clear"                   flush
 * and read a line of
 *   PACKETS REFUSED FIRST-ACCEPTED HONEST LOST MEDIAN-PICOSECONDS
 * and of a flood's course, lines of
 *   MICROSECONDS PACKETS ENTRIES REFUSED ANSWERED LOST
 * FIRST-ACCEPTED counts the packets refused before the first that was not; of
 * "recover", it is the microseconds until the first of the 50. The median is
 * over runs of CHUNK flood packets, with the honest ones among them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/delay.h>
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
#define SAMPLES		160U
#define PER		16U	/* flows of a source, if nothing else is said */
#define BOTS		16U
#define COLLECTED	4096U
#define STREAK		50U	/* handshakes in a row that count as recovered */

/* The first octet tells who sends. */
enum who {
	ESTABLISHED = 10, TIMEWAIT = 11, HALFOPEN = 12, HONEST = 13, CLOSEWAIT = 14,
	BOT = 15, FLOOD = 32,
};

/* Who has it open floods with flows, and makes honest clients, of its own. */
static atomic_t opened = ATOMIC_INIT(0);

struct flood {
	struct mutex lock;
	struct net *net;
	struct sk_buff *tcp, *udp;
	unsigned int (*count)(const struct net *net);
	u32 serial;		/* of flood packets: no two are of one flow */
	u32 honest_serial;
	u32 per;
	u32 ncollected;
	u32 collected[COLLECTED];
	char *out;
	size_t len, at;
};

#define OUT_SIZE	((SAMPLES + 3) * 80)

struct result {
	u32 packets, refused, first, honest, lost;
	u64 median;
};

/* What a flood asks for. */
struct plan {
	char kind;
	u32 count, rtt, every, burst;
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

static void address(struct flood *f, struct sk_buff *skb, enum who who, u32 id, bool reply)
{
	__be16 *port = (__be16 *)skb_transport_header(skb);
	__be32 server = htonl(0xc0000201);
	struct iphdr *ip = ip_hdr(skb);
	u32 source = id / f->per, number = id % f->per * 4001;
	__be32 client;

	switch (who) {
	case BOT:
		source = id % BOTS;
		number = id / BOTS;
		break;
	case HONEST:
		source = id;
		number = 0;
		break;
	default:
		break;
	}
	/* Floods use all of the addresses from FLOOD on. */
	client = htonl(((u32)who << 24) + source);
	ip->saddr = reply ? server : client;
	ip->daddr = reply ? client : server;
	port[reply] = htons(1024 + number % 64512);
	port[!reply] = htons(80 + number / 64512);
}

static int segment(struct flood *f, enum who who, u32 id, bool reply, bool syn,
		   bool ack, bool fin, u32 seq, u32 ack_seq)
{
	struct tcphdr *th = tcp_hdr(f->tcp);

	address(f, f->tcp, who, id, reply);
	th->syn = syn;
	th->ack = ack;
	th->fin = fin;
	th->seq = htonl(seq);
	th->ack_seq = htonl(ack ? ack_seq : 0);
	return walk(f, f->tcp);
}

static int datagram(struct flood *f, enum who who, u32 id, bool reply)
{
	address(f, f->udp, who, id, reply);
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

static bool server_closes(struct flood *f, enum who who, u32 id)
{
	return segment(f, who, id, true, false, true, true, 5001, 1001) >= 0 &&
	       segment(f, who, id, false, false, true, false, 1001, 5002) >= 0;
}

static bool close_both(struct flood *f, enum who who, u32 id)
{
	return segment(f, who, id, false, false, true, true, 1001, 5001) >= 0 &&
	       segment(f, who, id, true, false, true, true, 5001, 1002) >= 0 &&
	       segment(f, who, id, false, false, true, false, 1002, 5002) >= 0;
}

static bool handshake(struct flood *f, enum who who, u32 id)
{
	return syn(f, who, id) == IP_CT_NEW && complete_handshake(f, who, id);
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
		return handshake(f, ESTABLISHED, id);
	case 't':
		return handshake(f, TIMEWAIT, id) && close_both(f, TIMEWAIT, id);
	case 'c':
		return handshake(f, CLOSEWAIT, id) && server_closes(f, CLOSEWAIT, id);
	case 'h':
		return syn(f, HALFOPEN, id) == IP_CT_NEW;
	default:
		return is_alive(f, id);
	}
}

static void each(struct flood *f, char what, u32 count, u32 per, struct result *r)
{
	u32 i;

	f->per = per;
	for (i = 0; i < count;) {
		u32 stop = min(i + BATCH, count);

		local_bh_disable();
		for (; i < stop; i++)
			r->refused += !one(f, what, i);
		local_bh_enable();
		cond_resched();
	}
	f->per = PER;
	r->packets = count;
}

static int smaller(const void *a, const void *b)
{
	return cmp_int(*(const u32 *)a, *(const u32 *)b);
}

/* One of the flood's: whether it was let in. */
static bool hostile(struct flood *f, char kind)
{
	u32 id = f->serial++;

	switch (kind) {
	case 'u':
		return datagram(f, FLOOD, id, false) == IP_CT_NEW;
	case 'n':
		return datagram(f, FLOOD, id, false) == IP_CT_NEW &&
		       datagram(f, FLOOD, id, true) == IP_CT_ESTABLISHED_REPLY;
	case 'b':
		return handshake(f, BOT, id);
	case 'c':
		if (id % 2 && f->ncollected)
			/* As long as it is in the table, it is no new one. */
			return syn(f, FLOOD, f->collected[id / 2 % f->ncollected]) >= 0;
		fallthrough;
	default:
		return syn(f, FLOOD, id) == IP_CT_NEW;
	}
}

static bool is_udp(char kind)
{
	return kind == 'u' || kind == 'n';
}

static void honest_begins(struct flood *f, char kind, u32 id)
{
	/* One that is refused counts as lost when its answer is due. */
	if (is_udp(kind))
		datagram(f, HONEST, id, false);
	else
		syn(f, HONEST, id);
}

static bool honest_ends(struct flood *f, char kind, u32 id)
{
	if (is_udp(kind))
		return datagram(f, HONEST, id, true) == IP_CT_ESTABLISHED_REPLY;
	return complete_handshake(f, HONEST, id);
}

static int flood(struct flood *f, const struct plan *p, struct result *r)
{
	u32 i, nchunks = 0, first_honest = f->honest_serial, *chunks, answered = 0;
	u32 slice = max(p->count / SAMPLES, 1U), next_sample = 0;
	u64 last, start, rested = 0;
	bool accepted = false;
	/* The line of the result comes before the samples. */
	size_t at = 80;

	chunks = kvmalloc_array(p->count / CHUNK + 1, sizeof(*chunks), GFP_KERNEL);
	if (!chunks)
		return -ENOMEM;
	start = last = ktime_get_ns();
	for (i = 0; i < p->count;) {
		u32 stop = min(i + BATCH, p->count);
		bool rest = p->burst && i / p->burst != stop / p->burst;

		local_bh_disable();
		for (; i < stop; i++) {
			bool let_in = hostile(f, p->kind);

			r->refused += !let_in;
			accepted |= let_in;
			r->first += !accepted;
			if (!p->every)
				continue;
			if (i % p->every == 0 && i + p->rtt < p->count) {
				honest_begins(f, p->kind, first_honest + r->honest++);
				f->honest_serial++;
			}
			if (i >= p->rtt && (i - p->rtt) % p->every == 0) {
				u32 honest = first_honest + (i - p->rtt) / p->every;

				if (honest_ends(f, p->kind, honest))
					answered++;
				else
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
		if (i >= next_sample) {
			next_sample = i + slice;
			at += scnprintf(f->out + at, OUT_SIZE - at, "%llu %u %u %u %u %u\n",
					(ktime_get_ns() - start) / 1000, i, f->count(f->net),
					r->refused, answered, r->lost);
			last = ktime_get_ns();
		}
		if (rest && i < p->count) {
			msleep(20);
			last = ktime_get_ns();
		}
	}
	r->packets = p->count;
	if (nchunks) {
		sort(chunks, nchunks, sizeof(*chunks), smaller, NULL);
		r->median = chunks[nchunks / 2] * 1000ULL / CHUNK;
	}
	kvfree(chunks);
	f->len = at;
	return 0;
}

/* Until all is well, or @ms are over. */
static void recover(struct flood *f, u32 ms, struct result *r)
{
	u64 start = ktime_get_ns(), begun = start, now = start;
	u32 streak = 0;

	while (streak < STREAK && now - start < ms * (u64)NSEC_PER_MSEC) {
		bool good;

		local_bh_disable();
		good = handshake(f, HONEST, f->honest_serial++);
		local_bh_enable();
		if (!streak)
			begun = now;
		streak = good ? streak + 1 : 0;
		r->packets++;
		r->refused += !good;
		usleep_range(200, 400);
		now = ktime_get_ns();
	}
	r->first = ((streak < STREAK ? now : begun) - start) / 1000;
}

/* The flood's flows whose original tuples are in the first buckets. */
static int collect(struct flood *f, u32 buckets, struct result *r)
{
	struct hlist_nulls_head **hash = symbol_get(nf_conntrack_hash);
	unsigned int *size = symbol_get(nf_conntrack_htable_size);
	int err = -EOPNOTSUPP;
	u32 i;

	if (!hash || !size)
		goto out;
	err = 0;
	f->ncollected = 0;
	rcu_read_lock();
	for (i = 0; i < min(buckets, *size); i++) {
		struct nf_conntrack_tuple_hash *h;
		struct hlist_nulls_node *n;

		hlist_nulls_for_each_entry_rcu(h, n, &(*hash)[i], hnnode) {
			u32 source = ntohl(h->tuple.src.u3.ip) - (FLOOD << 24);
			u32 port = ntohs(h->tuple.src.u.all) - 1024;

			if (NF_CT_DIRECTION(h) != IP_CT_DIR_ORIGINAL ||
			    h->tuple.src.l3num != NFPROTO_IPV4 || source >> 28 ||
			    f->ncollected == COLLECTED)
				continue;
			f->collected[f->ncollected++] = source * PER + port / 4001;
		}
	}
	rcu_read_unlock();
	r->packets = f->ncollected;
out:
	if (size)
		symbol_put(nf_conntrack_htable_size);
	if (hash)
		symbol_put(nf_conntrack_hash);
	return err;
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
	static const char * const floods[] = { "syn", "udp", "ntp", "bot", "collide" };
	static const char * const fills[] = {
		"established", "timewait", "closewait", "halfopen", "alive",
	};
	unsigned int first, rtt, every, burst = 0;
	struct result r = {};
	char word[16], line[80];
	int err = -EINVAL, n;

	f->len = f->at = 0;
	n = sscanf(text, "%15s %u %u %u %u", word, &first, &rtt, &every, &burst);
	if (n >= 2 && first > MAX_PACKETS)
		return -EINVAL;
	if (n == 1 && !strcmp(word, "clear")) {
		return clear(f);
	} else if (n == 1 && !strcmp(word, "count")) {
		r.packets = f->count(f->net);
		err = 0;
	} else if (n == 2 && !strcmp(word, "recover")) {
		recover(f, first, &r);
		err = 0;
	} else if (n == 2 && !strcmp(word, "collect")) {
		err = collect(f, first, &r);
	} else if (n >= 4 && match_string(floods, ARRAY_SIZE(floods), word) >= 0) {
		struct plan plan = { word[0], first, rtt, every, burst };

		err = flood(f, &plan, &r);
	} else if ((n == 2 || (n == 3 && rtt)) &&
		   match_string(fills, ARRAY_SIZE(fills), word) >= 0) {
		each(f, word[0], first, n == 3 ? rtt : PER, &r);
		err = 0;
	}
	if (err)
		return err;
	/* Padded: the samples are behind it. */
	n = scnprintf(line, sizeof(line), "%u %u %u %u %u %llu", r.packets, r.refused, r.first,
		      r.honest, r.lost, r.median);
	memset(line + n, ' ', sizeof(line) - n);
	line[sizeof(line) - 1] = '\n';
	memcpy(f->out, line, sizeof(line));
	f->len = max(f->len, sizeof(line));
	return 0;
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
	kvfree(f->out);
	kfree(f);
}

static int flood_open(struct inode *inode, struct file *file)
{
	struct flood *f;
	u32 number;
	int err;

	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	f = kzalloc(sizeof(*f), GFP_KERNEL);
	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	f->per = PER;
	number = (u32)atomic_inc_return(&opened);
	/* As many as there are addresses for. */
	f->serial = number << 26;
	f->honest_serial = number % 16 << 20;
	f->net = get_net(current->nsproxy->net_ns);
	f->out = kvzalloc(OUT_SIZE, GFP_KERNEL);
	f->tcp = template(f->net, true);
	f->udp = template(f->net, false);
	err = f->tcp && f->udp && f->out ? ct_tracking_get(f->net) : -ENOMEM;
	if (err <= 0) {
		release(f);
		return err ? err : -ENODEV;
	}
	f->count = symbol_get(nf_conntrack_count);
	if (!f->count) {
		ct_tracking_put(f->net);
		release(f);
		return -ENODEV;
	}
	file->private_data = f;
	return 0;
}

static int flood_release(struct inode *inode, struct file *file)
{
	struct flood *f = file->private_data;

	symbol_put(nf_conntrack_count);
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
