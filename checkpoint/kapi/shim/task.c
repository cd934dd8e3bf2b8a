// SPDX-License-Identifier: GPL-2.0
/* What a task is, whom it belongs to, and what of it cannot be saved. */
#include <linux/checkpoint.h>
#include <linux/mempolicy.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/rseq.h>

void ckpt_task_lock(struct task_struct *task)
{
	task_lock(task);
}

void ckpt_task_unlock(struct task_struct *task)
{
	task_unlock(task);
}

bool ckpt_thread_group_empty(void)
{
	return thread_group_empty(current) && thread_group_leader(current);
}

bool ckpt_is_subreaper(void)
{
	return current->signal->is_child_subreaper;
}

void ckpt_set_subreaper(struct task_struct *task, bool on)
{
	task->signal->is_child_subreaper = on;
}

bool ckpt_task_is_subreaper(struct task_struct *task)
{
	return task->signal->is_child_subreaper;
}

void ckpt_inherit_subreaper(struct task_struct *task, struct task_struct *parent)
{
	task->signal->has_child_subreaper = parent->signal->has_child_subreaper ||
					    parent->signal->is_child_subreaper;
}

bool ckpt_leads_session(struct task_struct *task)
{
	return task->signal->leader;
}

void ckpt_set_leads_session(struct task_struct *task, bool on)
{
	task->signal->leader = on;
}

void ckpt_set_autoreap(struct task_struct *task, bool on)
{
	task->signal->autoreap = on;
}

bool ckpt_is_autoreap(struct task_struct *task)
{
	return task->signal->autoreap;
}

/* The terminal of the process, to compare it. */
const void *ckpt_terminal(struct task_struct *task)
{
	return READ_ONCE(task->signal->tty);
}

/* Would its parent, which has called execve since, get SIGCHLD in place of another signal? */
bool ckpt_exit_signal_is_old(struct task_struct *task)
{
	return task->exit_signal != SIGCHLD && !task->signal->autoreap &&
	       task->parent_exec_id != READ_ONCE(task->real_parent->self_exec_id);
}

void ckpt_tasklist_read_lock(void)
{
	read_lock(&tasklist_lock);
}

void ckpt_tasklist_read_unlock(void)
{
	read_unlock(&tasklist_lock);
}

void ckpt_tasklist_write_lock(void)
{
	write_lock_irq(&tasklist_lock);
}

void ckpt_tasklist_write_unlock(void)
{
	write_unlock_irq(&tasklist_lock);
}

pid_t ckpt_pid_nr(struct task_struct *task, enum pid_type type)
{
	return __task_pid_nr_ns(task, type, task_active_pid_ns(current));
}

int ckpt_exit_code(struct task_struct *task)
{
	return task->signal->flags & SIGNAL_GROUP_EXIT ?
		task->signal->group_exit_code : task->exit_code;
}

struct pid_namespace *ckpt_pid_ns(void)
{
	return task_active_pid_ns(current);
}

/* Of a process the first thread may have ended long before */
static bool ckpt_ends(struct task_struct *task, enum pid_type type)
{
	if (task->signal->flags & SIGNAL_GROUP_EXIT)
		return true;
	if (type == PIDTYPE_PID)
		return task->exit_state || (task->flags & PF_EXITING);
	return !atomic_read(&task->signal->live);
}

/* As its own id, or as that of its process, group or session */
enum ckpt_pid_holder ckpt_pid_holder(u32 nr)
{
	enum ckpt_pid_holder holder = CKPT_PID_FREE;
	struct task_struct *task;
	struct pid *pid;
	int type;

	read_lock(&tasklist_lock);
	pid = find_vpid(nr);
	if (pid)
		holder = CKPT_PID_ENDING;
	for (type = 0; pid && type < PIDTYPE_MAX; type++) {
		do_each_pid_task(pid, type, task) {
			if (!ckpt_ends(task, type)) {
				holder = CKPT_PID_TASK;
				goto out;
			}
		} while_each_pid_task(pid, type, task);
	}
out:
	read_unlock(&tasklist_lock);
	return holder;
}

bool ckpt_pid_is_free(struct pid *pid)
{
	struct upid *upid = &pid->numbers[pid->level];

	guard(rcu)();
	return find_pid_ns(upid->nr, upid->ns) != pid;
}

u32 ckpt_last_pid(void)
{
	/* As kernel.ns_last_pid is read; it may have been set to any number up to the limit */
	return clamp_t(int, idr_get_cursor(&ckpt_pid_ns()->idr) - 1, 0, PID_MAX_LIMIT - 1);
}

void ckpt_skip_pids(u32 last)
{
	struct pid_namespace *ns = ckpt_pid_ns();
	u32 max = READ_ONCE(ns->pid_max);
	u32 next = last + 1 + max / 16;

	/* To be refused is nothing to report */
	if (!checkpoint_restore_ns_capable_noaudit(ns->user_ns))
		return;
	/*
	 * Right behind it are the ids of those who were started next, of whom
	 * there may be an image as well: they are left free where there are
	 * others.
	 */
	if (next >= max)
		next = last + 1;
	/*
	 * Without a lock, as kernel.ns_last_pid is written: of all who set it
	 * or get an id at this moment, the last one wins.
	 */
	if (last < max && idr_get_cursor(&ns->idr) <= last)
		idr_set_cursor(&ns->idr, next);
}

bool ckpt_other_child_ns(void)
{
	return current->nsproxy->pid_ns_for_children != task_active_pid_ns(current) ||
	       current->nsproxy->time_ns_for_children != current->nsproxy->time_ns;
}

struct pid *ckpt_group(void)
{
	return task_pgrp(current);
}

bool ckpt_other_pid_ns(struct task_struct *task)
{
	return task_active_pid_ns(task) != task_active_pid_ns(current);
}

void ckpt_rseq_abort(struct pt_regs *regs)
{
	if (current->rseq.event.has_rseq)
		__rseq_signal_deliver(0, regs);
}

bool ckpt_rseq_slice(void)
{
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	return current->rseq.slice.state.enabled;
#else
	return false;
#endif
}

bool ckpt_has_mempolicy(void)
{
#ifdef CONFIG_NUMA
	return current->mempolicy;
#else
	return false;
#endif
}

bool ckpt_has_spec_ctrl(void)
{
	return task_spec_ssb_disable(current) ||
	       task_spec_ssb_noexec(current) ||
	       task_spec_ssb_force_disable(current) ||
	       task_spec_ib_disable(current) ||
	       task_spec_ib_force_disable(current) ||
	       test_thread_flag(TIF_SPEC_L1D_FLUSH);
}

bool ckpt_has_io_uring(const struct task_struct *task)
{
#ifdef CONFIG_IO_URING
	return READ_ONCE(task->io_uring) || READ_ONCE(task->io_uring_restrict);
#else
	return false;
#endif
}

bool ckpt_traces_others(void)
{
	return !list_empty_careful(&current->ptraced);
}

bool ckpt_has_seccomp_listener(struct task_struct *task)
{
#ifdef CONFIG_SECCOMP_FILTER
	return seccomp_has_listener(task);
#else
	return false;
#endif
}

/* Only to tell why it does not stand still: the task itself changes the bits beside. */
bool ckpt_in_execve(const struct task_struct *task)
{
	return task->in_execve;
}

bool ckpt_has_sem_undo(void)
{
#ifdef CONFIG_SYSVIPC
	return sem_has_undo();
#else
	return false;
#endif
}

bool ckpt_syscall_dispatch(void)
{
	return test_syscall_work(SYSCALL_USER_DISPATCH);
}

void ckpt_rseq_reset(void)
{
	rseq_execve(current);
}

u8 ckpt_rseq_version(void)
{
	return current->rseq.event.has_rseq;
}

void ckpt_rseq_set_version(u8 version)
{
	current->rseq.event.has_rseq = version;
}

void ckpt_rseq_force_update(void)
{
	rseq_force_update();
}

void ckpt_robust_list_set(struct robust_list_head __user *head)
{
	current->futex.robust_list = head;
}

struct robust_list_head __user *ckpt_robust_list(void)
{
	return current->futex.robust_list;
}

pid_t ckpt_pid_of(enum pid_type type)
{
	return __task_pid_nr_ns(current, type, NULL);
}

pid_t ckpt_ppid(void)
{
	return task_ppid_nr_ns(current, task_active_pid_ns(current));
}
