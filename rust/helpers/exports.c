// SPDX-License-Identifier: GPL-2.0
/*
 * The symbols that other modules link to: storage of the variables among them,
 * and the export records. The functions are in Rust, in `abi/`.
 */
#include <linux/export.h>
