#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tc's ct action with NAT, its flow table, and the actions connmark and ctinfo.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need conntrack tc

router
agent_start
modprobe -qa act_ct act_connmark act_ctinfo cls_flower 2>/dev/null
serve "$S" echo 10.0.2.2 80
tc() { in_ns "$R" tc "$@"; }
tc qdisc add dev r1 clsact
tc qdisc add dev r2 clsact
# The router forwards; r2's egress translates, its ingress translates back.
ok "commit with NAT" tc filter add dev r2 egress prio 1 chain 0 proto ip flower ip_proto tcp ct_state -trk action ct zone 3 nat pipe action goto chain 1
ok "commit" tc filter add dev r2 egress prio 1 chain 1 proto ip flower ct_state +trk+new action ct commit zone 3 mark 5/15 nat src addr 10.0.2.50 port 6000-6100 pipe action ok
ok "established" tc filter add dev r2 egress prio 1 chain 1 proto ip flower ct_state +trk+est action ok
ok "back" tc filter add dev r2 ingress prio 1 chain 0 proto ip flower ip_proto tcp ct_state -trk action ct zone 3 nat pipe action goto chain 1
ok "established, back" tc filter add dev r2 ingress prio 1 chain 1 proto ip flower ct_state +trk+est action ok
ok "nothing else" tc filter add dev r2 ingress prio 2 chain 1 proto ip flower ct_state +trk+new action drop
ip -n "$S" neigh add 10.0.2.50 lladdr "$(mac 2 1)" dev s0
client "TCP through NAT of tc" 'echo 30000' "$C" tcp 10.0.2.2 80 30000 20001 10.0.1.2
entries "$R" -p tcp --zone 3 | sed -E "$settled; s/dport=60[0-9]+/dport=p/; s/dport=61[0-9]+/dport=p/" | fact
like "its entry" 'dst=10.0.2.50 .*zone=3' "$(entries "$R" -p tcp)"
tc qdisc del dev r2 clsact
flush "$R"
# connmark: the entry's mark becomes the packet's.
in_ns "$R" nft -f - <<'END'
table ip t {
	counter marked {}
	chain prerouting { type filter hook prerouting priority filter; udp dport 5000 ct mark set 9; meta mark 9 counter name marked; }
}
END
ok "connmark" tc filter add dev r1 ingress prio 1 proto ip u32 match ip protocol 17 0xff action connmark
for _ in 1 2 3; do left udp sport=1 dport=5000; done
fact "marked=$(packets "$R" marked)"
is "connmark restored" 2 "$(packets "$R" marked)"
tc filter del dev r1 ingress
ok "ctinfo" tc filter add dev r1 ingress prio 1 proto ip u32 match ip protocol 17 0xff action ctinfo cpmark
for _ in 1 2; do left udp sport=1 dport=5000; done
is "ctinfo restored" 4 "$(packets "$R" marked)"
tc qdisc del dev r1 clsact
