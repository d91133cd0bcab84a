// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that call all of connection tracking's kfuncs, for ../bpf.sh, which runs
 * them in a namespace that has one UDP flow: 10.0.1.2:5000 to 10.0.1.1:5001. What they
 * see is in `seen`.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define __ours __attribute__((preserve_access_index))

struct nf_conn {
	unsigned long status;
	__u32 timeout;
	__u32 mark;
} __ours;
/* The kernel calls it nf_conn___init before it is inserted; the layout is the same. */
#define nf_new nf_conn

struct bpf_ct_opts___own {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u16 ct_zone_id;
	__u8 ct_zone_dir;
	__u8 reserved[3];
};
#define opts bpf_ct_opts___own

struct nf_new *bpf_xdp_ct_alloc(struct xdp_md *, struct bpf_sock_tuple *, __u32, struct opts *, __u32) __ksym;
struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *, struct bpf_sock_tuple *, __u32, struct opts *, __u32) __ksym;
struct nf_new *bpf_skb_ct_alloc(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct opts *, __u32) __ksym;
struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct opts *, __u32) __ksym;
struct nf_conn *bpf_ct_insert_entry(struct nf_new *) __ksym;
void bpf_ct_release(struct nf_conn *) __ksym;
void bpf_ct_set_timeout(struct nf_new *, __u32) __ksym;
int bpf_ct_change_timeout(struct nf_conn *, __u32) __ksym;
int bpf_ct_set_status(const struct nf_new *, __u32) __ksym;
int bpf_ct_change_status(struct nf_conn *, __u32) __ksym;

#define TCP 6
#define UDP 17
#define SEEN_REPLY 2
#define ASSURED 4

int seen[32];

static void v4(struct bpf_sock_tuple *t, __u32 from, __u16 sport, __u32 to, __u16 dport)
{
	__builtin_memset(t, 0, sizeof(*t));
	t->ipv4.saddr = bpf_htonl(from);
	t->ipv4.daddr = bpf_htonl(to);
	t->ipv4.sport = bpf_htons(sport);
	t->ipv4.dport = bpf_htons(dport);
}

#define CLIENT 0x0a000102
#define ROUTER 0x0a000101

/* The same for both kinds of program. */
#define PROGRAM(kind, context, ADDRESS)								\
static __always_inline int find_##kind(struct context *ctx, struct bpf_sock_tuple *t, __u32 size,	\
				       struct opts *o, __u32 osize)				\
{												\
	struct nf_conn *ct = bpf_##kind##_ct_lookup(ctx, t, size, o, osize);			\
	int status;										\
												\
	if (!ct)										\
		return o->error;								\
	status = ct->status & 0xffff;								\
	bpf_ct_release(ct);									\
	return status;										\
}												\
												\
static __always_inline int all_##kind(struct context *ctx)						\
{												\
	struct opts o = { .netns_id = -1, .l4proto = UDP };					\
	struct bpf_sock_tuple t;								\
	struct nf_new *new;								\
	struct nf_conn *ct;									\
												\
	v4(&t, CLIENT, 5000, ROUTER, 5001);							\
	seen[0] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	seen[1] = o.dir << 8 | o.ct_zone_dir;							\
	seen[2] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, 12);					\
	v4(&t, ROUTER, 5001, CLIENT, 5000);							\
	seen[3] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	seen[4] = o.dir;									\
	v4(&t, ROUTER, 5001, CLIENT, 5002);							\
	seen[5] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	/* What is wrong, and which of two wrongs is told. */					\
	o.ct_zone_id = 3;									\
	seen[6] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, 12);					\
	seen[7] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	o.ct_zone_id = 0;									\
	o.reserved[1] = 1;									\
	seen[8] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	o.reserved[1] = 0;									\
	o.netns_id = -2;									\
	seen[9] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	o.l4proto = 1;										\
	seen[10] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	new = bpf_##kind##_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));			\
	if (new) {										\
		ct = bpf_ct_insert_entry(new);							\
		if (ct)										\
			bpf_ct_release(ct);							\
	}											\
	seen[11] = o.error;									\
	o.l4proto = TCP;									\
	o.netns_id = 12345;									\
	seen[12] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	o.netns_id = -1;									\
	seen[13] = find_##kind(ctx, &t, 10, &o, sizeof(o));					\
	seen[14] = find_##kind(ctx, &t, sizeof(t.ipv6), &o, sizeof(o));				\
	/* An entry of our own. */								\
	v4(&t, ADDRESS, 1000, ROUTER, 80);							\
	o.error = 0;										\
	new = bpf_##kind##_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));			\
	if (!new)										\
		return o.error;									\
	bpf_ct_set_timeout(new, 300000);							\
	seen[15] = bpf_ct_set_status(new, ASSURED | SEEN_REPLY);				\
	ct = bpf_ct_insert_entry(new);								\
	if (!ct)										\
		return -1;									\
	seen[16] = ct->status & 0xffff;								\
	seen[17] = bpf_ct_change_timeout(ct, 100000);						\
	seen[18] = bpf_ct_change_status(ct, SEEN_REPLY);					\
	seen[19] = bpf_ct_change_status(ct, ASSURED | SEEN_REPLY | 0x8 | 0x1);			\
	bpf_ct_release(ct);									\
	seen[20] = find_##kind(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));				\
	/* There is one already. */								\
	new = bpf_##kind##_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));			\
	if (!new)										\
		return -2;									\
	ct = bpf_ct_insert_entry(new);								\
	seen[21] = ct != 0;									\
	if (ct)											\
		bpf_ct_release(ct);								\
	return 0;										\
}

PROGRAM(skb, __sk_buff, 0xc0000201)
PROGRAM(xdp, xdp_md, 0xc0000202)

SEC("tc")
int ct_skb(struct __sk_buff *ctx)
{
	seen[31] = all_skb(ctx);
	return 0;
}

SEC("xdp")
int ct_xdp(struct xdp_md *ctx)
{
	seen[31] = all_xdp(ctx);
	return 0;
}

char _license[] SEC("license") = "GPL";
