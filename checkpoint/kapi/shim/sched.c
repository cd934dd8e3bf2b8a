// SPDX-License-Identifier: GPL-2.0
/* Scheduling, CPUs and clocks. */
#include <linux/checkpoint.h>
#include <linux/iocontext.h>
#include <linux/ioprio.h>
#include <linux/sched/autogroup.h>
#include <linux/time_namespace.h>
#include <linux/timekeeping.h>

void ckpt_cond_resched(void)
{
	cond_resched();
}

u64 ckpt_realtime_ns(void)
{
	return ktime_get_real_ns();
}

/* This and the next one as the current task's time namespace shows them. */
u64 ckpt_monotonic_ns(void)
{
	struct timespec64 now;

	ktime_get_ts64(&now);
	timens_add_monotonic(&now);
	return timespec64_to_ns(&now);
}

u64 ckpt_boottime_ns(void)
{
	return timens_add_boottime_ns(ktime_get_boottime_ns());
}

/* What setsid(2) does for the leader of a new session; without memory, it stays. */
void ckpt_own_autogroup(void)
{
	sched_autogroup_create_attach(current);
}

/* Others have what ioprio_set(2) and the I/O schedulers keep of the task. */
bool ckpt_shares_io(void)
{
#ifdef CONFIG_BLOCK
	return current->io_context &&
	       atomic_read(&current->io_context->active_ref) > 1;
#else
	return false;
#endif
}

s64 ckpt_clock_ns(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
		return ktime_get_real_ns();
	case CLOCK_BOOTTIME:
		return ktime_get_boottime_ns();
	case CLOCK_TAI:
		return ktime_get_clocktai_ns();
	default:
		return ktime_get_ns();
	}
}

/* The CPUs that sched_setaffinity() has named: bytes in use, 0 for none */
u32 ckpt_affinity(u8 *bits, u32 size)
{
	u32 len = min(size, BITS_TO_LONGS(nr_cpu_ids) * sizeof(long));
	struct task_struct *t = current;
	unsigned long flags;
	bool set;

	raw_spin_lock_irqsave(&t->pi_lock, flags);
	set = t->user_cpus_ptr;
	if (set)
		memcpy(bits, cpumask_bits(t->user_cpus_ptr), len);
	raw_spin_unlock_irqrestore(&t->pi_lock, flags);
	return set ? len : 0;
}

static bool ckpt_possible(u32 cpu)
{
	return cpu < nr_cpu_ids && cpu_possible(cpu);
}

/* Has the machine any of these CPUs, has it all of them? */
bool ckpt_affinity_here(const u8 *bits, u32 size, bool *all)
{
	bool any = false;

	*all = true;
	for (u32 cpu = 0; cpu < size * 8; cpu++) {
		if (!(bits[cpu / 8] >> cpu % 8 & 1))
			continue;
		if (ckpt_possible(cpu))
			any = true;
		else
			*all = false;
	}
	return any;
}

/* As sched_setaffinity(); all CPUs if none of these can be used */
long ckpt_set_affinity(const u8 *bits, u32 size)
{
	cpumask_var_t mask;
	long ret;

	if (!zalloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;
	for (u32 cpu = 0; cpu < size * 8; cpu++)
		if (bits[cpu / 8] >> cpu % 8 & 1 && ckpt_possible(cpu))
			cpumask_set_cpu(cpu, mask);
	ret = sched_setaffinity(0, mask);
	if (ret == -EINVAL)
		ret = sched_setaffinity(0, cpu_possible_mask);
	free_cpumask_var(mask);
	return ret;
}

/* As if sched_setaffinity() had not been called; the CPUs stay those that it has set */
void ckpt_forget_affinity(void)
{
	cpumask_t *mask = NULL;
	unsigned long flags;

	/* Others read it under this lock. */
	raw_spin_lock_irqsave(&current->pi_lock, flags);
	swap(mask, current->user_cpus_ptr);
	raw_spin_unlock_irqrestore(&current->pi_lock, flags);
	kfree(mask);
}

int ckpt_ioprio(void)
{
#ifdef CONFIG_BLOCK
	return current->io_context ? current->io_context->ioprio : 0;
#else
	return 0;
#endif
}

int ckpt_may_set_ioprio(int ioprio)
{
#ifdef CONFIG_BLOCK
	return ioprio_check_cap(ioprio);
#else
	return -EOPNOTSUPP;
#endif
}

int ckpt_set_ioprio(int ioprio)
{
#ifdef CONFIG_BLOCK
	return ioprio_check_cap(ioprio) ?: set_task_ioprio(current, ioprio);
#else
	return -EOPNOTSUPP;
#endif
}

/* One that the task had, whatever it may have by now */
void ckpt_put_back_ioprio(int ioprio)
{
#ifdef CONFIG_BLOCK
	/* It has its context by now: there is nothing to allocate. */
	set_task_ioprio(current, ioprio);
#endif
}

/* Slice that sched_setattr() has set, or 0 */
u64 ckpt_slice(void)
{
	return current->se.custom_slice && !rt_or_dl_task_policy(current) ?
	       current->se.slice : 0;
}

bool ckpt_has_uclamp(void)
{
#ifdef CONFIG_UCLAMP_TASK
	return current->uclamp_req[UCLAMP_MIN].user_defined ||
	       current->uclamp_req[UCLAMP_MAX].user_defined;
#else
	return false;
#endif
}

bool ckpt_has_core_cookie(void)
{
#ifdef CONFIG_SCHED_CORE
	return current->core_cookie;
#else
	return false;
#endif
}

bool ckpt_sched_reset_on_fork(void)
{
	return current->sched_reset_on_fork;
}

int ckpt_nice(void)
{
	return task_nice(current);
}
