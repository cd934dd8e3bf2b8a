/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of other files that are there for checkpoint and restart, too.
 */
#ifndef _LINUX_CHECKPOINT_INTERNAL_H
#define _LINUX_CHECKPOINT_INTERNAL_H

#include <linux/types.h>

struct itimerspec64;
struct restart_block;
struct sigqueue;
struct task_struct;

/* kernel/time/hrtimer.c: continues nanosleep, clock_nanosleep */
long hrtimer_nanosleep_restart(struct restart_block *restart);
/* fs/select.c: continues poll */
long do_restart_poll(struct restart_block *restart_block);
/* kernel/futex/waitwake.c: continues FUTEX_WAIT with a timeout */
long futex_wait_restart(struct restart_block *restart);

/* kernel/time/itimer.c: the interval timers of the current process */
int do_getitimer(int which, struct itimerspec64 *value);
int do_setitimer(int which, struct itimerspec64 *value,
		 struct itimerspec64 *ovalue);

/* kernel/signal.c: an entry of a queue of signals, counted against the limit */
struct sigqueue *sigqueue_alloc(int sig, struct task_struct *t, gfp_t gfp_flags,
				int override_rlimit);
void __sigqueue_free(struct sigqueue *q);

/* ipc/sem.c: has the current task adjustments of semaphores to undo? */
bool sem_has_undo(void);

#endif /* _LINUX_CHECKPOINT_INTERNAL_H */
