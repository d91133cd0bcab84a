// SPDX-License-Identifier: GPL-2.0

#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/printk.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/tcp.h>
#include <linux/workqueue.h>
#include <net/ip.h>
#include <net/netfilter/nf_conntrack_acct.h>
#include <net/netfilter/nf_conntrack_timeout.h>

void rct_acct_add(struct nf_conn_counter *counter, unsigned int packets, unsigned int bytes)
{
	atomic64_add(packets, &counter->packets);
	atomic64_add(bytes, &counter->bytes);
}

u64 rct_jiffies_to_nsecs(unsigned long ticks)
{
	return jiffies_to_nsecs(ticks);
}

bool rct_timeout_hold(struct nf_ct_timeout *timeout)
{
	return refcount_inc_not_zero(&timeout->refcnt);
}

/* Frees what another module allocated, by that module's rules. */
void rct_timeout_release(struct nf_ct_timeout *timeout)
{
	if (refcount_dec_and_test(&timeout->refcnt))
		kfree_rcu(timeout, rcu);
}

void rct_log_no_timeout_base(void)
{
	pr_info_ratelimited("Timeout policy base is empty\n");
}

void rct_log_no_timeout(const char *name)
{
	pr_info_ratelimited("No such timeout policy \"%s\"\n", name);
}

void rct_log_timeout_l3(const char *name, unsigned int number)
{
	pr_info_ratelimited("Timeout policy `%s' can only be used by L%d protocol number %d\n",
			    name, 3, number);
}

void rct_log_timeout_l4(const char *name, unsigned int number)
{
	pr_info_ratelimited("Timeout policy `%s' can only be used by L%d protocol number %d\n",
			    name, 4, number);
}

/* Lockdep tells works apart by where they are initialised. */
void rct_init_redelivery(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

bool rct_schedule_delayed_work(struct delayed_work *work, unsigned long delay)
{
	return schedule_delayed_work(work, delay);
}

bool rct_mod_delayed_work(struct delayed_work *work, unsigned long delay)
{
	return mod_delayed_work(system_percpu_wq, work, delay);
}

bool rct_delayed_work_pending(struct delayed_work *work)
{
	return delayed_work_pending(work);
}

/* The sequence number of an IPv4 packet's TCP header, network order. */
__be32 rct_skb_ipv4_tcp_seq(const struct sk_buff *skb)
{
	return ((const struct tcphdr *)(skb_network_header(skb) + ip_hdrlen(skb)))->seq;
}

void rct_dying_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}
