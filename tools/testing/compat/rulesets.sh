#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The rule sets of samples/rulesets, each loaded and tried with traffic: a router at
# home, a NAT gateway, a node of a cluster. (router.nft is the demonstration's.)

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft iptables conntrack python3
rulesets=$compat/../../../samples/rulesets

# As `router` of net.sh, with the names of interfaces that the rule sets have.
space "$C" "$R" "$S"
link "$R" inside "$C" c0 1
link "$R" outside "$S" s0 2
for net in 1 2; do
	ns=$C
	[ $net = 1 ] || ns=$S
	ip -n "$ns" route add default via 10.0.$net.1
	ip -n "$ns" route add default via 2001:db8:$net::1
done
setctl "$R" net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0
modprobe -qa nf_nat_ftp nf_conntrack_ftp

for a in 10.0.2.2 2001:db8:2::2; do
	serve "$S" echo $a 80
	serve "$S" udp $a 7000
	serve "$S" ftp $a 21
done
for a in 10.0.1.2 2001:db8:1::2; do
	serve "$C" echo $a 80
done
serve "$R" udp 10.0.1.1 53
serve "$R" udp 10.0.2.1 53
refuses='TimeoutError|ConnectionRefused|timed out'

# --- a router at home
w=home
ok "$w loads" in_ns "$R" nft -f "$rulesets/home-router.nft"
client "$w out, TCP" 'echo 50000' "$C" tcp 10.0.2.2 80 50000 20001 10.0.1.2
client "$w out, UDP" 'echo 100' "$C" udp 10.0.2.2 7000 100 20002 10.0.1.2
like "$w IPv4 is masqueraded" 'dst=10.0.2.1 .*dport=20001' "$(entries "$R" -p tcp --orig-port-src 20001)"
client "$w out, TCP over IPv6" 'echo 50000' "$C" tcp 2001:db8:2::2 80 50000 20003 2001:db8:1::2
like "$w IPv6 is as it was" 'src=2001:db8:2::2 dst=2001:db8:1::2 ' "$(entries "$R" -f ipv6 -p tcp --orig-port-src 20003)"
client "$w out, FTP active" 'stored 226' "$C" ftp 10.0.2.2 active
client "$w forwarded port" 'echo 300' "$S" tcp 10.0.2.1 8080 300 20004
client "$w its name server, from inside" 'echo 10' "$C" udp 10.0.1.1 53 10 20005
client "$w not from outside" "$refuses" "$S" udp 10.0.2.1 53 10 20006
client "$w nothing comes in" "$refuses" "$S" tcp 2001:db8:1::2 80 10 20007
table "$w" "$R"
table "$w IPv6" "$R" -f ipv6
in_ns "$R" nft flush ruleset
flush "$R"

# --- a NAT gateway
w=gateway
for host in 100 101 102 103; do ip -n "$R" addr add 10.0.2.$host/24 dev outside; done
for host in 3 4 5; do ip -n "$C" addr add 10.0.1.$host/24 dev c0; done
ok "$w loads" in_ns "$R" nft -f "$rulesets/nat-gateway.nft"
for host in 2 3 4 5; do
	client "$w client .$host, TCP" 'echo 1000' "$C" tcp 10.0.2.2 80 1000 20010 10.0.1.$host
	client "$w client .$host, UDP" 'echo 100' "$C" udp 10.0.2.2 7000 100 20010 10.0.1.$host
	used=$(entries "$R" -s 10.0.1.$host | grep -oE 'dst=10\.0\.2\.10[0-3] ' | sort -u)
	is "$w client .$host has one address of the pool" 1 "$(wc -l <<<"$used")"
done
client "$w IPv6" 'echo 1000' "$C" tcp 2001:db8:2::2 80 1000 20011 2001:db8:1::2
like "$w IPv6 is masqueraded" 'dst=2001:db8:2::1 .*dport=20011' "$(entries "$R" -f ipv6 -p tcp)"
for mode in passive active; do
	client "$w FTP $mode" 'stored 226' "$C" ftp 10.0.2.2 $mode
	client "$w FTP $mode over IPv6" 'stored 226' "$C" ftp 2001:db8:2::2 $mode
done
is "$w what FTP opens is related" yes "$([ "$(packets "$R" related)" -gt 0 ] && echo yes)"
client "$w forwarded port" 'echo 300' "$S" tcp 10.0.2.1 8080 300 20012
client "$w forwarded port, IPv6" 'echo 300' "$S" tcp 2001:db8:2::1 8080 300 20013
client "$w forwarded port, from inside" 'echo 300' "$C" tcp 10.0.2.1 8080 300 20014 10.0.1.3
client "$w nothing else comes in" "$refuses" "$S" tcp 10.0.1.2 80 10 20015
flush "$R"
# One client wants too much; the others have what they had.
agent_start
for port in $(seq 1 120); do say inject "$C" c0 "$(mac 1 1)" udp src=10.0.1.4 dst=10.0.2.9 sport=$((1000 + port)) dport=9; done
ok "$w what is too much is counted" poll 20 eval '[ "$(packets "$R" refused)" = 20 ]'
is "$w one client has 100 connections at most" 100 "$(entries "$R" -s 10.0.1.4 | wc -l)"
client "$w another one goes on" 'echo 100' "$C" tcp 10.0.2.2 80 100 20016 10.0.1.5
in_ns "$R" nft flush ruleset
flush "$R"

# --- a node of a cluster
w=node
ip -n "$S" addr add 10.0.2.3/24 dev s0
ip -n "$R" route add 10.96.0.0/12 via 10.0.2.2
for a in 10.0.2.2 10.0.2.3; do serve "$S" echo $a 8080; done
ok "$w loads" in_ns "$R" iptables-restore "$rulesets/kube-node.rules"
for port in $(seq 30001 30024); do
	said=$(in_ns "$C" python3 -IS "$compat/peer.py" tcp 10.96.0.10 80 100 $port 10.0.1.2 2>&1)
	[ "$said" = "echo 100" ] || fail "$w service, from port $port: $said"
done
is "$w 24 connections to a service" 24 "$(entries "$R" -d 10.96.0.10 | wc -l)"
is "$w both endpoints had some" 2 "$(entries "$R" -d 10.96.0.10 | grep -oE ' src=10\.0\.2\.[23] ' | sort -u | wc -l)"
is "$w they are masqueraded" 24 "$(entries "$R" -d 10.96.0.10 | grep -c ' dst=10.0.2.1 sport=8080')"
client "$w node port" 'echo 300' "$S" tcp 10.0.2.1 30080 300 20020
client "$w of the node itself" 'echo 300' "$R" tcp 10.96.0.10 80 300 20021
for port in 20031 20032 20033 20034 20035 20036; do
	client "$w service with affinity" 'echo 10' "$C" tcp 10.96.0.20 80 10 $port 10.0.1.2
done
is "$w affinity: one endpoint" 1 "$(entries "$R" -d 10.96.0.20 | grep -oE ' src=10\.0\.2\.[23] ' | sort -u | wc -l)"
client "$w service without endpoints" ConnectionRefused "$C" tcp 10.96.0.30 80 10 20040
# An endpoint goes: kube-proxy deletes what was translated to it.
in_ns "$R" conntrack -D --dst-nat 10.0.2.3 >/dev/null 2>&1
is "$w an endpoint goes, so do its connections" 0 "$(entries "$R" -r 10.0.2.3 | wc -l)"
in_ns "$R" iptables -t nat -F
in_ns "$R" iptables -F
flush "$R"
is "nothing is left" 0 "$(size "$R")"
