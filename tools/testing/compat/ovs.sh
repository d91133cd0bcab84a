#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: the data path is the machine's.
# Open vSwitch's data path with conntrack actions and no daemon: commit in a zone,
# state matches, mark and label, NAT, a helper.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need conntrack ovs-dpctl

modprobe -q openvswitch || skip_all "no Open vSwitch in this kernel"
modprobe -q nf_nat_ftp
space "$C" "$S"
dp() { ovs-dpctl "$@"; }
restore() { ovs-dpctl del-dp dp0 2>/dev/null; ip link del p1 2>/dev/null; ip link del p2 2>/dev/null; conntrack -F >/dev/null 2>&1; }
restore
conntrack -F >/dev/null 2>&1
for at in "$C 1" "$S 2"; do
	read -r ns host <<<"$at"
	ip link add p$host type veth peer name e0 netns "$ns" address "$(mac 5 "$host")"
	ip link set p$host up
	ip -n "$ns" addr add 10.0.5.$host/24 dev e0
	ip -n "$ns" addr add 2001:db8:5::$host/64 dev e0 nodad
	ip -n "$ns" link set e0 up
done
for at in "$C 2" "$S 1" "$S 9"; do
	read -r ns host <<<"$at"
	to=$host
	[ "$host" != 9 ] || to=1
	ip -n "$ns" neigh add 10.0.5.$host lladdr "$(mac 5 $to)" dev e0
	ip -n "$ns" neigh add 2001:db8:5::$host lladdr "$(mac 5 $to)" dev e0
done
ok "data path" dp add-dp dp0
dp add-if dp0 p1
dp add-if dp0 p2
flow() { dp add-flow dp0 "$1" "$2"; }
serve "$S" echo 10.0.5.2 80
serve "$S" echo 2001:db8:5::2 80
serve "$S" ftp 10.0.5.2 21
both="eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(),tcp_flags(0/0)"
for eth in 0x0800,ipv4 0x86dd,ipv6; do
	all="eth(),eth_type(${eth%,*}),${eth#*,}(proto=6,frag=no),tcp(),tcp_flags(0/0)"
	ok "$eth flows: both ways through zone 5" flow "recirc_id(0),in_port(1),$all" "ct(zone=5),recirc(1)"
	flow "recirc_id(0),in_port(2),$all" "ct(zone=5),recirc(1)"
	ok "$eth flows: new ones are committed" flow "recirc_id(1),in_port(1),ct_state(+new+trk),$all" "ct(commit,zone=5,mark=0x7/0xf,label=0x1/0x1),2"
	flow "recirc_id(1),in_port(1),ct_state(-new+est+trk),$all" "2"
	ok "$eth flows: only answers come back" flow "recirc_id(1),in_port(2),ct_state(-new+est+trk+rpl),$all" "1"
done
client "through a zone" 'echo 20000' "$C" tcp 10.0.5.2 80 20000 20001
client "through a zone, IPv6" 'echo 20000' "$C" tcp 2001:db8:5::2 80 20000 20002
conntrack -L -o labels 2>/dev/null | plain | sed -E "$settled" | fact
conntrack -L -f ipv6 2>/dev/null | plain | sed -E "$settled" | fact
like "entry in its zone with its mark" 'zone=5' "$(conntrack -L 2>/dev/null)"
serve "$C" echo 10.0.5.1 80
client "nothing new from the other side" Error "$S" tcp 10.0.5.1 80 10

# Source NAT and a helper.
dp del-flows dp0
conntrack -F >/dev/null 2>&1
flow "recirc_id(0),in_port(1),$both" "ct(zone=6,nat),recirc(2)"
flow "recirc_id(0),in_port(2),$both" "ct(zone=6,nat),recirc(2)"
ok "NAT flow" flow "recirc_id(2),in_port(1),ct_state(+new+trk),${both/tcp()/tcp(dst=80)}" "ct(commit,zone=6,nat(src=10.0.5.9)),2"
ok "helper flow" flow "recirc_id(2),in_port(1),ct_state(+new+trk),${both/tcp()/tcp(dst=21)}" "ct(commit,zone=6,helper=ftp,nat(src=10.0.5.9)),2"
flow "recirc_id(2),in_port(1),ct_state(-new+est+trk),$both" "2"
flow "recirc_id(2),in_port(2),ct_state(-new+est+trk),$both" "1"
flow "recirc_id(2),in_port(1),ct_state(+new+rel+trk),$both" "ct(commit,zone=6,nat),2"
flow "recirc_id(2),in_port(2),ct_state(+new+rel+trk),$both" "ct(commit,zone=6,nat),1"
client "NAT" 'echo 20000' "$C" tcp 10.0.5.2 80 20000 20003
conntrack -L 2>/dev/null | plain | sed -E "$settled" | fact
client "FTP passive" 'stored 226 same' "$C" ftp 10.0.5.2 passive
client "FTP active through NAT" 'stored 226 same' "$C" ftp 10.0.5.2 active
conntrack -L 2>/dev/null | plain | sed -E "$settled; s/(port)=[3-6][0-9]{4}/\1=p/g" | sort -u | fact
dp del-flows dp0
ok "it goes" dp del-dp dp0
