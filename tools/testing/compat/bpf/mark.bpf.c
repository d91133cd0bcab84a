// SPDX-License-Identifier: GPL-2.0
/* A program that writes the mark of an entry before it is inserted, and afterwards. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

struct nf_conn {
	__u32 mark;
} __attribute__((preserve_access_index));

struct bpf_ct_opts___own {
	__s32 netns_id, error;
	__u8 l4proto, rest[7];
};

struct nf_conn *bpf_skb_ct_alloc(struct __sk_buff *, struct bpf_sock_tuple *, __u32,
				 struct bpf_ct_opts___own *, __u32) __ksym;
struct nf_conn *bpf_ct_insert_entry(struct nf_conn *) __ksym;
void bpf_ct_set_timeout(struct nf_conn *, __u32) __ksym;
void bpf_ct_release(struct nf_conn *) __ksym;

SEC("tc")
int writes_mark(struct __sk_buff *ctx)
{
	struct bpf_ct_opts___own o = { .netns_id = -1, .l4proto = 17 };
	struct bpf_sock_tuple t = {};
	struct nf_conn *ct;

	t.ipv4.saddr = bpf_htonl(0xc0000203);
	t.ipv4.daddr = bpf_htonl(0x0a000101);
	t.ipv4.sport = t.ipv4.dport = bpf_htons(81);
	ct = bpf_skb_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));
	if (!ct)
		return 1;
	ct->mark = 7;
	bpf_ct_set_timeout(ct, 300000);
	ct = bpf_ct_insert_entry(ct);
	if (!ct)
		return 2;
	ct->mark += 2;
	bpf_ct_release(ct);
	return 0;
}

char _license[] SEC("license") = "GPL";
