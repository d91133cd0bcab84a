// SPDX-License-Identifier: GPL-2.0

#include <linux/bottom_half.h>
#include <linux/net.h>
#include <linux/percpu.h>
#include <net/ip_fib.h>
#include <net/net_namespace.h>
#include <net/route.h>
#include <linux/rtnetlink.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/netfilter/nf_conntrack.h>

#include <net/netns/generic.h>

/* A reference to the namespace that has this number in `net`, or NULL. */
struct net *rct_net_by_id(const struct net *net, u32 id)
{
	return get_net_ns_by_id(net, id);
}

void rct_put_net(struct net *net)
{
	put_net(net);
}

void *rct_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

/*
 * Adds to one counter of struct ip_conntrack_stat on this CPU. Nobody counts
 * in an interrupt, so bottom halves off are enough, which is a fraction of
 * what this_cpu_add() takes where that turns interrupts off.
 */
void rct_stat_add(const struct net *net, size_t offset, unsigned int n)
{
	unsigned int __percpu *counter =
		(unsigned int __percpu *)((char __percpu *)net->ct.stat + offset);

	local_bh_disable();
	__this_cpu_add(*counter, n);
	local_bh_enable();
}

struct ip_conntrack_stat __percpu *rct_stat_alloc(void)
{
	return alloc_percpu(struct ip_conntrack_stat);
}

struct ip_conntrack_stat *rct_stat_of_cpu(const struct net *net, unsigned int cpu)
{
	return per_cpu_ptr(net->ct.stat, cpu);
}

void rct_stat_free(struct ip_conntrack_stat __percpu *stat)
{
	free_percpu(stat);
}

unsigned long __percpu *rct_tallies_alloc(size_t count)
{
	return __alloc_percpu(count * sizeof(unsigned long), sizeof(unsigned long));
}

void rct_tallies_free(unsigned long __percpu *tallies)
{
	free_percpu(tallies);
}

/* Bottom halves as in rct_stat_add(). */
void rct_tallies_add(unsigned long __percpu *tallies, size_t index, unsigned long n)
{
	local_bh_disable();
	__this_cpu_add(tallies[index], n);
	local_bh_enable();
}

/* The same with bottom halves off already. */
void rct_tallies_inc_bh_off(unsigned long __percpu *tallies, size_t index)
{
	__this_cpu_inc(tallies[index]);
}

unsigned long rct_tallies_sum(const unsigned long __percpu *tallies, size_t index)
{
	unsigned long sum = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(&tallies[index], cpu));
	return sum;
}

static bool rct_hooks_translate(const struct nf_hook_entries *entries)
{
	unsigned int i;

	for (i = 0; entries && i < entries->num_hook_entries; i++) {
		int priority = nf_hook_entries_get_hook_ops(entries)[i]->priority;

		if (priority == NF_IP_PRI_NAT_DST || priority == NF_IP_PRI_NAT_SRC)
			return true;
	}
	return false;
}

/* Whether hooks of translation are registered. In a read-side section. */
bool rct_net_translates(const struct net *net)
{
	unsigned int hook;

	for (hook = 0; hook < NF_INET_NUMHOOKS; hook++)
		if (rct_hooks_translate(rcu_dereference(net->nf.hooks_ipv4[hook])) ||
		    rct_hooks_translate(rcu_dereference(net->nf.hooks_ipv6[hook])))
			return true;
	return false;
}

/* Whether an address is one of the namespace's own. In a read-side section. */
bool rct_is_local(struct net *net, u16 family, const void *addr)
{
	switch (family) {
	case NFPROTO_IPV4:
		return inet_addr_type(net, *(const __be32 *)addr) == RTN_LOCAL;
	case NFPROTO_IPV6:
		return nf_ipv6_chk_addr(net, addr, NULL, 0);
	default:
		return false;
	}
}

bool rct_net_ratelimit(void)
{
	return net_ratelimit();
}

/* Whether an address lies in a `struct net` that is in use. */
bool rct_is_in_a_net(const void *at)
{
	const struct net *net;
	bool found = false;

	rcu_read_lock();
	for_each_net_rcu(net)
		found |= at >= (const void *)net && at < (const void *)(net + 1);
	rcu_read_unlock();
	return found;
}

/* Exported, but declared in a header of net/netfilter only. */
void nf_queue_nf_hook_drop(struct net *net);

/* Packets that user space still has to judge are dropped. */
void rct_drop_queued_of_all_nets(void)
{
	struct net *net;

	down_read(&net_rwsem);
	for_each_net(net)
		nf_queue_nf_hook_drop(net);
	up_read(&net_rwsem);
}
