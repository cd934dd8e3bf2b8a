// SPDX-License-Identifier: GPL-2.0
/*
 * The system calls checkpoint and restart, and their sysctl.
 *
 * Only definitions are C: they give tracing its metadata and narrow the
 * arguments. All logic is in checkpoint/entry.rs.
 */
#include <linux/checkpoint.h>
#include <linux/init.h>
#include <linux/sysctl.h>
#include <linux/syscalls.h>

SYSCALL_DEFINE4(checkpoint, pid_t, pid, int, fd, unsigned long, flags,
		int, logfd)
{
	return ckpt_sys_checkpoint(pid, fd, flags, logfd);
}

SYSCALL_DEFINE4(restart, int, crid, int, fd, unsigned long, flags,
		int, logfd)
{
	return ckpt_sys_restart(crid, fd, flags, logfd);
}

/* 0: nobody, 1: only CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, 2: everybody */
int sysctl_checkpoint_restart __read_mostly = 2;

static const struct ctl_table ckpt_sysctls[] = {
	{
		.procname	= "checkpoint_restart",
		.data		= &sysctl_checkpoint_restart,
		.maxlen		= sizeof(int),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ZERO,
		.extra2		= SYSCTL_TWO,
	},
};

static int __init ckpt_sysctl_init(void)
{
	register_sysctl_init("kernel", ckpt_sysctls);
	return 0;
}
subsys_initcall(ckpt_sysctl_init);
