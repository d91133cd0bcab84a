// SPDX-License-Identifier: GPL-2.0
/*
 * libxt_cttable: iptables' and ip6tables' part of `-m cttable`, which matches by
 * how full the connection tracking table of the namespace is.
 *
 * No option is called --table: iptables has one of that name.
 */
#include <stdio.h>
#include <xtables.h>

#include "xt_cttable.h"

/* In the order of enum xt_cttable_mode. */
enum {
	O_ABOVE = XT_CTTABLE_ABOVE,
	O_BELOW = XT_CTTABLE_BELOW,
	O_RANGE = XT_CTTABLE_RANGE,
	F_ANY = 1 << O_ABOVE | 1 << O_BELOW | 1 << O_RANGE,
};

static void cttable_help(void)
{
	printf(
"cttable match options, one of them:\n"
"[!] --table-above percent        more of nf_conntrack_max is in use\n"
"[!] --table-below percent        less of nf_conntrack_max is in use\n"
"[!] --table-range from:to        from <= use <= to, in percent\n");
}

#define OPTION(NAME, TYPE, ID) {					\
	.name = NAME, .type = TYPE, .id = ID, .max = 100,		\
	.excl = F_ANY & ~(1 << (ID)), .flags = XTOPT_INVERT,		\
}

static const struct xt_option_entry cttable_options[] = {
	OPTION("table-above", XTTYPE_UINT8, O_ABOVE),
	OPTION("table-below", XTTYPE_UINT8, O_BELOW),
	OPTION("table-range", XTTYPE_UINT8RC, O_RANGE),
	XTOPT_TABLEEND,
};

static void cttable_parse(struct xt_option_call *cb)
{
	struct xt_cttable_mtinfo *info = cb->data;

	xtables_option_parse(cb);
	info->mode = cb->entry->id;
	info->flags = cb->invert ? XT_CTTABLE_INVERT : 0;
	switch (cb->entry->id) {
	case O_ABOVE:
		info->from = cb->val.u8;
		break;
	case O_BELOW:
		info->to = cb->val.u8;
		break;
	case O_RANGE:
		info->from = cb->val.u8_range[0];
		info->to = cb->val.u8_range[cb->nvals > 1];
		break;
	}
}

static void cttable_check(struct xt_fcheck_call *cb)
{
	if (!(cb->xflags & F_ANY))
		xtables_error(PARAMETER_PROBLEM,
			      "cttable: one of --table-above, --table-below and --table-range is needed");
}

static void cttable_show(const struct xt_entry_match *match, const char *dashes)
{
	const struct xt_cttable_mtinfo *info = (const void *)match->data;

	if (info->flags & XT_CTTABLE_INVERT)
		printf(" !");
	switch (info->mode) {
	case XT_CTTABLE_ABOVE:
		printf(" %stable-above %u", dashes, info->from);
		break;
	case XT_CTTABLE_BELOW:
		printf(" %stable-below %u", dashes, info->to);
		break;
	case XT_CTTABLE_RANGE:
		printf(" %stable-range %u:%u", dashes, info->from, info->to);
		break;
	}
}

static void cttable_print(const void *ip, const struct xt_entry_match *match,
			  int numeric)
{
	printf(" cttable");
	cttable_show(match, "");
}

static void cttable_save(const void *ip, const struct xt_entry_match *match)
{
	cttable_show(match, "--");
}

static struct xtables_match cttable_match = {
	.version	= XTABLES_VERSION,
	.name		= "cttable",
	.family		= NFPROTO_UNSPEC,
	.size		= XT_ALIGN(sizeof(struct xt_cttable_mtinfo)),
	.userspacesize	= sizeof(struct xt_cttable_mtinfo),
	.help		= cttable_help,
	.print		= cttable_print,
	.save		= cttable_save,
	.x6_options	= cttable_options,
	.x6_parse	= cttable_parse,
	.x6_fcheck	= cttable_check,
};

/* Runs when the library loads this file. */
__attribute__((constructor)) static void cttable_register(void)
{
	xtables_register_match(&cttable_match);
}
