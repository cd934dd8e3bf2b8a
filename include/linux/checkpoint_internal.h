/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of other files that are there for checkpoint and restart, too.
 */
#ifndef _LINUX_CHECKPOINT_INTERNAL_H
#define _LINUX_CHECKPOINT_INTERNAL_H

#include <linux/compat.h>
#include <linux/errno.h>
#include <linux/sched/signal.h>
#include <linux/seccomp.h>
#include <linux/signal_types.h>
#include <linux/sockptr.h>
#include <linux/thread_info.h>
#include <linux/time64.h>
#include <linux/types.h>
#include <linux/unistd.h>

struct bpf_prog;
struct epoll_event;
struct epoll_key;
struct file;
struct itimerspec64;
struct k_itimer;
struct mm_struct;
struct pipe_buffer;
struct pipe_inode_info;
struct restart_block;
struct seccomp_filter;
struct sigqueue;
struct sock_filter;
struct sock_fprog;
struct sock_fprog_kern;
struct task_struct;

/* kernel/time/hrtimer.c: continues nanosleep, clock_nanosleep */
long hrtimer_nanosleep_restart(struct restart_block *restart);
/* kernel/time/posix-cpu-timers.c: clock_nanosleep on the time of a process on a processor */
long posix_cpu_nsleep_restart(struct restart_block *restart_block);
long posix_cpu_nsleep_continue(struct restart_block *restart_block);
/* fs/select.c: continues poll */
long do_restart_poll(struct restart_block *restart_block);
/* kernel/futex/waitwake.c: continues FUTEX_WAIT with a timeout */
long futex_wait_restart(struct restart_block *restart);
/* fs/eventpoll.c, kernel/signal.c, ipc/sem.c, net/socket.c: continue waits with a timeout */
long do_restart_epoll_wait(struct restart_block *restart);
long do_restart_epoll_pwait(struct restart_block *restart);
long do_restart_sigtimedwait(struct restart_block *restart);
long do_restart_semtimedop(struct restart_block *restart);
long do_restart_socket(struct restart_block *restart);

/* kernel/seccomp.c: do the filters allow a native call, whatever its arguments are? */
#ifdef CONFIG_CHECKPOINT
bool seccomp_allows(int nr);
#else
static inline bool seccomp_allows(int nr)
{
	return seccomp_mode(&current->seccomp) == SECCOMP_MODE_DISABLED;
}
#endif

/*
 * May this call be continued with the arguments that are in the registers? A
 * block is used up by that: restart_syscall() that a program calls by itself
 * continues nothing. A filter of system calls sees restart_syscall(), not what it
 * continues, so that it must have nothing against the call with other arguments.
 * The registers of 32-bit calls hold more than their arguments.
 */
static inline bool may_continue_nr(struct restart_block *restart, int nr)
{
	restart->fn = do_no_restart_syscall;
	return !in_compat_syscall() && seccomp_allows(nr);
}

/* Not each architecture has each call; nothing is continued without checkpoints. */
#ifdef CONFIG_CHECKPOINT
#define may_continue(restart, call)	may_continue_nr(restart, __NR_##call)
#else
#define may_continue(restart, call)	may_continue_nr(restart, -1)
#endif

/*
 * What a system call returns that has waited with @error: when it was
 * interrupted, and no handler runs, it is issued again or, with a @deadline
 * of the monotonic clock, continued by @fn. The arguments stay in the
 * registers.
 *
 * Not when nothing is left that would make the task look at the result before
 * it goes on: another thread may have taken the signal. And a filter of system
 * calls that allows the call need not allow restart_syscall(), and would end the
 * program for it; see may_continue().
 */
static inline long interrupted_until(long error, const struct timespec64 *deadline,
				     long (*fn)(struct restart_block *))
{
	struct restart_block *restart = &current->restart_block;

	if (!IS_ENABLED(CONFIG_CHECKPOINT) || error != -EINTR ||
	    !signal_pending(current))
		return error;
	if (!deadline)
		return -ERESTARTNOHAND;
	if (in_compat_syscall() || !seccomp_allows(__NR_restart_syscall))
		return error;
	restart->poll.has_timeout = 1;
	restart->poll.end_time = *deadline;
	return set_restart_fn(restart, fn);
}

/* kernel/sched/cputime.c: times of the current task, in nanoseconds */
void cputime_add(u64 utime, u64 stime, u64 runtime);

/* kernel/time/itimer.c: the interval timers of the current process */
int do_getitimer(int which, struct itimerspec64 *value);
int do_setitimer(int which, struct itimerspec64 *value,
		 struct itimerspec64 *ovalue);

/* kernel/signal.c: an entry of a queue of signals, counted against the limit */
struct sigqueue *sigqueue_alloc(int sig, struct task_struct *t, gfp_t gfp_flags,
				int override_rlimit);
void __sigqueue_free(struct sigqueue *q);
/* kernel/signal.c: has a task that is stopped run the works that it was sent */
void wake_stopped(struct task_struct *task);

/* net/core/filter.c: a classic program out of user or kernel memory */
int bpf_prog_create_from(struct bpf_prog **pfp, struct sock_fprog *fprog, sockptr_t insns,
			 int (*trans)(struct sock_filter *filter, unsigned int flen),
			 bool save_orig);

/* kernel/seccomp.c: the filters of the current task, and others */
void seccomp_filter_get(struct seccomp_filter *filter);
void seccomp_filter_put(struct seccomp_filter *filter);
struct seccomp_filter *seccomp_filter_next(struct seccomp_filter *filter);
const struct sock_fprog_kern *seccomp_filter_state(struct seccomp_filter *filter,
						   bool *log, bool *listener);
struct seccomp_filter *seccomp_filter_new(const struct sock_fprog_kern *kprog,
					  struct seccomp_filter *prev, bool log);
void seccomp_filter_install(struct seccomp_filter *filter);
bool seccomp_has_listener(struct task_struct *task);

/* kernel/futex/core.c: has the current process chosen its private hash? */
#ifdef CONFIG_FUTEX_PRIVATE_HASH
bool futex_hash_is_chosen(void);
#else
static inline bool futex_hash_is_chosen(void)
{
	return false;
}
#endif

/* ipc/sem.c: has the current task adjustments of semaphores to undo? */
bool sem_has_undo(void);

/* fs/eventfd.c, fs/signalfd.c: what is in them, and new ones */
int eventfd_get_state(struct file *file, u64 *count, unsigned int *flags);
struct file *eventfd_new_file(u64 count, int flags);
int signalfd_get_mask(struct file *file, sigset_t *mask);
struct file *signalfd_new_file(const sigset_t *mask, int flags);

/* fs/timerfd.c: the same */
struct timerfd_state {
	s64 left;		/* until it expires */
	s64 expires;		/* on its clock */
	s64 interval;
	u64 ticks;
	int clockid;
	unsigned int flags;	/* of timerfd_settime() */
	bool armed;
	bool expired;		/* and not looked at since */
	bool cancelled;
};

int timerfd_get_state(struct file *file, struct timerfd_state *state);
struct file *timerfd_new_file(int clockid, int flags);
void timerfd_set_state(struct file *file, const struct timerfd_state *state);

/* fs/pipe.c: gives an empty pipe all its contents, or nothing */
int pipe_fill(struct pipe_inode_info *pipe, const struct pipe_buffer *bufs,
	      unsigned int nr, unsigned int files);

/* mm/memory.c: maps private pages of another address space, copy-on-write */
int link_anon_pages(struct mm_struct *dst, unsigned long start, struct mm_struct *src);
unsigned long share_anon_pages(struct mm_struct *dst, struct mm_struct *src,
			       unsigned long addr, unsigned long nr);

/* fs/eventpoll.c: what it watches, entry by entry; and a new one */
struct file *eventpoll_new_file(int flags);
int eventpoll_next(struct file *epfile, struct epoll_key *key,
		   struct epoll_event *event);
int eventpoll_add(struct file *epfile, struct epoll_key *key,
		  const struct epoll_event *event);

/* Bits of posix_timer_snapshot::flags */
#define POSIX_TIMER_STATE_ABSOLUTE	1	/* Follows the wall clock */
#define POSIX_TIMER_STATE_PENDING	2	/* Its signal is in a queue */
#define POSIX_TIMER_STATE_IGNORED	4	/* Its signal waits, ignored */
#define POSIX_TIMER_STATE_REQUEUE	8	/* Goes on behind its signal */

/* A POSIX timer: what it is, and where it is; times in nanoseconds */
struct posix_timer_snapshot {
	int		id;
	clockid_t	clock;
	pid_t		clock_pid;	/* CPU clocks: whose */
	int		notify;		/* SIGEV_* */
	int		signo;
	pid_t		tid;		/* Thread that gets the signal, or 0 */
	u64		sigval;
	s64		value;		/* Time that is left */
	u64		expires;	/* CPU clocks: when, by the clock */
	s64		interval;
	s64		overrun;
	s64		overrun_last;
	u32		flags;
};

/* kernel/time/posix-timers.c: the timers of the current process */
unsigned int posix_timer_list_ids(int *ids, unsigned int room);
bool posix_timer_get_state(int id, struct posix_timer_snapshot *state);
struct k_itimer *posix_timer_prepare(const struct posix_timer_snapshot *state);
void posix_timer_discard(struct k_itimer *timr);
bool posix_timer_publish(struct k_itimer *timr, const struct posix_timer_snapshot *state);
void posix_timer_requeue(int id, bool ignored);
void posix_timer_start(struct k_itimer *timr, const struct posix_timer_snapshot *state);

#endif /* _LINUX_CHECKPOINT_INTERNAL_H */
