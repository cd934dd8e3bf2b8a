// SPDX-License-Identifier: GPL-2.0
/* What tasks have used, in structures without a layout guard. */
#include <linux/checkpoint.h>
#include <linux/checkpoint_hdr.h>
#include <linux/sched/cputime.h>
#include <linux/task_io_accounting_ops.h>

/* In the order of struct ckpt_used; NULL for what this kernel does not count. */
static void io_fields(struct task_io_accounting *ioac, u64 *fields[7])
{
	memset(fields, 0, 7 * sizeof(*fields));
#ifdef CONFIG_TASK_XACCT
	fields[0] = &ioac->rchar;
	fields[1] = &ioac->wchar;
	fields[2] = &ioac->syscr;
	fields[3] = &ioac->syscw;
#endif
#ifdef CONFIG_TASK_IO_ACCOUNTING
	fields[4] = &ioac->read_bytes;
	fields[5] = &ioac->write_bytes;
	fields[6] = &ioac->cancelled_write_bytes;
#endif
}

static void add_io(u64 io[7], struct task_io_accounting *more)
{
	u64 *fields[7];

	io_fields(more, fields);
	for (int i = 0; i < 7; i++)
		io[i] += fields[i] ? *fields[i] : 0;
}

/* Counts @io, or takes it from what is counted. */
static void count_io(struct task_io_accounting *have, const u64 io[7], s64 sign)
{
	u64 *fields[7];

	io_fields(have, fields);
	for (int i = 0; i < 7; i++)
		if (fields[i])
			*fields[i] += sign * io[i];
}

void ckpt_used(struct ckpt_used *own)
{
	struct task_struct *t = current;

	task_cputime(t, &own->utime, &own->stime);
	own->runtime = task_sched_runtime(t);
	task_cputime_adjusted(t, &own->prev_utime, &own->prev_stime);
	own->nvcsw = t->nvcsw;
	own->nivcsw = t->nivcsw;
	own->min_flt = t->min_flt;
	own->maj_flt = t->maj_flt;
	add_io(own->io, &t->ioac);
}

/* As getrusage(2) and /proc/PID/io add them up. @leader may have ended. */
void ckpt_used_by_group(struct task_struct *leader, struct ckpt_used *all,
			struct ckpt_used *children)
{
	struct signal_struct *sig = leader->signal;
	struct task_cputime times;
	struct task_struct *t;

	thread_group_cputime(leader, &times);
	all->utime = times.utime;
	all->stime = times.stime;
	all->runtime = times.sum_exec_runtime;
	thread_group_cputime_adjusted(leader, &all->prev_utime, &all->prev_stime);
	guard(rcu)();
	read_seqlock_excl_irq(&sig->stats_lock);
	all->nvcsw = sig->nvcsw;
	all->nivcsw = sig->nivcsw;
	all->min_flt = sig->min_flt;
	all->maj_flt = sig->maj_flt;
	all->inblock = sig->inblock;
	all->oublock = sig->oublock;
	all->maxrss = sig->maxrss;
	add_io(all->io, &sig->ioac);
	__for_each_thread(sig, t) {
		all->nvcsw += t->nvcsw;
		all->nivcsw += t->nivcsw;
		all->min_flt += t->min_flt;
		all->maj_flt += t->maj_flt;
		all->inblock += task_io_get_inblock(t);
		all->oublock += task_io_get_oublock(t);
		add_io(all->io, &t->ioac);
	}
	children->utime = sig->cutime;
	children->stime = sig->cstime;
	children->nvcsw = sig->cnvcsw;
	children->nivcsw = sig->cnivcsw;
	children->min_flt = sig->cmin_flt;
	children->maj_flt = sig->cmaj_flt;
	children->inblock = sig->cinblock;
	children->oublock = sig->coublock;
	children->maxrss = sig->cmaxrss;
	read_sequnlock_excl_irq(&sig->stats_lock);
}

/* How much of @more is counted: sums of two stay far from 2^64. */
static u64 counted(u64 have, u64 more)
{
	return have >= CR_USED_MAX ? 0 : min(more, CR_USED_MAX - have);
}

/* Before what they are made from: they wait for that, and never go back. */
static void add_reported(struct prev_cputime *prev, const struct ckpt_used *used)
{
	guard(raw_spinlock_irq)(&prev->lock);
	prev->utime += counted(prev->utime, used->prev_utime);
	prev->stime += counted(prev->stime, used->prev_stime);
}

/*
 * Counts for the current task what it has used in an earlier life. Its process has
 * that, or gets it, from ckpt_use_by_group(), so that it is taken from what is there
 * besides the threads: sums are right in any order, modulo 2^64, and whoever adds
 * them up sees both changes or none.
 */
void ckpt_use(const struct ckpt_used *own)
{
	struct signal_struct *sig = current->signal;
	struct task_struct *t = current;
	unsigned long inblock, oublock;
	u64 utime, stime, runtime;

	add_reported(&t->prev_cputime, own);
	write_seqlock_irq(&sig->stats_lock);
	utime = counted(t->utime, own->utime);
	stime = counted(t->stime, own->stime);
	runtime = counted(t->se.sum_exec_runtime, own->runtime);
	cputime_add(utime, stime, runtime);
	sig->utime -= utime;
	sig->stime -= stime;
	sig->sum_sched_runtime -= runtime;
	t->nvcsw += own->nvcsw;
	t->nivcsw += own->nivcsw;
	t->min_flt += own->min_flt;
	t->maj_flt += own->maj_flt;
	sig->nvcsw -= own->nvcsw;
	sig->nivcsw -= own->nivcsw;
	sig->min_flt -= own->min_flt;
	sig->maj_flt -= own->maj_flt;
	/* Blocks are made from the bytes of threads. */
	inblock = task_io_get_inblock(t);
	oublock = task_io_get_oublock(t);
	count_io(&t->ioac, own->io, 1);
	count_io(&sig->ioac, own->io, -1);
	sig->inblock -= task_io_get_inblock(t) - inblock;
	sig->oublock -= task_io_get_oublock(t) - oublock;
	write_sequnlock_irq(&sig->stats_lock);
}

/* The same for the process, and for children that it has waited for. */
void ckpt_use_by_group(const struct ckpt_used *all, const struct ckpt_used *children)
{
	struct signal_struct *sig = current->signal;
	struct task_cputime_atomic *running = &sig->cputimer.cputime_atomic;
	struct task_cputime more;

	thread_group_cputime(current, &more);
	more.utime = counted(more.utime, all->utime);
	more.stime = counted(more.stime, all->stime);
	more.sum_exec_runtime = counted(more.sum_exec_runtime, all->runtime);
	add_reported(&sig->prev_cputime, all);
	/*
	 * What a limit or a timer counts with while there is one. When they begin to
	 * they take the sums, unless those are less.
	 */
	atomic64_add(more.utime, &running->utime);
	atomic64_add(more.stime, &running->stime);
	atomic64_add(more.sum_exec_runtime, &running->sum_exec_runtime);
	write_seqlock_irq(&sig->stats_lock);
	sig->utime += more.utime;
	sig->stime += more.stime;
	sig->sum_sched_runtime += more.sum_exec_runtime;
	sig->nvcsw += all->nvcsw;
	sig->nivcsw += all->nivcsw;
	sig->min_flt += all->min_flt;
	sig->maj_flt += all->maj_flt;
	sig->inblock += all->inblock;
	sig->oublock += all->oublock;
	sig->maxrss = max_t(u64, sig->maxrss, all->maxrss);
	count_io(&sig->ioac, all->io, 1);
	sig->cutime += counted(sig->cutime, children->utime);
	sig->cstime += counted(sig->cstime, children->stime);
	sig->cnvcsw += children->nvcsw;
	sig->cnivcsw += children->nivcsw;
	sig->cmin_flt += children->min_flt;
	sig->cmaj_flt += children->maj_flt;
	sig->cinblock += children->inblock;
	sig->coublock += children->oublock;
	sig->cmaxrss = max_t(u64, sig->cmaxrss, children->maxrss);
	write_sequnlock_irq(&sig->stats_lock);
}
