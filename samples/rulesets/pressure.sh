#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# pressure.sh [IPTABLES]: as pressure.nft, for iptables or ip6tables of either kind
# with -m cttable (xt_cttable.ko, libxt_cttable.so); with policies that only
# ctpolicy can make. Safe to run again.
set -eu

ipt=${1:-iptables}
case $ipt in
*ip6tables*) family=inet6 ;;
*) family=inet ;;
esac

policy() {
	ctpolicy replace "$@" 2>/dev/null || ctpolicy add "$@"
}
# All the time: what has been idle for ten minutes may go when the table is full.
policy "usual-tcp-$family" $family tcp soft established 600 soft unacknowledged 60
# Above three quarters: little time, and less with each percent.
policy "hurry-tcp-$family" $family tcp syn_sent 10 syn_recv 10 established 3600 fin_wait 10 close_wait 10 \
	last_ack 5 time_wait 5 close 5 soft established 60 soft unacknowledged 10 adaptive 75 110
policy "hurry-udp-$family" $family udp unreplied 5 replied 30 soft replied 5 adaptive 75 110

$ipt -t raw -N PRESSURE 2>/dev/null || $ipt -t raw -F PRESSURE
$ipt -t raw -C PREROUTING -j PRESSURE 2>/dev/null || $ipt -t raw -A PREROUTING -j PRESSURE
# A target is final for templates: the first that fits counts.
$ipt -t raw -A PRESSURE -p udp --dport 53 -m cttable --table-above 90 -j DROP
$ipt -t raw -A PRESSURE -p tcp -m cttable --table-above 75 -j CT --timeout "hurry-tcp-$family"
$ipt -t raw -A PRESSURE -p udp -m cttable --table-above 75 -j CT --timeout "hurry-udp-$family"
$ipt -t raw -A PRESSURE -p tcp -m cttable ! --table-above 75 -j CT --timeout "usual-tcp-$family"
