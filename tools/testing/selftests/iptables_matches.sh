#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# iptables' and ip6tables' users of conntrack: -m conntrack with every option,
# -m state, -m connmark, -m connlimit, -m connbytes, -m connlabel, -j CONNMARK,
# -j CT, each with both kinds of iptables where they are there.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need iptables conntrack python3

router
agent_start
setctl "$R" net.netfilter.nf_conntrack_acct=1

for family in 4 6; do
	if [ $family = 4 ]; then
		ipt=iptables l=10.0.1.9 h=10.0.2.9 c=10.0.1.2 s=10.0.2.2 net=10.0.1.0/24 f=ipv4 full=32 icmp="-p icmp"
	else
		ipt=ip6tables l=2001:db8:1::9 h=2001:db8:2::9 c=2001:db8:1::2 s=2001:db8:2::2 net=2001:db8:1::/64 f=ipv6 full=128 icmp="-p icmpv6"
	fi
	declare -A rule=()
	n=0
	# match NAME OPTION...: a rule in FORWARD whose counter has a name.
	match() {
		local name=$1
		shift
		n=$((n + 1))
		rule[$name]=$n
		in_ns "$R" $ipt -A FORWARD "$@" 2>"$tmp/err" || {
			fail "IPv$family $ipt takes $*"
			diag <"$tmp/err"
		}
	}
	hits() { # NAME...: packets of each
		local name list
		list=$(in_ns "$R" $ipt -nvxL FORWARD | sed 1,2d | awk '{ print $1 }')
		for name; do sed -n "${rule[$name]}p" <<<"$list"; done | paste -sd' '
	}
	match new -m conntrack --ctstate NEW
	match est -m conntrack --ctstate ESTABLISHED
	match rel -m conntrack --ctstate RELATED
	match inv -m conntrack --ctstate INVALID
	match untracked -m conntrack --ctstate UNTRACKED
	match notnew -m conntrack ! --ctstate NEW,UNTRACKED
	match proto -m conntrack --ctproto udp
	match notproto -m conntrack ! --ctproto udp
	match osrc -m conntrack --ctorigsrc $net
	match nosrc -m conntrack ! --ctorigsrc $net
	match odst -m conntrack --ctorigdst $h/$full
	match rsrc -m conntrack --ctreplsrc $h
	match rdst -m conntrack --ctrepldst $l
	match osport -m conntrack --ctproto udp --ctorigsrcport 1000:1100
	match odport -m conntrack --ctproto udp --ctorigdstport 2000
	match rsport -m conntrack --ctproto udp --ctreplsrcport 2000
	match rdport -m conntrack --ctproto udp --ctrepldstport 1000
	match seen -m conntrack --ctstatus SEEN_REPLY
	match assured -m conntrack --ctstatus ASSURED
	match confirmed -m conntrack --ctstatus CONFIRMED
	match none -m conntrack --ctstatus NONE
	match expected -m conntrack --ctstatus EXPECTED
	match notseen -m conntrack ! --ctstatus SEEN_REPLY
	match expire -m conntrack --ctexpire 20:40
	match noexpire -m conntrack ! --ctexpire 20:40
	match original -m conntrack --ctdir ORIGINAL
	match reply -m conntrack --ctdir REPLY
	match snew -m state --state NEW
	match sest -m state --state ESTABLISHED,RELATED
	match sinv -m state --state INVALID
	match connmark -m connmark --mark 0x12/0xff
	match noconnmark -m connmark ! --mark 0x12
	match bytes -m connbytes --connbytes 100 --connbytes-dir both --connbytes-mode bytes
	match packets -m connbytes --connbytes 2:2 --connbytes-dir original --connbytes-mode packets
	match avg -m connbytes --connbytes 1000 --connbytes-dir both --connbytes-mode avgpkt
	in_ns "$R" $ipt -t raw -A PREROUTING -p udp --dport 7777 -j CT --notrack
	in_ns "$R" $ipt -t mangle -A PREROUTING -p udp --dport 2000 -j CONNMARK --set-mark 0x12/0xff
	in_ns "$R" $ipt -t mangle -A PREROUTING -p udp --dport 2001 -j CONNMARK --set-xmark 0x100/0xf00
	in_ns "$R" $ipt -t mangle -A PREROUTING -p udp --dport 2002 -j MARK --set-mark 9
	in_ns "$R" $ipt -t mangle -A PREROUTING -p udp --dport 2002 -j CONNMARK --save-mark
	in_ns "$R" $ipt -t mangle -A FORWARD -p udp --sport 2002 -j CONNMARK --restore-mark
	in_ns "$R" $ipt -t mangle -A FORWARD -p udp --sport 2002 -m mark --mark 9

	flush "$R"
	in_ns "$R" $ipt -Z
	left udp src=$l dst=$h sport=1000 dport=2000 len=20
	right udp src=$h dst=$l sport=2000 dport=1000 len=20
	left udp src=$l dst=$h sport=1000 dport=2000 len=20
	all=$(hits "${!rule[@]}")
	fact "IPv$family UDP exchange: $(for k in $(printf '%s\n' "${!rule[@]}" | sort); do printf '%s=%s ' "$k" "$(hits "$k")"; done)"
	[ -n "$all" ] || fail "IPv$family counters"
	is "IPv$family --ctstate" "1 2 0 0 0 2" "$(hits new est rel inv untracked notnew)"
	is "IPv$family --ctproto" "3 0" "$(hits proto notproto)"
	is "IPv$family --ctorigsrc, --ctorigdst" "3 0 3" "$(hits osrc nosrc odst)"
	is "IPv$family --ctreplsrc, --ctrepldst" "3 3" "$(hits rsrc rdst)"
	is "IPv$family --ctorigsrcport, --ctorigdstport" "3 3" "$(hits osport odport)"
	is "IPv$family --ctreplsrcport, --ctrepldstport" "3 3" "$(hits rsport rdport)"
	is "IPv$family --ctstatus (NONE has no bit to match)" "2 0 2 0 0 1" "$(hits seen assured confirmed none expected notseen)"
	is "IPv$family --ctdir" "2 1" "$(hits original reply)"
	is "IPv$family -m state" "1 2 0" "$(hits snew sest sinv)"
	is "IPv$family -m connmark and -j CONNMARK --set-mark" "3 0" "$(hits connmark noconnmark)"
	is "IPv$family -m connbytes bytes, packets, avgpkt" "1 0" "$(hits packets avg)"
	within "IPv$family -m connbytes bytes" 1 2 "$(hits bytes)"
	within "IPv$family --ctexpire" 2 3 "$(hits expire)"

	in_ns "$R" $ipt -Z
	left tcp src=$l dst=$h flags=SF
	left udp src=$l dst=$h sport=1 dport=7777
	is "IPv$family INVALID and UNTRACKED" "1 1 1" "$(hits inv sinv untracked)"
	un=$([ $family = 4 ] && echo 'type=3 code=1' || echo 'type=1 code=3')
	left udp src=$l dst=$h sport=1000 dport=2000
	in_ns "$R" $ipt -Z
	# shellcheck disable=SC2086
	right icmp src=$h dst=$l $un inner=udp/src=$l/dst=$h/sport=1000/dport=2000
	is "IPv$family RELATED" "1" "$(hits rel)"

	# CONNMARK's forms.
	left udp src=$l dst=$h sport=1001 dport=2001
	like "IPv$family CONNMARK --set-xmark" 'mark=256' "$(entry "$R" -f $f -p udp --sport 1001)"
	left udp src=$l dst=$h sport=1002 dport=2002
	like "IPv$family CONNMARK --save-mark" 'mark=9' "$(entry "$R" -f $f -p udp --sport 1002)"
	right udp src=$h dst=$l sport=2002 dport=1002
	is "IPv$family CONNMARK --restore-mark" 1 \
		"$(in_ns "$R" $ipt -t mangle -nvxL FORWARD | awk 'END { print $1 }')"

	# connlimit: by source and by destination.
	flush "$R"
	in_ns "$R" $ipt -F FORWARD
	in_ns "$R" $ipt -A FORWARD -p udp --dport 3000 -m connlimit --connlimit-above 2 --connlimit-mask $full -j DROP
	in_ns "$R" $ipt -A FORWARD -p udp --dport 3001 -m connlimit --connlimit-upto 3 --connlimit-mask 0 --connlimit-daddr -j ACCEPT
	in_ns "$R" $ipt -A FORWARD -p udp --dport 3001 -j DROP
	for port in 1 2 3 4 5; do left udp src=$l dst=$h sport=$port dport=3000; done
	other=$([ $family = 4 ] && echo 10.0.1.10 || echo 2001:db8:1::10)
	left udp src=$other dst=$h sport=1 dport=3000
	is "IPv$family -m connlimit --connlimit-above by source" "2 1" \
		"$(entries "$R" -f $f -s $l | wc -l) $(entries "$R" -f $f -s $other | wc -l)"
	for port in 1 2 3 4 5; do left udp src=$l dst=$h sport=$port dport=3001; done
	is "IPv$family -m connlimit --connlimit-upto by destination" 3 "$(entries "$R" -f $f -p udp --dport 3001 | wc -l)"
	in_ns "$R" conntrack -D -f $f -p udp --sport 1 --dport 3001 >/dev/null 2>&1
	left udp src=$l dst=$h sport=8 dport=3001
	is "IPv$family -m connlimit counts again after a deletion" 3 "$(entries "$R" -f $f -p udp --dport 3001 | wc -l)"

	# -j CT: zone, events, timeout refused if there is no such policy.
	in_ns "$R" $ipt -F FORWARD
	in_ns "$R" $ipt -A FORWARD -m conntrack --ctstate NEW
	in_ns "$R" $ipt -t raw -A PREROUTING -p udp --dport 3100 -j CT --zone 7
	in_ns "$R" $ipt -t raw -A PREROUTING -p udp --dport 3101 -j CT --zone-orig 8
	left udp src=$l dst=$h sport=1 dport=3100
	left udp src=$l dst=$h sport=1 dport=3101
	like "IPv$family -j CT --zone" 'zone=7' "$(entry "$R" -f $f -p udp --dport 3100)"
	like "IPv$family -j CT --zone-orig" 'zone-orig=8' "$(entry "$R" -f $f -p udp --dport 3101)"
	refused "IPv$family -j CT --timeout without that policy" \
		in_ns "$R" $ipt -t raw -A PREROUTING -p udp -j CT --timeout nosuch
	refused "IPv$family -j CT --helper without that helper" \
		in_ns "$R" $ipt -t raw -A PREROUTING -p tcp -j CT --helper nosuch
	fact "$(entries "$R" -f $f)"
	in_ns "$R" $ipt -F
	in_ns "$R" $ipt -t raw -F
	in_ns "$R" $ipt -t mangle -F
	unset rule
done

# A rule refers to conntrack in its own name space only.
flush "$C"
is "the client tracks nothing" 0 "$(size "$C")"
