// SPDX-License-Identifier: GPL-2.0

#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/prefetch.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

void rct_prefetchw(size_t address, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += L1_CACHE_BYTES)
		prefetchw((void *)(address + at));
}

unsigned long rct_totalram_pages(void)
{
	return totalram_pages();
}

u64 rct_ktime_get_real_ns(void)
{
	return ktime_get_real_ns();
}

void rct_cond_resched(void)
{
	cond_resched();
}

void rct_might_sleep(void)
{
	might_sleep();
}

struct kmem_cache *rct_kmem_cache_create(const char *name, unsigned int size,
					 unsigned int align, slab_flags_t flags)
{
	return kmem_cache_create(name, size, align, flags, NULL);
}

/* Of a slab that is type-safe by RCU: a free object's pointer lies at freeptr in it. */
struct kmem_cache *rct_kmem_cache_create_linked(const char *name, unsigned int size,
						unsigned int align, unsigned int freeptr,
						slab_flags_t flags)
{
	struct kmem_cache_args args = {
		.align = align,
		.use_freeptr_offset = true,
		.freeptr_offset = freeptr,
	};

	return kmem_cache_create(name, size, &args, flags);
}

void *rct_kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp)
{
	return kmem_cache_zalloc(cache, gfp);
}

void *rct_kzalloc(size_t size, gfp_t gfp)
{
	return kzalloc(size, gfp);
}

void *rct_krealloc(const void *p, size_t size, gfp_t gfp)
{
	return krealloc(p, size, gfp);
}

void *rct_kvzalloc(size_t size, gfp_t gfp)
{
	return kvzalloc(size, gfp);
}

void rct_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

bool rct_queue_power_efficient(struct delayed_work *work, unsigned long delay)
{
	return queue_delayed_work(system_power_efficient_wq, work, delay);
}

bool rct_mod_power_efficient(struct delayed_work *work, unsigned long delay)
{
	return mod_delayed_work(system_power_efficient_wq, work, delay);
}

