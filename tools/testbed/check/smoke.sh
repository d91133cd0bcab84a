#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In a guest: two namespaces, one ping, and what conntrack says about it.
set -euo pipefail

a=smoke-a-$$ b=smoke-b-$$
cleanup() {
	ip netns del "$a" 2>/dev/null || true
	ip netns del "$b" 2>/dev/null || true
}
trap cleanup EXIT

ip netns add "$a"
ip netns add "$b"
ip -n "$a" link add veth0 type veth peer name veth0 netns "$b"
ip -n "$a" addr add 192.0.2.1/24 dev veth0
ip -n "$b" addr add 192.0.2.2/24 dev veth0
ip -n "$a" link set veth0 up
ip -n "$b" link set veth0 up
ip netns exec "$b" nft -f - <<'END'
table inet smoke {
	chain in {
		type filter hook input priority filter
		ct state established counter
		ct state new counter
	}
}
END
ip netns exec "$a" ping -q -c 3 -i 0.2 -W 5 192.0.2.2
ip netns exec "$b" nft list ruleset | grep 'counter packets'
ip netns exec "$b" conntrack -L | tee /tmp/list
grep -q 'src=192.0.2.1 dst=192.0.2.2.*src=192.0.2.2 dst=192.0.2.1' /tmp/list
echo "smoke: tracked by $(modinfo -n nf_conntrack)"
