#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Flowtable (software): established connections, plain and translated, go past the
# hooks, their entries say so, and come back when the flow table goes.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack

router
agent_start
setctl "$R" net.netfilter.nf_conntrack_acct=1
for f in 10.0.2.2 2001:db8:2::2; do
	serve "$S" echo $f 80
done
rules() { # [NAT RULE]
	in_ns "$R" nft -f - <<END
flush ruleset
table inet t {
	counter forwarded {}
	flowtable fast { hook ingress priority 0; devices = { r1, r2 }; counter; }
	chain forward {
		type filter hook forward priority filter
		ct state established meta l4proto { tcp, udp } flow add @fast
		counter name forwarded
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		$*
	}
}
END
}
few() { # those that went through the hooks are a handful of hundreds
	[ "$(packets "$R" forwarded)" -lt 40 ]
}
port=22000
for nat in "" "oifname r2 masquerade"; do
	ok "rules ${nat:-without NAT}" rules "$nat"
	w=${nat:+NAT}
	for s in 10.0.2.2 2001:db8:2::2; do
		family=$([[ $s == *:* ]] && echo 6 || echo 4)
		flush "$R"
		zero "$R"
		port=$((port + 1))
		say tcp-listen l "$S" $s 90
		say tcp-connect a "$C" $s 90 sport=$port
		say accept b l
		say exchange a b 400000
		like "$w $s: offloaded" '\[OFFLOAD\]' "$(entry "$R" -f ipv$family -p tcp --dport 90)"
		entries "$R" -f ipv$family -p tcp --dport 90 | sed -E "s/ (packets|bytes)=[0-9]+//g; s/^/$w $s: /" | fact
		ok "$w $s: most went past the hooks" few
		[ "$(entry "$R" -f ipv$family -p tcp --dport 90 | sed -nE '1s/.* bytes=([0-9]+) .*/\1/p')" -gt 300000 ] &&
			pass "$w $s: but were counted" || fail "$w $s: but were counted: $(entry "$R" -f ipv$family -p tcp --dport 90)"
		in_ns "$R" nft delete rule inet t forward handle "$(in_ns "$R" nft -a list chain inet t forward | sed -nE 's/.*flow add.*handle ([0-9]+)/\1/p')"
		say close a
		say close b
		say close l
		back() { ! entry "$R" -f ipv$family -p tcp --dport 90 | grep -q OFFLOAD; }
		ok "$w $s: a FIN brings it back" poll 20 back
		table "$w $s: after" "$R" -f ipv$family -p tcp --dport 90 2>/dev/null | sed -E 's/ (packets|bytes)=[0-9]+//g'
		rules "$nat"
	done
done
in_ns "$R" nft flush ruleset
ok "the flow table goes" in_ns "$R" nft list ruleset
client "and the way is free" 'echo 1000' "$C" tcp 10.0.2.2 80 1000 22100
flush "$R"
