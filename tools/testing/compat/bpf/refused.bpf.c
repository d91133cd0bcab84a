// SPDX-License-Identifier: GPL-2.0
/* A program that the verifier has to refuse: it writes an entry's status. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct nf_conn {
	unsigned long status;
} __attribute__((preserve_access_index));

struct bpf_ct_opts___own {
	__s32 netns_id, error;
	__u8 l4proto, rest[7];
};

struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *, struct bpf_sock_tuple *, __u32,
				  struct bpf_ct_opts___own *, __u32) __ksym;
void bpf_ct_release(struct nf_conn *) __ksym;

SEC("tc")
int writes_status(struct __sk_buff *ctx)
{
	struct bpf_ct_opts___own o = { .netns_id = -1, .l4proto = 17 };
	struct bpf_sock_tuple t = {};
	struct nf_conn *ct = bpf_skb_ct_lookup(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));

	if (ct) {
		ct->status = 0;
		bpf_ct_release(ct);
	}
	return 0;
}

char _license[] SEC("license") = "GPL";
