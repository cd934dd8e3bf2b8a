/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Flags of the system calls checkpoint and restart.
 *
 *	long checkpoint(pid_t pid, int fd, unsigned long flags, int logfd);
 *	long restart(int crid, int fd, unsigned long flags, int logfd);
 *
 * Without the LOG flag the last argument is not looked at, so that callers
 * may leave it out. Unknown flags are EINVAL.
 */
#ifndef _UAPI_LINUX_CHECKPOINT_H
#define _UAPI_LINUX_CHECKPOINT_H

/* checkpoint: the reason of a failure goes to logfd as a line of text */
#define CHECKPOINT_LOG		0x1
/* checkpoint: the processes are killed when their image is complete */
#define CHECKPOINT_KILL		0x2
/*
 * checkpoint: the processes are stopped, as by SIGSTOP, when their image is
 * complete; not together with CHECKPOINT_KILL
 */
#define CHECKPOINT_STOP		0x4

/* restart: errors and warnings go to logfd as lines of text */
#define RESTART_LOG		0x1
/*
 * restart: the processes and threads that are made take any free ids; what
 * they have kept of their old ids is then wrong
 */
#define RESTART_NEWPIDS		0x2

#endif /* _UAPI_LINUX_CHECKPOINT_H */
