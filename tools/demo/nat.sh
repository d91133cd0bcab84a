# shellcheck shell=bash disable=SC2034,SC2086,SC2154 # sourced by `guest`, with what it has
# SPDX-License-Identifier: GPL-2.0
# A scene of the demonstration: the router becomes a NAT gateway.

section "A NAT gateway"
tell "The router gets samples/rulesets/nat-gateway.nft: a pool of addresses for IPv4, masquerade"
tell "for IPv6, forwarded ports, a helper for FTP."
in_ns router nft flush ruleset
in_ns router conntrack -F >/dev/null 2>&1
for host in 100 101 102 103; do echo "addr add 10.0.2.$host/24 dev outside"; done | ip -n router -batch -
verify "the rule set loads" in_ns router nft -f "$self/../../samples/rulesets/nat-gateway.nft"
modprobe nf_nat_ftp

# ftp FAMILY REQUEST: an FTP client asks the server to connect to it; prints what of the
# request the server gets to read. The helper reads whole lines after the first one.
ftp() {
	agent tcp-listen fl$1 server $s 21 && agent tcp-connect fc$1 client $s 21 && agent accept fs$1 fl$1 &&
		agent send-quoted fc$1 "USER%20demo%0D%0A" && agent recv-quoted fs$1 >/dev/null &&
		agent send-quoted fc$1 "$2%0D%0A" && agent recv-quoted fs$1
}
# data FAMILY ADDRESS PORT: the server connects there; data goes both ways.
data() {
	agent tcp-listen dl$1 client $c 51210 && agent tcp-connect ds$1 server $2 $3 sport=20 src=$s &&
		agent accept dc$1 dl$1 && agent exchange ds$1 dc$1 100000
}
for family in 4 6; do
	if [ $family = 4 ]; then
		c=10.0.1.2 s=10.0.2.2 r=10.0.2.1 inner='10,0,1,2' request=PORT%2010,0,1,2,200,10
	else
		c=2001:db8:1::2 s=2001:db8:2::2 r=2001:db8:2::1 inner='2001:db8:1::2' request="EPRT%20|2|$c|51210|"
	fi
	tell "${bold}IPv$family${off}"
	agent tcp-listen nl$family server $s 8443 && agent tcp-connect nc$family client $s 8443 sport=55443
	verify "out: 500 kB each way; the server sees an address of the gateway" \
		eval 'agent accept ns$family nl$family && agent exchange nc$family ns$family 500000'
	agent tcp-listen wl$family client $c 80
	verify "in: the server reaches the client's port 80 as the gateway's port 8080" \
		eval 'agent tcp-connect wc$family server $r 8080 && agent accept ws$family wl$family && agent exchange wc$family ws$family 50000'
	verify "nothing else comes in" eval '! agent tcp-connect x server $c 81 wait=1'
	said=$(ftp $family "$request" | tail -n 1)
	said=${said//%3A/:}
	said=${said%%%0D*}
	tell "  FTP: the client says '${request//%20/ }', the server reads '$said'"
	verify "the helper has put the gateway's address in" eval '[ -n "$said" ] && [[ $said != *"$inner"* ]]'
	if [ $family = 4 ]; then
		IFS=', ' read -r a b d e hi lo < <(tr -dc '0-9, \n' <<<"$said" | sed 's/^ *//')
		to=$a.$b.$d.$e port=$((hi * 256 + lo))
	else
		IFS='|' read -r _ _ to port _ <<<"$said"
	fi
	verify "FTP's data connection comes in there, as RELATED" data $family "$to" "$port"
done
on_router conntrack -L -p tcp --src-nat
verify "connections out have an address of the pool" shown 'src=10.0.1.2 .*dport=8443|dst=10.0.2.10[0-3]'
on_router conntrack -L -f ipv6 -p tcp --dst-nat
verify "connections in have the client behind the gateway" shown 'src=2001:db8:1::2 dst=2001:db8:2::2'
verify "two data connections were related" \
	eval '[ "$(in_ns router nft list counter inet gateway related | sed -n "s/.*packets \([0-9]*\) .*/\1/p")" -ge 2 ]'
part "NAT gateway: out, port forward, FTP through NAT over IPv4 and IPv6"
# The next scene is about the plain router again.
in_ns router nft flush ruleset
in_ns router nft -f "$self/../../samples/rulesets/router.nft"
