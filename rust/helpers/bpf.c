// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for BPF programs (kfuncs). The verifier knows them by the types that
 * the C compiler notes (BTF), so they are C; what they do is in abi/bpf.rs.
 *
 * A module that was built without BTF registers none: the kernel says so once.
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/filter.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_bpf.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/sock.h>
#include <net/xdp.h>

struct bpf_ct_opts {
	s32 netns_id;		/* in: of which namespace; -1: the packet's own */
	s32 error;		/* out: why there is no entry */
	u8 l4proto;		/* in: TCP or UDP */
	u8 dir;			/* out: the direction that the tuple is */
	u16 ct_zone_id;		/* in */
	u8 ct_zone_dir;		/* in: directions that the zone counts in; 0: both */
	u8 reserved[3];		/* in: zero */
};

static_assert(sizeof(struct bpf_ct_opts) == 16);
static_assert(offsetof(struct bpf_ct_opts, ct_zone_dir) == 12);
static_assert(sizeof_field(struct bpf_sock_tuple, ipv4) == 12);
static_assert(sizeof_field(struct bpf_sock_tuple, ipv6) == 36);

struct nf_conn *rct_bpf_lookup(struct net *net, const void *tuple, u32 tuple_size,
			       struct bpf_ct_opts *opts, u32 opts_size);
struct nf_conn *rct_bpf_alloc(struct net *net, const void *tuple, u32 tuple_size,
			      struct bpf_ct_opts *opts, u32 opts_size);
struct nf_conn *rct_bpf_insert(struct nf_conn *ct);
int rct_bpf_register(void);
void rct_bpf_unregister(void);

static struct net *net_of_xdp(struct xdp_md *ctx)
{
	return dev_net(((struct xdp_buff *)ctx)->rxq->dev);
}

static struct net *net_of_skb(struct __sk_buff *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx;

	return skb->dev ? dev_net(skb->dev) : sock_net(skb->sk);
}

__bpf_kfunc_start_defs();

/* Programs differ in what their packet is, which tells the namespace. */
#define ENTRY_KFUNC(type, name, packet, net, serve)					\
__bpf_kfunc type *name(packet, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz,	\
		       struct bpf_ct_opts *opts, u32 opts__sz)			\
{										\
	return (type *)serve(net, bpf_tuple, tuple__sz, opts, opts__sz);	\
}

ENTRY_KFUNC(struct nf_conn___init, bpf_xdp_ct_alloc,
	    struct xdp_md *xdp_ctx, net_of_xdp(xdp_ctx), rct_bpf_alloc)
ENTRY_KFUNC(struct nf_conn, bpf_xdp_ct_lookup,
	    struct xdp_md *xdp_ctx, net_of_xdp(xdp_ctx), rct_bpf_lookup)
ENTRY_KFUNC(struct nf_conn___init, bpf_skb_ct_alloc,
	    struct __sk_buff *skb_ctx, net_of_skb(skb_ctx), rct_bpf_alloc)
ENTRY_KFUNC(struct nf_conn, bpf_skb_ct_lookup,
	    struct __sk_buff *skb_ctx, net_of_skb(skb_ctx), rct_bpf_lookup)

__bpf_kfunc struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *nfct_i)
{
	return rct_bpf_insert((struct nf_conn *)nfct_i);
}

__bpf_kfunc void bpf_ct_release(struct nf_conn *nfct)
{
	nf_ct_put(nfct);
}

__bpf_kfunc void bpf_ct_set_timeout(struct nf_conn___init *nfct, u32 timeout)
{
	__nf_ct_set_timeout((struct nf_conn *)nfct, msecs_to_jiffies(timeout));
}

__bpf_kfunc int bpf_ct_change_timeout(struct nf_conn *nfct, u32 timeout)
{
	return __nf_ct_change_timeout(nfct, msecs_to_jiffies(timeout));
}

__bpf_kfunc int bpf_ct_set_status(const struct nf_conn___init *nfct, u32 status)
{
	return nf_ct_change_status_common((struct nf_conn *)nfct, status);
}

__bpf_kfunc int bpf_ct_change_status(struct nf_conn *nfct, u32 status)
{
	return nf_ct_change_status_common(nfct, status);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(rct_kfuncs)
BTF_ID_FLAGS(func, bpf_xdp_ct_alloc, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_xdp_ct_lookup, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_skb_ct_alloc, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_skb_ct_lookup, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_ct_insert_entry, KF_ACQUIRE | KF_RET_NULL | KF_RELEASE)
BTF_ID_FLAGS(func, bpf_ct_release, KF_RELEASE)
BTF_ID_FLAGS(func, bpf_ct_set_timeout)
BTF_ID_FLAGS(func, bpf_ct_change_timeout)
BTF_ID_FLAGS(func, bpf_ct_set_status)
BTF_ID_FLAGS(func, bpf_ct_change_status)
BTF_KFUNCS_END(rct_kfuncs)

/*
 * Where programs' types are looked up. The numbers of types that are noted when the
 * module is built are not those that the kernel gives them where the module brings
 * a base of its own (.BTF.base), and names cannot be asked for. This type, which only
 * this module's BTF has, refers to both by whatever number they have.
 */
#define SEAL 0x72637431
struct rct_bpf_types {
	struct nf_conn *conn;
	struct nf_conn___init *init;
	char (*seal)[SEAL];
};
static const struct rct_bpf_types rct_bpf_types __used;

/* What a member that is a pointer points to; 0 if it is none. */
static u32 rct_bpf_pointee(const struct btf *btf, const struct btf_member *member)
{
	const struct btf_type *type = btf_type_by_id(btf, member->type);

	return type && btf_type_is_ptr(type) ? type->type : 0;
}

static bool rct_bpf_is_sealed(const struct btf *btf, const struct btf_type *type)
{
	const struct btf_type *seal;

	if (!btf_type_is_struct(type) || type->size != sizeof(struct rct_bpf_types) || btf_type_vlen(type) != 3)
		return false;
	seal = btf_type_by_id(btf, rct_bpf_pointee(btf, btf_members(type) + 2));
	return seal && btf_type_is_array(seal) && btf_array(seal)->nelems == SEAL;
}

/* Under nf_conn_btf_access_lock: the numbers of the types in this module's BTF. */
static struct {
	const struct btf *btf;
	u32 conn, init;
} rct_bpf_known;

static bool rct_bpf_is_conn(const struct btf *btf, u32 id)
{
	const struct btf_type *type;
	u32 next;

	for (next = 1; btf != rct_bpf_known.btf && (type = btf_type_by_id(btf, next)); next++) {
		if (!(next % 4096))
			cond_resched();
		if (!rct_bpf_is_sealed(btf, type))
			continue;
		rct_bpf_known.conn = rct_bpf_pointee(btf, btf_members(type));
		rct_bpf_known.init = rct_bpf_pointee(btf, btf_members(type) + 1);
		rct_bpf_known.btf = btf;
	}
	return btf == rct_bpf_known.btf && (id == rct_bpf_known.conn || id == rct_bpf_known.init);
}

/* Programs read all of an entry; of its fields they may write the mark. */
static int rct_bpf_access(struct bpf_verifier_log *log, const struct bpf_reg_state *reg, int off, int size)
{
	int start = offsetof(struct nf_conn, mark), end = offsetofend(struct nf_conn, mark);

	if (!rct_bpf_is_conn(reg->btf, reg->btf_id)) {
		bpf_log(log, "only read is supported\n");
		return -EACCES;
	}
	if (off != start) {
		bpf_log(log, "no write support to nf_conn at off %d\n", off);
		return -EACCES;
	}
	if (off + size > end) {
		bpf_log(log, "write access at off %d with size %d beyond the member of nf_conn ended at %d\n",
			off, size, end);
		return -EACCES;
	}
	return 0;
}

static const struct btf_kfunc_id_set rct_kfunc_set = {
	.owner = THIS_MODULE,
	.set = &rct_kfuncs,
};

/* There is no taking them back: the kernel does so when the module's BTF goes. */
int rct_bpf_register(void)
{
	int err = register_btf_kfunc_id_set(BPF_PROG_TYPE_XDP, &rct_kfunc_set);

	err = err ?: register_btf_kfunc_id_set(BPF_PROG_TYPE_SCHED_CLS, &rct_kfunc_set);
	if (!err) {
		mutex_lock(&nf_conn_btf_access_lock);
		nfct_btf_struct_access = rct_bpf_access;
		mutex_unlock(&nf_conn_btf_access_lock);
	}
	return err;
}

void rct_bpf_unregister(void)
{
	mutex_lock(&nf_conn_btf_access_lock);
	nfct_btf_struct_access = NULL;
	mutex_unlock(&nf_conn_btf_access_lock);
}
