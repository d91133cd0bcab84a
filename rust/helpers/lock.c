// SPDX-License-Identifier: GPL-2.0

#include <linux/bottom_half.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

void rct_spin_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

/*
 * Lockdep tells locks apart by where they are initialised: one helper for each
 * kind of lock that is held together with others.
 */
void rct_bucket_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

void rct_spin_lock(spinlock_t *lock)
{
	spin_lock(lock);
}

/* spin_lock() of a bucket, and what the flag beside the locks says after that. */
bool rct_bucket_lock(spinlock_t *lock, const bool *flag)
{
	spin_lock(lock);
	return smp_load_acquire(flag);
}

void rct_spin_lock_nested(spinlock_t *lock)
{
	spin_lock_nested(lock, SINGLE_DEPTH_NESTING);
}

void rct_spin_unlock(spinlock_t *lock)
{
	spin_unlock(lock);
}

void rct_spin_lock_bh(spinlock_t *lock)
{
	spin_lock_bh(lock);
}

void rct_spin_unlock_bh(spinlock_t *lock)
{
	spin_unlock_bh(lock);
}

void rct_local_bh_disable(void)
{
	local_bh_disable();
}

void rct_local_bh_enable(void)
{
	local_bh_enable();
}

void rct_smp_wmb(void)
{
	smp_wmb();
}

void rct_smp_mb(void)
{
	smp_mb();
}

void rct_cpu_relax(void)
{
	cpu_relax();
}

void rct_lockdep_assert_held(spinlock_t *lock)
{
	lockdep_assert_held(lock);
}
