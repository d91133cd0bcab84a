// SPDX-License-Identifier: GPL-2.0
/*
 * Module parameters. The kernel crate's macro has none that run code when they
 * are written, as `hashsize` does.
 */
#include <linux/moduleparam.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_expect.h>

#include "params.h"

bool rct_param_enable_hooks __read_mostly;
module_param_named(enable_hooks, rct_param_enable_hooks, bool, 0000);
MODULE_PARM_DESC(enable_hooks, "Always enable conntrack hooks");

bool rct_param_acct __read_mostly;
module_param_named(acct, rct_param_acct, bool, 0644);
MODULE_PARM_DESC(acct, "Enable connection tracking flow accounting.");

bool rct_param_tstamp __read_mostly;
module_param_named(tstamp, rct_param_tstamp, bool, 0644);
MODULE_PARM_DESC(tstamp, "Enable connection tracking flow timestamping.");

/* Written at run time, it resizes the table: see `ctl/params.rs`. */
module_param_call(hashsize, nf_conntrack_set_hashsize, param_get_uint,
		  &nf_conntrack_htable_size, 0600);

module_param_named(expect_hashsize, nf_ct_expect_hsize, uint, 0400);
