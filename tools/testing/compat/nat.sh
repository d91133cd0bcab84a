#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Address translation with rules of nft and of iptables, IPv4 and IPv6: masquerade,
# source ports that clash, ranges of ports, port forwarding, redirection, a whole
# network mapped, hairpin, ICMP errors, fragments, connections of the router itself.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft iptables conntrack python3

router
# A client that waits for an answer that does not come takes longer on a slow machine.
patient "$R"
for host in 3 4; do
	ip -n "$C" addr add 10.0.1.$host/24 dev c0
	ip -n "$C" addr add 2001:db8:1::$host/64 dev c0 nodad
done

# Rules by name; $t and $f as the tool and the family want them.
nft_rules() {
	local f=$1 n=$2
	in_ns "$R" nft -f - <<END
flush ruleset
table $f nat {
	map whole { type $([ "$f" = ip ] && echo "ipv4_addr : interval ipv4_addr" || echo "ipv6_addr : interval ipv6_addr"); flags interval; elements = { $n : $([ "$f" = ip ] && echo 10.0.2.0/24 || echo 2001:db8:2::/64) }; }
	chain prerouting {
		type nat hook prerouting priority dstnat
		iifname r1 tcp dport 8080 dnat to $([ "$f" = ip ] && echo $s || echo "[$s]"):80
		iifname r1 tcp dport 8081 redirect to :8082
		iifname r1 tcp dport 8083 dnat to $([ "$f" = ip ] && echo $c || echo "[$c]"):9000
		$f daddr $n dnat $f prefix to $f daddr map @whole
	}
	chain output {
		type nat hook output priority dstnat
		$f daddr $virtual tcp dport 80 dnat to $s
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname r2 udp dport 7000 snat to $([ "$f" = ip ] && echo $r2 || echo "[$r2]"):5000-5003
		oifname r2 udp dport 7002 masquerade fully-random
		oifname r2 masquerade
		oifname r1 ct status dnat $f saddr $c masquerade
	}
}
END
}
ipt_rules() {
	local ipt=$1 n=$2 a=$s b=$c d=$r2
	in_ns "$R" nft flush ruleset
	[ "$ipt" = iptables ] || a="[$s]" b="[$c]" d="[$r2]"
	in_ns "$R" $ipt-restore <<END
*nat
-A PREROUTING -i r1 -p tcp --dport 8080 -j DNAT --to-destination $a:80
-A PREROUTING -i r1 -p tcp --dport 8081 -j REDIRECT --to-ports 8082
-A PREROUTING -i r1 -p tcp --dport 8083 -j DNAT --to-destination $b:9000
-A PREROUTING -d $n -j NETMAP --to $([ "$ipt" = iptables ] && echo 10.0.2.0/24 || echo 2001:db8:2::/64)
-A OUTPUT -d $virtual -p tcp --dport 80 -j DNAT --to-destination $s
-A POSTROUTING -o r2 -p udp --dport 7000 -j SNAT --to-source $d:5000-5003
-A POSTROUTING -o r2 -p udp --dport 7002 -j MASQUERADE --random
-A POSTROUTING -o r2 -j MASQUERADE
-A POSTROUTING -o r1 -s $c -m conntrack --ctstate DNAT -j MASQUERADE
COMMIT
END
}

for f in 10.0.2.2 2001:db8:2::2; do
	serve "$S" echo $f 80
	serve "$S" udp $f 7000
	serve "$S" udp $f 7001
	serve "$S" udp $f 7002
done
serve "$R" echo 10.0.1.1 8082
serve "$R" echo 2001:db8:1::1 8082
serve "$C" echo 10.0.1.2 9000
serve "$C" echo 2001:db8:1::2 9000

for tool in nft iptables; do
	for family in 4 6; do
		if [ $family = 4 ]; then
			c=10.0.1.2 c3=10.0.1.3 s=10.0.2.2 r1=10.0.1.1 r2=10.0.2.1 n=10.0.9.0/24 mapped=10.0.9.2 virtual=10.0.2.77
			f=ip ipt=iptables
		else
			c=2001:db8:1::2 c3=2001:db8:1::3 s=2001:db8:2::2 r1=2001:db8:1::1 r2=2001:db8:2::1 n=2001:db8:9::/64 mapped=2001:db8:9::2 virtual=2001:db8:2::77
			f=ip6 ipt=ip6tables
		fi
		w="$tool IPv$family"
		if [ $tool = nft ]; then ok "$w rules" nft_rules $f $n; else ok "$w rules" ipt_rules $ipt $n; fi
		flush "$R"
		client "$w masquerade, TCP" 'echo 50000' "$C" tcp $s 80 50000 20001 $c
		client "$w masquerade, UDP" 'echo 100' "$C" udp $s 7001 100 20002 $c
		like "$w masquerade: the answer goes to the router" "src=$s dst=$r2 .*dport=20001" "$(entries "$R" -f ipv$family -p tcp)"
		client "$w ports that clash, TCP" 'echo 100' "$C" tcp $s 80 100 20001 $c3
		client "$w ports that clash, UDP" 'echo 100' "$C" udp $s 7001 100 20002 $c3
		unlike "$w ports that clash: another is chosen" "dst=$r2 sport=80 dport=20001 " "$(entry "$R" -f ipv$family -p tcp -s $c3)"
		entries "$R" -f ipv$family | sed -E "$settled; /src=$c3/s/ dport=[0-9]+(( \[ASSURED\])? mark)/ dport=p\1/; s/^/$w: /" | sort | fact
		flush "$R"

		for port in 1 2 3 4; do client "$w range of ports, $port" 'echo 10' "$C" udp $s 7000 10 2100$port $c; done
		is "$w range of ports: each once" "5000 5001 5002 5003" \
			"$(entries "$R" -f ipv$family -p udp | sed -nE 's/.* sport=7000 dport=([0-9]+).*/\1/p' | sort | xargs)"
		client "$w range of ports: no fifth" 'Time|Perm|timed' "$C" udp $s 7000 10 21005 $c
		is "$w range of ports: nor an entry" 4 "$(entries "$R" -f ipv$family -p udp | wc -l)"
		fact "$w $(for x in insert_failed drop; do printf '%s=%s ' $x "$(stat_sum "$R" $x)"; done)"
		client "$w ports at random" 'echo 10' "$C" udp $s 7002 10 21006 $c
		flush "$R"

		client "$w port forward" 'echo 70000' "$C" tcp $r1 8080 70000 20003 $c
		client "$w redirect" 'echo 300' "$C" tcp $r1 8081 300 20004 $c
		client "$w whole network" 'echo 300' "$C" tcp $mapped 80 300 20005 $c
		client "$w hairpin" 'echo 300' "$C" tcp $r1 8083 300 20006 $c
		client "$w of the router itself" 'echo 300' "$R" tcp $virtual 80 300 20007
		table "$w" "$R" -f ipv$family -p tcp
		is "$w --src-nat and --dst-nat list" "3 5" "$(entries "$R" -f ipv$family --src-nat | wc -l) $(entries "$R" -f ipv$family --dst-nat | wc -l)"
		table "$w --src-nat" "$R" -f ipv$family --src-nat
		flush "$R"

		# ICMP.
		client "$w error of the server" ConnectionRefused "$C" refused $s 999
		client "$w error, mapped address" ConnectionRefused "$C" refused $mapped 999
		said=$(in_ns "$C" ping -n -c 1 -W 3 -s 4000 -I $c $s | grep -o '.*0% packet loss')
		like "$w ping in fragments" ' 0% packet loss' "$said"
		client "$w UDP in fragments" 'echo 5000' "$C" udp $s 7001 5000 20008 $c
		ip -n "$R" link set r2 mtu 1300
		said=$(in_ns "$C" ping -n -M 'do' -c 1 -W 2 -s 1400 -I $c $s 2>&1 | grep -oE '(Frag needed|Packet too big).*|mtu ?= ?[0-9]+' | head -n1)
		like "$w packet too big" 'mtu' "$said"
		fact "$w too big: $said"
		client "$w over the small link" 'echo 30000' "$C" tcp $s 80 30000 20009 $c
		ip -n "$R" link set r2 mtu 1500
		ip -n "$C" route flush cache
		ip -n "$C" -6 route flush cache
		said=$(in_ns "$C" ping -n -t 1 -c 1 -W 2 -I $c $s 2>&1 | grep -oiE '(time to live|hop limit|time) exceeded' | head -n1)
		like "$w hop limit" 'xceeded' "$said"
		entries "$R" -f ipv$family -p "$([ $family = 4 ] && echo icmp || echo icmpv6)" | sed -E "s/ id=[0-9]+//g; s/^/$w: /" | sort -u | fact
		flush "$R"
	done
done
is "nothing is left" 0 "$(size "$R")"
