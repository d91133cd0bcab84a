// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros of the kernel's headers, made callable.
 *
 * One file per subject. Nothing in here decides anything: a helper is one
 * expression of its namesake. `bindings/` reads this file too, which is where
 * the Rust declarations come from.
 */

#include "ctl.c"
#include "expect.c"
#include "extensions.c"
#include "kernel.c"
#include "lock.c"
#include "netlink.c"
#include "netns.c"
#include "nf_conn.c"
#include "ovs.c"
#include "skb.c"
#include "xmit.c"
