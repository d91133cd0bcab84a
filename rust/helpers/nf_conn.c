// SPDX-License-Identifier: GPL-2.0

#include <linux/bitops.h>
#include <linux/rculist_nulls.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_zones.h>

/* A reference, if the entry is alive; acquires what its owner published. */
bool rct_nf_conn_try_get(struct nf_conn *ct)
{
	if (!refcount_inc_not_zero(&ct->ct_general.use))
		return false;
	smp_acquire__after_ctrl_dep();
	return true;
}

void rct_nf_conn_get(struct nf_conn *ct)
{
	refcount_inc(&ct->ct_general.use);
}

void rct_nf_conn_put(struct nf_conn *ct)
{
	nf_ct_put(ct);
}

unsigned int rct_nf_conn_use(const struct nf_conn *ct)
{
	return refcount_read(&ct->ct_general.use);
}

void rct_conn_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

/* Memory of an entry, to which nobody has a reference yet. */
struct nf_conn *rct_nf_conn_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	struct nf_conn *ct = kmem_cache_alloc(cache, gfp);

	if (!ct)
		return NULL;
	rct_conn_lock_init(&ct->lock);
	refcount_set(&ct->ct_general.use, 0);
	return ct;
}

/* The first references: whoever gets another one sees all that was written before. */
void rct_nf_conn_publish(struct nf_conn *ct, int n)
{
	smp_wmb();
	refcount_set(&ct->ct_general.use, n);
}

bool rct_test_and_set_bit(unsigned int nr, unsigned long *addr)
{
	return test_and_set_bit(nr, addr);
}

bool rct_test_and_clear_bit(unsigned int nr, unsigned long *addr)
{
	return test_and_clear_bit(nr, addr);
}

/* Orders everything before against the bit becoming visible. */
void rct_set_bit(unsigned int nr, unsigned long *addr)
{
	smp_mb__before_atomic();
	set_bit(nr, addr);
}

void rct_clear_bit(unsigned int nr, unsigned long *addr)
{
	clear_bit(nr, addr);
}

void rct_hlist_nulls_add_head_rcu(struct hlist_nulls_node *n, struct hlist_nulls_head *h)
{
	hlist_nulls_add_head_rcu(n, h);
}

/* An entry's two nodes, each at the front of its chain. */
void rct_hlist_nulls_add_pair_rcu(struct hlist_nulls_node *n, struct hlist_nulls_head *h,
				  struct hlist_nulls_node *m, struct hlist_nulls_head *i)
{
	hlist_nulls_add_head_rcu(n, h);
	hlist_nulls_add_head_rcu(m, i);
}

void rct_hlist_nulls_add_fake(struct hlist_nulls_node *n)
{
	hlist_nulls_add_fake(n);
}

void rct_hlist_nulls_del_rcu(struct hlist_nulls_node *n)
{
	hlist_nulls_del_rcu(n);
}

void rct_zone_of_template(const struct nf_conn *tmpl, const struct sk_buff *skb,
			  struct nf_conntrack_zone *zone)
{
	*zone = *nf_ct_zone_tmpl(tmpl, skb, zone);
}
