// SPDX-License-Identifier: GPL-2.0
/* The tracepoints themselves. Not built for kernels without any. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "nf_ct_trace.h"
