// SPDX-License-Identifier: GPL-2.0

#include <linux/proc_fs.h>
#include <linux/rculist.h>
#include <linux/refcount.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>
#include <net/netfilter/nf_conntrack_expect.h>

void rct_hlist_add_head_rcu(struct hlist_node *n, struct hlist_head *h)
{
	hlist_add_head_rcu(n, h);
}

/* The node's back link becomes NULL, which tells that it is in no list. */
void rct_hlist_del_init_rcu(struct hlist_node *n)
{
	hlist_del_init_rcu(n);
}

void rct_list_add_rcu(struct list_head *n, struct list_head *head)
{
	list_add_rcu(n, head);
}

void rct_list_add_tail_rcu(struct list_head *n, struct list_head *head)
{
	list_add_tail_rcu(n, head);
}

void rct_list_del_rcu(struct list_head *n)
{
	list_del_rcu(n);
}

void rct_refcount_set(refcount_t *r, int n)
{
	refcount_set(r, n);
}

void rct_refcount_inc(refcount_t *r)
{
	refcount_inc(r);
}

bool rct_refcount_inc_not_zero(refcount_t *r)
{
	return refcount_inc_not_zero(r);
}

bool rct_refcount_dec_and_test(refcount_t *r)
{
	return refcount_dec_and_test(r);
}

/* rcu_assign_pointer() without a type. */
void rct_rcu_assign_pointer(void **slot, void *p)
{
	smp_store_release(slot, p);
}

/* A file belongs to the root user of its namespace. */
void rct_proc_set_owner(struct proc_dir_entry *file, const struct net *net)
{
	kuid_t uid = make_kuid(net->user_ns, 0);
	kgid_t gid = make_kgid(net->user_ns, 0);

	if (uid_valid(uid) && gid_valid(gid))
		proc_set_user(file, uid, gid);
}

struct net *rct_seq_file_net(struct seq_file *seq)
{
	return seq_file_net(seq);
}
