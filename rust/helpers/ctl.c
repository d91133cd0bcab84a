// SPDX-License-Identifier: GPL-2.0

#include <linux/cpumask.h>
#include <linux/list.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/net_debug.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/sock.h>

bool rct_cpu_possible(unsigned int cpu)
{
	return cpu_possible(cpu);
}

/* Whether the caller is a task of the first namespace. */
bool rct_current_is_in_init_net(void)
{
	return net_eq(current->nsproxy->net_ns, &init_net);
}

void rct_init_list_head(struct list_head *list)
{
	INIT_LIST_HEAD(list);
}

bool rct_list_empty(const struct list_head *list)
{
	return list_empty(list);
}

void rct_debug_net_warn_once(bool condition)
{
	DEBUG_NET_WARN_ONCE(condition, "conntrack cleanup blocked for 60s");
}

bool rct_skb_is_fragment_v4(const struct sk_buff *skb)
{
	return ip_is_fragment(ip_hdr(skb));
}

struct net *rct_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

void rct_lock_sock(struct sock *sk)
{
	lock_sock(sk);
}

void rct_release_sock(struct sock *sk)
{
	release_sock(sk);
}

static void rct_sock_ports(const struct sock *sk, struct nf_conntrack_tuple *tuple)
{
	tuple->src.u.all = inet_sk(sk)->inet_sport;
	tuple->dst.u.all = inet_sk(sk)->inet_dport;
	tuple->dst.protonum = sk->sk_protocol;
}

void rct_sock_ends_v4(const struct sock *sk, struct nf_conntrack_tuple *tuple)
{
	tuple->src.u3.ip = inet_sk(sk)->inet_rcv_saddr;
	tuple->dst.u3.ip = inet_sk(sk)->inet_daddr;
	rct_sock_ports(sk, tuple);
}

#if IS_ENABLED(CONFIG_IPV6)
void rct_sock_ends_v6(const struct sock *sk, struct nf_conntrack_tuple *tuple)
{
	tuple->src.u3.in6 = sk->sk_v6_rcv_saddr;
	tuple->dst.u3.in6 = sk->sk_v6_daddr;
	rct_sock_ports(sk, tuple);
}

int rct_sock_bound_device(const struct sock *sk)
{
	return sk->sk_bound_dev_if;
}

u32 rct_sock_flow_label(const struct sock *sk)
{
	return (__force u32)(inet6_sk(sk)->flow_label & IPV6_FLOWINFO_MASK);
}

u32 rct_ipv6_scope_id(const u8 *addr, int device)
{
	struct in6_addr in6;

	memcpy(&in6, addr, sizeof(in6));
	return ipv6_iface_scope_id(&in6, device);
}
#endif
