/* SPDX-License-Identifier: GPL-2.0 */
/* What the module's parameters are set to; `ctl/params.rs` reads them. */
#ifndef RCT_PARAMS_H
#define RCT_PARAMS_H

#include <linux/types.h>

extern bool rct_param_enable_hooks;
extern bool rct_param_acct;
extern bool rct_param_tstamp;

#endif
