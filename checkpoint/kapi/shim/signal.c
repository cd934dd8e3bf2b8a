// SPDX-License-Identifier: GPL-2.0
/* Signals, stops, and the timers that send them. */
#include <linux/checkpoint.h>
#include <linux/hrtimer.h>
#include <linux/posix-timers.h>
#include <linux/sched/jobctl.h>
#include <linux/signalfd.h>
#include <linux/timekeeping.h>

bool ckpt_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

/* Who polls a signalfd of the process looks at its signals anew. */
void ckpt_signalfd_wake(void)
{
	signalfd_notify(current, 0);
}

void ckpt_siglock(void)
{
	spin_lock_irq(&current->sighand->siglock);
}

void ckpt_sigunlock(void)
{
	spin_unlock_irq(&current->sighand->siglock);
}

unsigned int ckpt_posix_timer_ids(bool *restore)
{
	*restore = current->signal->timer_create_restore_ids;
	return atomic_read(&current->signal->next_posix_timer_id);
}

void ckpt_set_posix_timer_ids(unsigned int next, bool restore)
{
	atomic_set(&current->signal->next_posix_timer_id, next);
	current->signal->timer_create_restore_ids = restore;
}

bool ckpt_sigqueue_of_timer(struct sigqueue *q)
{
	return q->flags & SIGQUEUE_PREALLOC && q->info.si_code == SI_TIMER;
}

/* The timer was set anew or deleted since: the signal will not be delivered. */
bool ckpt_sigqueue_is_stale(struct sigqueue *q)
{
	struct k_itimer *timer = container_of(q, struct k_itimer, sigq);

	return !posixtimer_valid(timer) || timer->it_signal_seq != timer->it_sigqueue_seq;
}

void ckpt_stop_timers(void)
{
	hrtimer_cancel(&current->signal->real_timer);
}

bool ckpt_signal_pending(void)
{
	return signal_pending(current);
}

int ckpt_wait_killable(struct completion *event)
{
	return wait_for_completion_state(event, TASK_KILLABLE | TASK_FREEZABLE);
}

void ckpt_send_signal(struct task_struct *task, int sig)
{
	/* As nobody: also the first process of a namespace acts on it. */
	do_send_sig_info(sig, SEND_SIG_PRIV, task, PIDTYPE_TGID);
}

/*
 * Stops a process whose threads are all parked, or stopped, as SIGSTOP does, but
 * each of them before it is in user mode again: a signal would be seen by one of
 * them, and the others would run on until that had begun the stop.
 */
void ckpt_stop_process(struct task_struct *task)
{
	struct signal_struct *sig = task->signal;
	struct task_struct *t;
	struct sigqueue *q, *next;
	unsigned long flags;

	/* Drops SIGCONT, and is dropped itself by a process that is about to end */
	do_send_sig_info(SIGSTOP, SEND_SIG_PRIV, task, PIDTYPE_TGID);
	if (!lock_task_sighand(task, &flags))
		return;
	if (!sigismember(&sig->shared_pending.signal, SIGSTOP) || sig->group_exec_task)
		goto out;
	/* Nobody has seen it, and nobody is to see it behind the stop */
	sigdelset(&sig->shared_pending.signal, SIGSTOP);
	list_for_each_entry_safe(q, next, &sig->shared_pending.list, list) {
		if (q->info.si_signo == SIGSTOP) {
			list_del_init(&q->list);
			__sigqueue_free(q);
		}
	}
	if (sig->flags & SIGNAL_STOP_STOPPED)
		goto out;
	/* From here on as do_signal_stop() begins one */
	sig->group_exit_code = SIGSTOP;
	sig->group_stop_count = 0;
	for_each_thread(task, t) {
		if (task_set_jobctl_pending(t, SIGSTOP | JOBCTL_STOP_PENDING |
					       JOBCTL_STOP_CONSUME)) {
			sig->group_stop_count++;
			signal_wake_up(t, 0);
		}
	}
out:
	unlock_task_sighand(task, &flags);
}

void ckpt_frozen_enter(void)
{
	cgroup_enter_frozen();
}

void ckpt_frozen_leave(void)
{
	cgroup_leave_frozen(false);
}

unsigned int ckpt_quiet_enter(void)
{
	return no_notify_signal_save();
}

void ckpt_quiet_leave(unsigned int flags)
{
	no_notify_signal_restore(flags);
}

void ckpt_restart_real_timer(void)
{
	hrtimer_set_expires(&current->signal->real_timer, ktime_get());
}

struct sighand_struct *ckpt_handlers(struct task_struct *task)
{
	return rcu_access_pointer(task->sighand);
}

int ckpt_handlers_users(struct task_struct *task)
{
	return refcount_read(&task->sighand->count);
}

/*
 * The new handlers are locked inside of the old ones: nobody else has those, so
 * that nobody can want both the other way round.
 */
bool ckpt_take_handlers(struct task_struct *from)
{
	struct sighand_struct *old = current->sighand, *new;

	write_lock_irq(&tasklist_lock);
	new = rcu_dereference_protected(from->sighand,
					lockdep_is_held(&tasklist_lock));
	if (new && new != old) {
		refcount_inc(&new->count);
		spin_lock(&old->siglock);
		spin_lock_nested(&new->siglock, SINGLE_DEPTH_NESTING);
		rcu_assign_pointer(current->sighand, new);
		spin_unlock(&new->siglock);
		spin_unlock(&old->siglock);
	}
	write_unlock_irq(&tasklist_lock);
	if (new && new != old)
		__cleanup_sighand(old);
	return new;
}

bool ckpt_restores_sigmask(void)
{
	return test_restore_sigmask();
}

/*
 * The signal that has stopped the task, or 0; of a stop of the process, what wait()
 * is still to tell; or that it goes on. False while SIGCHLD is still to tell that, and of a
 * process that is stopped while the task is not: a tracer has just come.
 */
bool ckpt_stop_state(u32 *signal, u32 *code, bool *continued)
{
	const struct signal_struct *sig = current->signal;

	guard(spinlock_irq)(&current->sighand->siglock);
	*signal = current->jobctl & JOBCTL_STOPPED ?
		  current->jobctl & JOBCTL_STOP_SIGMASK : 0;
	*code = *signal && sig->flags & SIGNAL_STOP_STOPPED ? sig->group_exit_code : 0;
	*continued = !*signal && sig->flags & SIGNAL_STOP_CONTINUED;
	if (!*signal && sig->flags & SIGNAL_STOP_STOPPED)
		return false;
	return !(sig->flags & SIGNAL_CLD_MASK);
}

/*
 * What wait() tells of the process; with a signal, the task stops on its way to
 * user mode, and nobody is told of that. At once: SIGCONT ends both.
 */
void ckpt_set_stop_state(u32 signal, u32 code, bool continued)
{
	struct signal_struct *sig = current->signal;

	spin_lock_irq(&current->sighand->siglock);
	if (!(sig->flags & SIGNAL_GROUP_EXIT)) {
		signal_set_stop_flags(sig, signal ? SIGNAL_STOP_STOPPED :
				      continued ? SIGNAL_STOP_CONTINUED : 0);
		sig->group_exit_code = code;
		if (signal)
			task_set_jobctl_pending(current, signal | JOBCTL_STOP_PENDING);
		recalc_sigpending();
	}
	spin_unlock_irq(&current->sighand->siglock);
}

/* Another thread of a process that is stopped, unless that goes on already. */
void ckpt_stop(u32 signal)
{
	spin_lock_irq(&current->sighand->siglock);
	if (current->signal->flags & SIGNAL_STOP_STOPPED)
		task_set_jobctl_pending(current, signal | JOBCTL_STOP_PENDING);
	recalc_sigpending();
	spin_unlock_irq(&current->sighand->siglock);
}

bool ckpt_signal_due(void)
{
	return task_sigpending(current);
}

void ckpt_notify_signal(void)
{
	set_thread_flag(TIF_NOTIFY_SIGNAL);
}

/* Without the tick that setitimer(2) has added, and adds again. */
static u64 ckpt_cpu_itimer(int nr)
{
	u64 expires = current->signal->it[nr].expires;

	return expires > TICK_NSEC ? expires - TICK_NSEC : 0;
}

void ckpt_cpu_itimers(u64 *virt, u64 *prof)
{
	guard(spinlock_irq)(&current->sighand->siglock);
	*virt = ckpt_cpu_itimer(CPUCLOCK_VIRT);
	*prof = ckpt_cpu_itimer(CPUCLOCK_PROF);
}
