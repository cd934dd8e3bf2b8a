/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The checkpoint image: what checkpoint(2) writes and restart(2) reads.
 *
 * An image is a stream of records: a struct cr_hdr, len bytes of payload, and
 * zeros up to the next multiple of CR_ALIGN. All numbers are little-endian.
 * The order of the records, and what follows which, is described in
 * Documentation/userspace-api/checkpoint-image.rst.
 *
 * Reserved fields are zero. No number of the kernel is in an image: flags and
 * kinds have values of their own, which never change.
 */
#ifndef _UAPI_LINUX_CHECKPOINT_HDR_H
#define _UAPI_LINUX_CHECKPOINT_HDR_H

#include <linux/types.h>

/* struct cr_hdr: the pre-header of every record */
struct cr_hdr {
	__s16 type;			/* CR_HDR_* */
	__s16 len;			/* Bytes of payload, without padding */
	__u32 parent;			/* Object reference of the owner */
};

/* Numbers of the records */
#define CR_HDR_HEAD		1	/* Start of the image */
#define CR_HDR_STR		2	/* A string, without NUL */
#define CR_HDR_PAD		3	/* Zeros before page data */
#define CR_HDR_HEAD_ARCH	4	/* Processor and vDSO */
#define CR_HDR_TREE		5	/* A task of the forest */
#define CR_HDR_TASK		101	/* A task */
#define CR_HDR_THREAD		102	/* TLS, registrations */
#define CR_HDR_CPU		103	/* General registers */
#define CR_HDR_FPU		104	/* XSAVE area, non-compacted */
#define CR_HDR_CREDS		105	/* Ids and capabilities */
#define CR_HDR_GROUPS		106	/* Supplementary groups */
#define CR_HDR_RLIMITS		107	/* Resource limits */
#define CR_HDR_FS		108	/* umask; root and current directory */
#define CR_HDR_SIGNAL		109	/* Mask, alternate stack, handlers */
#define CR_HDR_RESTART_BLOCK	110	/* What an interrupted call needs */
#define CR_HDR_SIGINFO		111	/* A signal that waits */
#define CR_HDR_ITIMERS		112	/* Interval timers */
#define CR_HDR_TIMERS		113	/* POSIX timers of a process follow */
#define CR_HDR_TIMER		114	/* A POSIX timer */
#define CR_HDR_THREAD_SIGNAL	120	/* Signals of a further thread */
#define CR_HDR_AFFINITY		121	/* CPUs that a task may run on */
#define CR_HDR_SECCOMP		122	/* Filters of system calls of a task */
#define CR_HDR_SECCOMP_FILTER	123	/* A filter */
#define CR_HDR_SECCOMP_CODE	124	/* Its instructions */
#define CR_HDR_MM		201	/* An address space */
#define CR_HDR_VMA		202	/* One mapping */
#define CR_HDR_MM_CONTEXT	203	/* LDT, protection keys */
#define CR_HDR_PGARR		204	/* A run of pages */
#define CR_HDR_GUARD		205	/* Guard ranges of a mapping */
#define CR_HDR_AUXV		206	/* The auxiliary vector */
#define CR_HDR_LDT		207	/* LDT entries */
#define CR_HDR_SHMEM		208	/* A shared memory object */
#define CR_HDR_PGREF		209	/* Pages that came before */
#define CR_HDR_FILES		301	/* A descriptor table */
#define CR_HDR_FD_ENT		302	/* One descriptor */
#define CR_HDR_FILE		303	/* An open file */
#define CR_HDR_PIPE		304	/* A pipe or FIFO */
#define CR_HDR_PIPE_BUF		305	/* A buffer of a pipe */
#define CR_HDR_PIPE_DATA	306	/* The bytes of that buffer */
#define CR_HDR_EVENTFD		307	/* The counter of an eventfd */
#define CR_HDR_SIGNALFD		308	/* The signals of a signalfd */
#define CR_HDR_TIMERFD		309	/* The timer of a timerfd */
#define CR_HDR_EPOLL		310	/* An epoll: its entries follow */
#define CR_HDR_EPOLL_ITEM	311	/* A file that an epoll watches */
#define CR_HDR_PIDFD		312	/* The process of a pidfd */
#define CR_HDR_SOCKET		313	/* A local socket */
#define CR_HDR_SOCKET_MSG	314	/* A message that waits in a socket */
#define CR_HDR_SOCKET_DATA	315	/* Bytes of that message */
#define CR_HDR_FILE_LOCK	316	/* A lock on the file of a descriptor */
#define CR_HDR_TAIL		5001	/* End: counts and checksums */
#define CR_HDR_ERROR		9999	/* The checkpoint failed: the reason */

/* Every record and every page run starts on a multiple of this many bytes */
#define CR_ALIGN			8
/* Page data starts on a multiple of this many bytes of the stream */
#define CR_PAGE_ALIGN			4096
/* Longest string record in bytes, without a terminating NUL */
#define CR_STR_MAX			4095

/* First four bytes of the header's payload */
#define CR_HEAD_MAGIC			0x00a2d200
/* First four bytes of the trailer's payload */
#define CR_TAIL_MAGIC			0x002d2a00
/* Version of the image format */
#define CR_VERSION			1
/* Architecture number of x86-64 */
#define CR_ARCH_X86_64			2
/* Longest error text in bytes */
#define CR_ERROR_TEXT			192

/* Kinds of place that an error names, with the meaning of the two numbers */
#define CR_PLACE_NONE			0	/* No place */
#define CR_PLACE_FD			1	/* A descriptor number */
/* A range of addresses, start and end */
#define CR_PLACE_RANGE			2
/* An offset in the image, in bytes */
#define CR_PLACE_IMAGE			3
#define CR_PLACE_OBJECT			4	/* An object reference */
/* A signal, a resource or another small number */
#define CR_PLACE_NUMBER			5

/* struct cr_hdr_head: release, version and machine follow as strings */
struct cr_hdr_head {
	__u32 magic;			/* CR_HEAD_MAGIC */
	__u32 version;			/* CR_VERSION */
	__u32 arch;			/* Architecture, CR_ARCH_X86_64 */
	__u32 page_size;		/* Bytes of a page */
	__u16 major;			/* Kernel version: major number */
	__u16 minor;			/* Kernel version: minor number */
	__u16 patch;			/* Kernel version: patch level */
	__u16 nr_strings;		/* Number of strings that follow: 3 */
	/* Flags of the checkpoint call. Varies from image to image */
	__u32 flags;
	/* Identifier that the checkpoint call returned. Varies */
	__u32 crid;
	/* Number of tasks, and of TREE records that follow the header */
	__u32 nr_tasks;
	/* The process id that was given out last in the PID namespace. Varies */
	__u32 last_pid;
	__u64 compat;			/* Unknown bits may be ignored by readers */
	/* Unknown bits may be ignored by tools, not by restart */
	__u64 ro_compat;
	__u64 incompat;			/* Unknown bits make an image unreadable */
	/* Wall clock in nanoseconds since 1970. Varies */
	__u64 realtime_ns;
	/* Two clocks of the process in nanoseconds. Both vary */
	__u64 monotonic_ns;
	__u64 boottime_ns;
};

/* struct cr_hdr_head_arch: what an image needs of a machine */
struct cr_hdr_head_arch {
	/* User state components that the processor had enabled, as in XCR0 */
	__u64 xfeatures;
	__u32 xsave_size;		/* Bytes of the FPU record */
	__u32 vdso_size;		/* Bytes of the vDSO */
	__u32 vdso_crc;			/* crc32c of the vDSO */
	__u32 reserved;			/* Zero */
	__u32 cpuid[16];		/* CPUID output words */
	/*
	 * Offsets of the state components 2 to 9 in the FPU record, in bytes /
	 * 64.
	 */
	__u16 xoffsets[8];
	__u64 reserved2;		/* Zero */
};

/* struct cr_hdr_tail: end of a complete image */
struct cr_hdr_tail {
	__u32 magic;			/* CR_TAIL_MAGIC */
	__u32 reserved;			/* Zero */
	__u64 nr_bytes;			/* Bytes of the stream before this record */
	__u64 nr_records;		/* Records before this one */
	/* crc32c of all metadata, and of all page data, before this record */
	__u32 cksum[2];
};

/* struct cr_hdr_error: why a checkpoint ended here */
struct cr_hdr_error {
	__u32 err;			/* Positive errno */
	__u32 pid;			/* Task, as seen by the caller */
	__u32 place;			/* One of CR_PLACE_* */
	__s16 kind;			/* Record kind at hand, or 0 */
	__u16 text_len;			/* Bytes of text in use */
	__u64 a;			/* First number of the place */
	__u64 b;			/* Second number of the place */
	__u64 reserved;			/* Zero */
	__u8 text[CR_ERROR_TEXT];	/* Reason */
};

/* Bytes of a task's name with its NUL */
#define CR_COMM_LEN			16
/* Most bytes of a CPU affinity: a bit for each CPU */
#define CR_AFFINITY_MAX			1024
/* Shortest and longest scheduling slice in nanoseconds */
#define CR_SLICE_MIN			100000
#define CR_SLICE_MAX			100000000
/* Largest time, in nanoseconds, or number of anything, that a task has used */
#define CR_USED_MAX			(1ULL << 60)
/* Resource limits of a process */
#define CR_NR_RLIMITS			16
/* Most supplementary groups */
#define CR_GROUPS_MAX			65536
/* Groups of one record at most */
#define CR_GROUPS_CHUNK			4096

/* cr_hdr_creds.seccomp: read, write, exit and sigreturn; what filters allow */
#define CR_SECCOMP_STRICT		1
#define CR_SECCOMP_FILTER		2
/* Instructions of a filter, and of one record, at most */
#define CR_INSNS_MAX			4096
#define CR_INSNS_CHUNK			2048
/* Filters of a task at most */
#define CR_FILTERS_MAX			6553
/* Bits of cr_hdr_seccomp_filter.flags: what is not allowed is logged */
#define CR_SECCOMP_FLAG_LOG		1

/* Bits of cr_hdr_task.flags */
#define CR_TASK_NO_NEW_PRIVS		1	/* no_new_privs is set */
/* The task adopts orphans below it */
#define CR_TASK_CHILD_SUBREAPER		2
/* Core dumps and tracing by the owner are allowed */
#define CR_TASK_DUMPABLE		4
/* The task was forked and has not called exec since */
#define CR_TASK_FORKNOEXEC		8
/* The task has used superuser privileges */
#define CR_TASK_SUPERPRIV		0x10
/* Kill early on a memory failure: set by the task itself */
#define CR_TASK_MCE_EARLY		0x20
/* The memory failure policy was set by the task itself */
#define CR_TASK_MCE_PROCESS		0x40
/* Children go back to the default scheduling policy */
#define CR_TASK_RESET_ON_FORK		0x80
/* Continued, and the parent has not asked for that yet */
#define CR_TASK_CONTINUED		0x100
/*
 * Core dumps are allowed for root only, and tracing for whoever may trace all:
 * what fs.suid_dumpable says of programs with changed ids. Without
 * CR_TASK_DUMPABLE.
 */
#define CR_TASK_DUMPABLE_ROOT		0x200

/* Scheduling policies */
#define CR_POLICY_NORMAL		0	/* Time sharing */
#define CR_POLICY_FIFO			1	/* Real time, first in first out */
#define CR_POLICY_RR			2	/* Real time, round robin */
#define CR_POLICY_BATCH			3	/* Batch */
#define CR_POLICY_IDLE			5	/* Idle */

/* Most tasks of an image */
#define CR_TASKS_MAX			0x10000
/* Process ids are below this number on every kernel */
#define CR_PID_LIMIT			0x400000

/* The process has ended, and its parent has not asked for its exit code yet */
#define CR_TREE_ZOMBIE			0x1
#define CR_TREE_SUBREAPER		0x2	/* The process adopts orphans below it */
#define CR_TREE_SESSION_LEADER		0x4	/* The process leads its session */
/* Nobody waits for the process: it leaves no zombie (CLONE_AUTOREAP) */
#define CR_TREE_AUTOREAP		0x8

/* struct cr_hdr_tree: one task of the forest */
struct cr_hdr_tree {
	__u32 pid;			/* Thread id */
	__u32 tgid;			/* Process id: that of the first thread */
	/*
	 * Thread id of the parent, which may be any thread of its process; 0
	 * for the first process and for threads
	 */
	__u32 parent;
	__u32 pgid;			/* Process group */
	__u32 sid;			/* Session */
	__u32 flags;			/* CR_TREE_* */
	/* Signal for the parent when the process ends; 0 for threads */
	__u32 exit_signal;
	/* What wait(2) tells of a process that has ended, else 0 */
	__u32 exit_code;
	__u32 reserved[4];		/* Zero */
};

/* cr_hdr_task.exit_state of a process that has ended */
#define CR_EXIT_ZOMBIE			1
/* cr_hdr_task.state of a task that a signal has stopped */
#define CR_STATE_STOPPED		1

/* struct cr_hdr_task: one task */
struct cr_hdr_task {
	/* Object reference of the task: owner of its records */
	__u32 objref;
	__u32 state;			/* Running: 0; CR_STATE_STOPPED */
	__u32 exit_state;		/* Alive: 0; ended: CR_EXIT_ZOMBIE */
	__u32 exit_code;		/* As wait(2) tells it: 0 while alive */
	/* Signal for the parent when the task ends */
	__u32 exit_signal;
	__u32 pid;			/* Thread id, as in the forest */
	__u32 tgid;			/* Process id, as in the forest */
	__u32 ppid;			/* Parent's process id. For people */
	__u32 pgid;			/* Process group. For people */
	__u32 sid;			/* Session. For people */
	__u32 flags;			/* See CR_TASK_* */
	__u32 personality;		/* personality(2) */
	__s32 nice;			/* Nice value, -20 to 19 */
	__u32 policy;			/* See CR_POLICY_* */
	__u32 rt_priority;		/* Real-time priority, 0 to 99 */
	__u32 pdeath_signal;		/* Signal when the parent ends, or 0 */
	/* Score adjustment of the out-of-memory killer */
	__s32 oom_score_adj;
	__u32 task_comm_len;		/* Bytes of comm in use, with the NUL */
	__u8 comm[CR_COMM_LEN];		/* Name */
	__u64 timer_slack_ns;		/* Timer slack in nanoseconds */
	/* Timer slack that prctl resets to, in nanoseconds */
	__u64 default_timer_slack_ns;
	__u64 utime;			/* User time in nanoseconds. Varies */
	__u64 stime;			/* System time in nanoseconds. Varies */
	/* Time of virtual guests in nanoseconds. Varies */
	__u64 gtime;
	/* Reported user time in nanoseconds. Varies */
	__u64 prev_utime;
	/* Reported system time in nanoseconds. Varies */
	__u64 prev_stime;
	__u64 sum_exec_runtime;		/* Time on a CPU in nanoseconds. Varies */
	__u64 nvcsw;			/* Voluntary context switches. Varies */
	__u64 nivcsw;			/* Involuntary context switches. Varies */
	/* CLOCK_MONOTONIC at the start in nanoseconds */
	__u64 start_time;
	/* CLOCK_BOOTTIME at the start in nanoseconds */
	__u64 real_start_time;
	__u64 min_flt;			/* Faults without I/O. Varies */
	__u64 maj_flt;			/* Faults with I/O. Varies */
	__u32 stop_signal;		/* Signal that has stopped it, or 0 */
	__u32 stop_code;		/* What wait(2) is still to tell, or 0 */
	__u64 slice_ns;			/* Time slice, or 0 for the system's */
	__u32 ioprio;			/* As of ioprio_get(2); 0 if none was set */
	__u32 affinity_len;		/* Bytes of CR_HDR_AFFINITY, or 0 */
	__u32 mm;			/* Address space: CR_HDR_MM if it is new */
	__u32 files;			/* Descriptor table: CR_HDR_FILES if it is new */
	__u32 fs;			/* File system view: CR_HDR_FS if it is new */
	__u32 handlers;			/* Signal handlers, as in CR_HDR_SIGNAL */
	/* Of the first thread: user time of all threads, also ended ones, in nanoseconds. Varies */
	__u64 group_utime;
	/* Their system time in nanoseconds. Varies */
	__u64 group_stime;
	/* Their time on a CPU in nanoseconds. Varies */
	__u64 group_runtime;
	/* Their reported user time in nanoseconds. Varies */
	__u64 group_prev_utime;
	/* Their reported system time in nanoseconds. Varies */
	__u64 group_prev_stime;
	/* Their voluntary context switches. Varies */
	__u64 group_nvcsw;
	/* Their involuntary context switches. Varies */
	__u64 group_nivcsw;
	/* Their faults without I/O. Varies */
	__u64 group_min_flt;
	/* Their faults with I/O. Varies */
	__u64 group_maj_flt;
	/* Of the first thread: user time of children that were waited for, in nanoseconds. Varies */
	__u64 children_utime;
	/* Their system time in nanoseconds. Varies */
	__u64 children_stime;
	/* Their voluntary context switches. Varies */
	__u64 children_nvcsw;
	/* Their involuntary context switches. Varies */
	__u64 children_nivcsw;
	/* Their faults without I/O. Varies */
	__u64 children_min_flt;
	/* Their faults with I/O. Varies */
	__u64 children_maj_flt;
	/* As in /proc/PID/io. Varies */
	__u64 rchar;
	__u64 wchar;
	__u64 syscr;
	__u64 syscw;
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 cancelled_write_bytes;
	/* The same of all threads, and of waited-for children. Varies */
	__u64 group_rchar;
	__u64 group_wchar;
	__u64 group_syscr;
	__u64 group_syscw;
	__u64 group_read_bytes;
	__u64 group_write_bytes;
	__u64 group_cancelled_write_bytes;
	/* Blocks of 512 bytes, and most memory at a time in pages. Varies */
	__u64 group_inblock;
	__u64 group_oublock;
	__u64 group_maxrss;
	__u64 children_inblock;
	__u64 children_oublock;
	__u64 children_maxrss;
	/* Lowest score adjustment without CAP_SYS_RESOURCE */
	__s32 oom_score_adj_min;
	__u32 reserved;			/* Zero */
};

/* struct cr_hdr_creds: who the task is, in its user namespace */
struct cr_hdr_creds {
	__u32 uid;			/* Real user id */
	__u32 euid;			/* Effective user id */
	__u32 suid;			/* Saved user id */
	__u32 fsuid;			/* File system user id */
	__u32 gid;			/* Real group id */
	__u32 egid;			/* Effective group id */
	__u32 sgid;			/* Saved group id */
	__u32 fsgid;			/* File system group id */
	/*
	 * Inheritable, permitted, effective, bounding and ambient capabilities.
	 */
	__u64 caps[5];
	__u32 securebits;		/* Secure bits */
	/* Supplementary groups, in GROUPS records that follow */
	__u32 ngroups;
	__u32 seccomp;			/* 0, or CR_SECCOMP_* */
	__u32 level;			/* Of its user namespace, 0 the first */
	__u64 reserved2;		/* Zero */
};

/* struct cr_hdr_seccomp: the filters of a task */
struct cr_hdr_seccomp {
	__u32 filter;			/* Reference of the last one */
	__u32 nr_filters;		/* New ones that follow */
	__u64 reserved;			/* Zero */
};

/* struct cr_hdr_seccomp_filter: a filter */
struct cr_hdr_seccomp_filter {
	__u32 objref;			/* Its reference */
	__u32 prev;			/* Of the one before it, or 0 */
	__u32 flags;			/* CR_SECCOMP_FLAG_* */
	__u32 len;			/* Instructions that follow */
	__u64 reserved;			/* Zero */
};

/* struct cr_sock_filter: an instruction of classic BPF */
struct cr_sock_filter {
	__u16 code;			/* Operation */
	__u8 jt;			/* Instructions to skip if true */
	__u8 jf;			/* Instructions to skip if not */
	__u32 k;			/* Operand */
};

/* struct cr_rlimit: one resource limit; all bits set means unlimited */
struct cr_rlimit {
	__u64 cur;			/* Soft limit */
	__u64 max;			/* Hard limit */
};

/* struct cr_hdr_rlimits: limits in the order of getrlimit(2) numbers */
struct cr_hdr_rlimits {
	struct cr_rlimit limits[CR_NR_RLIMITS];	/* The limits */
};

/* struct cr_hdr_fs: paths of root and current directory follow */
struct cr_hdr_fs {
	__u32 umask;			/* File mode creation mask */
	__u32 nr_paths;			/* Number of paths that follow: 2 */
	__u32 objref;			/* Reference of the view */
	__u32 reserved;			/* Zero */
};

/* Thread-local storage descriptors of a task */
#define CR_NR_TLS			3
/* Most entries of a local descriptor table */
#define CR_LDT_MAX			8192
/* Entries of one LDT record at most */
#define CR_LDT_CHUNK			1024
/* First address that user code can never have: 47-bit address spaces */
#define CR_TASK_SIZE_MAX		0x7ffffffff000ULL
/* Bits of eflags that user code can set: those that sigreturn(2) restores */
#define CR_USER_FLAGS			0x254dd5
/* Bits that are always set in user mode: bit 1 and the interrupt flag */
#define CR_FIXED_FLAGS			0x202

/* Selector codes */
#define CR_SEG_NULL			0	/* The null selector */
#define CR_SEG_USER64_CS		1	/* 64-bit user code */
#define CR_SEG_USER64_DS		2	/* 64-bit user data */
/* Thread-local storage descriptor code - TLS, 0 to 2 */
#define CR_SEG_TLS			0x4000
/* LDT descriptor code - LDT, 0 to 8191 */
#define CR_SEG_LDT			0x8000

/* struct cr_user_desc: a segment descriptor as modify_ldt(2) takes it */
struct cr_user_desc {
	__u32 entry_number;		/* Index in its table */
	__u32 base_addr;		/* Base address */
	__u32 limit;			/* Limit, in bytes or pages */
	/*
	 * Bits 0 seg_32bit, 1-2 contents, 3 read_exec_only, 4 limit_in_pages, 5
	 * seg_not_present, 6 useable, 7 lm.
	 */
	__u32 flags;
};

/* struct cr_hdr_thread: what the kernel keeps of a thread beside registers */
struct cr_hdr_thread {
	__u32 ntls;			/* Number of TLS entries: CR_NR_TLS */
	__u32 sizeof_tls;		/* Bytes of one TLS entry: 16 */
	/* Descriptors; entry_number counts from 0 */
	struct cr_user_desc tls[CR_NR_TLS];
	__u64 robust_list;		/* Address of the robust futex list, or 0 */
	/* Bytes of its head: 24, or 0 without a list */
	__u64 robust_len;
	/* Address that is cleared and woken when the thread ends, or 0 */
	__u64 clear_child_tid;
	__u64 rseq_addr;		/* Restartable-sequence area, or 0 */
	__u32 rseq_len;			/* Bytes of it */
	__u32 rseq_sig;			/* Its signature */
	__u32 rseq_version;		/* Version of the registration, 0 to 2 */
	__u32 rseq_flags;		/* Bit 0: slice extensions are enabled */
	__u64 reserved[4];		/* Zero */
};

/* struct cr_hdr_cpu: the registers a task has in user mode */
struct cr_hdr_cpu {
	__u64 bx;			/* rbx */
	__u64 cx;			/* rcx */
	__u64 dx;			/* rdx */
	__u64 si;			/* rsi */
	__u64 di;			/* rdi */
	__u64 bp;			/* rbp */
	/*
	 * rax: what the interrupted call returns after a restart. With a call in
	 * orig_ax, -512, -513, -514 and -516 say how the call goes on, see
	 * CR_RESTART_*
	 */
	__u64 ax;
	__u64 orig_ax;			/* Number of the interrupted call, or -1 */
	__u64 ip;			/* Instruction pointer */
	__u64 flags;			/* eflags */
	__u64 sp;			/* Stack pointer */
	__u64 r8;			/* r8 */
	__u64 r9;			/* r9 */
	__u64 r10;			/* r10 */
	__u64 r11;			/* r11 */
	__u64 r12;			/* r12 */
	__u64 r13;			/* r13 */
	__u64 r14;			/* r14 */
	__u64 r15;			/* r15 */
	__u64 fs_base;			/* Base address of fs */
	__u64 gs_base;			/* Base address of gs */
	__u16 cs;			/* Selector code, see CR_SEG_* */
	__u16 ss;			/* Selector code */
	__u16 ds;			/* Selector code */
	__u16 es;			/* Selector code */
	__u16 fs;			/* Selector code */
	__u16 gs;			/* Selector code */
	/* The task has debug registers in use: 0, they are not supported */
	__u8 uses_debug;
	__u8 used_math;			/* The task has used the FPU */
	__u8 has_fxsr;			/* The processor has fxsave */
	__u8 reserved;			/* Zero */
	__u64 debugreg[6];		/* Debug registers 0 to 3, 6 and 7; zero */
	__u32 xstate_size;		/* Bytes of the FPU record that follows */
	/*
	 * Records that follow for the interrupted call: 0, or 1 RESTART_BLOCK
	 */
	__u32 nr_restart;
	__u64 reserved3;		/* Zero */
	__u64 reserved4;		/* Zero */
};

/* struct cr_hdr_mm_context: LDT and protection keys of an address space */
struct cr_hdr_mm_context {
	__u32 ldt_entry_size;		/* Bytes of one LDT entry: 16 */
	/* Number of LDT entries, in LDT records that follow */
	__u32 nldt;
	__u32 pkey_map;			/* Bit n: protection key n is allocated */
	__u32 execute_only_pkey;	/* Key of execute-only mappings, or 0 */
	__u64 reserved[2];		/* Zero */
};

/* How an interrupted system call goes on: values of cr_hdr_cpu.ax */
/* Issued again, also behind a handler with SA_RESTART: ERESTARTSYS */
#define CR_RESTART_AGAIN_UNLESS_HANDLED	(-512)
/* Issued again, always: ERESTARTNOINTR */
#define CR_RESTART_AGAIN		(-513)
/* Issued again unless a handler runs: ERESTARTNOHAND */
#define CR_RESTART_AGAIN_WITHOUT_HANDLER	(-514)
/* Continued by restart_syscall(2): ERESTART_RESTARTBLOCK */
#define CR_RESTART_CONTINUE		(-516)
/* Largest number of a system call */
#define CR_RESTART_NR_MAX		0xffff
/* Longest time that is left, in nanoseconds: about 146 years */
#define CR_RESTART_REMAINING_MAX	0x3fffffffffffffffULL

/* Kinds of restart blocks */
/* nanosleep(2) and relative clock_nanosleep(2) */
#define CR_RESTART_KIND_NANOSLEEP	1
#define CR_RESTART_KIND_POLL		2	/* poll(2) */
#define CR_RESTART_KIND_FUTEX		3	/* A futex wait with a timeout */
/* epoll_wait(2); for this one and those below the arguments are in registers */
#define CR_RESTART_KIND_EPOLL_WAIT	4
#define CR_RESTART_KIND_EPOLL_PWAIT	5	/* epoll_pwait(2), epoll_pwait2(2) */
#define CR_RESTART_KIND_SIGTIMEDWAIT	6	/* rt_sigtimedwait(2) */
#define CR_RESTART_KIND_SEMTIMEDOP	7	/* semtimedop(2) */
/* A call on a socket with SO_RCVTIMEO or SO_SNDTIMEO */
#define CR_RESTART_KIND_SOCKET		8

/* Bits of cr_hdr_restart_block.flags */
/* There is a timeout: remaining_ns counts */
#define CR_RESTART_FLAG_TIMEOUT		1
/* Futex: shared between processes */
#define CR_RESTART_FLAG_FUTEX_SHARED	2
/* Futex: the timeout is one of the wall clock */
#define CR_RESTART_FLAG_FUTEX_REALTIME	4

/* struct cr_hdr_restart_block: what an interrupted call needs to go on */
struct cr_hdr_restart_block {
	__u32 kind;			/* See CR_RESTART_KIND_* */
	__u32 flags;			/* See CR_RESTART_FLAG_* */
	/* Sleep: number of the clock, as clock_gettime(2) has them */
	__u32 clock;
	__u32 nr_fds;			/* Poll: number of descriptors */
	/*
	 * Sleep: where the remaining time goes, or 0; poll: the descriptors;
	 * futex: its address
	 */
	__u64 addr;
	__u32 value;			/* Futex: the expected value */
	__u32 bitset;			/* Futex: which wakers are heard */
	/* Nanoseconds that were left of the timeout. Varies from image to image */
	__u64 remaining_ns;
	__u32 call;			/* Socket: number of the call */
	__u32 reserved[5];		/* Zero */
};

/* Number of signals */
#define CR_NR_SIGNALS			64

/* struct cr_sigaction: what a task does about one signal */
struct cr_sigaction {
	__u64 handler;			/* Handler address; 0 default, 1 ignore */
	__u64 flags;			/* SA_* flags */
	__u64 restorer;			/* Return trampoline */
	__u64 mask;			/* Signals blocked while the handler runs */
};

/* struct cr_hdr_signal: blocked signals, alternate stack, handlers */
struct cr_hdr_signal {
	__u32 nr_actions;		/* Number of actions: CR_NR_SIGNALS */
	/* Number of SIGINFO records that follow, before the ITIMERS record */
	__u32 nr_pending;
	__u64 blocked;			/* Blocked signals */
	__u64 ss_sp;			/* Alternate stack: address */
	__u64 ss_size;			/* Alternate stack: bytes */
	__u64 ss_flags;			/* Alternate stack: SS_* flags */
	__u64 reserved2[4];		/* Zero */
	struct cr_sigaction actions[CR_NR_SIGNALS];	/* Actions, signal 1 first */
};

/* struct cr_hdr_thread_signal: what a further thread has of its own */
struct cr_hdr_thread_signal {
	__u32 nr_pending;		/* Number of SIGINFO records that follow */
	__u32 reserved;			/* Zero */
	__u64 blocked;			/* Blocked signals */
	__u64 ss_sp;			/* Alternate stack: address */
	__u64 ss_size;			/* Alternate stack: bytes */
	__u64 ss_flags;			/* Alternate stack: SS_* flags */
	__u64 reserved2[2];		/* Zero */
};

/* Most signals that may be pending */
#define CR_PENDING_MAX			0x100000
/* Longest value of a timer, in nanoseconds: about 146 years */
#define CR_TIMER_MAX			0x3fffffffffffffffULL

/* Where a signal waits */
#define CR_SIGINFO_TASK			0	/* For the task */
#define CR_SIGINFO_PROCESS		1	/* For the process, any thread of it */

/* Bits of cr_hdr_siginfo.flags */
/* Sent by the POSIX timer whose id is the first of fields */
#define CR_SIGINFO_FLAG_TIMER		1

/* struct cr_hdr_siginfo: one signal that waits to be delivered */
struct cr_hdr_siginfo {
	__u32 queue;			/* See CR_SIGINFO_* */
	__u32 flags;			/* See CR_SIGINFO_FLAG_* */
	__s32 signo;			/* si_signo: number of the signal */
	__s32 err;			/* si_errno */
	__s32 code;			/* si_code: why it was sent */
	__u32 reserved2;		/* Zero */
	/* The rest of siginfo_t, as sigaction(2) has it */
	__u64 fields[4];
	__u64 reserved3;		/* Zero */
};

/* struct cr_itimer: an interval timer */
struct cr_itimer {
	/*
	 * Nanoseconds until it expires, or 0. Varies from image to image when
	 * the timer runs.
	 */
	__u64 value;
	__u64 interval;			/* Nanoseconds between two expiries, or 0 */
};

/* struct cr_hdr_itimers: the interval timers of a process */
struct cr_hdr_itimers {
	/* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF */
	struct cr_itimer timers[3];
	__u64 reserved;			/* Zero */
};

/* Most timers of a process */
#define CR_TIMERS_MAX			0x10000
/* Most overruns: more are not told of anyway */
#define CR_OVERRUN_MAX			0x7fffffff

/* Clocks of the time that a process or a thread spends on a processor */
#define CR_CPU_CLOCK_PROCESS_PROF	(-8)	/* Process, user and kernel mode */
#define CR_CPU_CLOCK_PROCESS_VIRT	(-7)	/* Process, user mode */
#define CR_CPU_CLOCK_PROCESS_SCHED	(-6)	/* CLOCK_PROCESS_CPUTIME_ID */
#define CR_CPU_CLOCK_THREAD_PROF	(-4)	/* Thread, user and kernel mode */
#define CR_CPU_CLOCK_THREAD_VIRT	(-3)	/* Thread, user mode */
#define CR_CPU_CLOCK_THREAD_SCHED	(-2)	/* CLOCK_THREAD_CPUTIME_ID */

/* How a timer tells that it has expired */
#define CR_TIMER_NOTIFY_SIGNAL		0	/* By a signal to the process */
#define CR_TIMER_NOTIFY_NONE		1	/* Not at all */
/* By a signal to the process, for which a library starts a thread */
#define CR_TIMER_NOTIFY_THREAD		2
#define CR_TIMER_NOTIFY_THREAD_ID	4	/* By a signal to one thread */

/* Bits of cr_hdr_timers.flags */
/* timer_create() takes the id from its caller: PR_TIMER_CREATE_RESTORE_IDS */
#define CR_TIMERS_RESTORE_IDS		1

/* Bits of cr_hdr_timer.flags */
/* Changes of the wall clock change the time that is left */
#define CR_TIMER_ABSOLUTE		1
#define CR_TIMER_PENDING		2	/* Its signal is in a SIGINFO record */
#define CR_TIMER_IGNORED		4	/* Its signal is ignored, and waits */

/* struct cr_hdr_timers: the POSIX timers of a process follow */
struct cr_hdr_timers {
	__u32 nr_timers;		/* Number of TIMER records that follow */
	__u32 next_id;			/* Where a free id is looked for */
	__u32 flags;			/* See CR_TIMERS_* */
	__u32 reserved;			/* Zero */
	__u64 reserved2[2];		/* Zero */
};

/* struct cr_hdr_timer: one POSIX timer */
struct cr_hdr_timer {
	__u32 id;			/* Its id; ids grow from record to record */
	/* 0 realtime, 1 monotonic, 7 boottime, 11 TAI, or CR_CPU_CLOCK_* */
	__s32 clock;
	__u32 clock_tid;		/* Clock of a thread: whose; else 0 */
	__u32 notify;			/* See CR_TIMER_NOTIFY_* */
	__s32 signo;			/* Signal that it sends */
	__u32 tid;			/* Thread that gets the signal, or 0 */
	__u32 flags;			/* See CR_TIMER_* */
	__u32 reserved;			/* Zero */
	__u64 sigval;			/* Value that comes with the signal */
	/*
	 * Nanoseconds until it expires, or 0. Varies from image to image when
	 * the timer runs.
	 */
	__u64 value;
	__u64 interval;			/* Nanoseconds between two expiries, or 0 */
	/*
	 * Expiries behind the signal that waits, or -1. Varies from image to
	 * image when the signal waits.
	 */
	__s64 overrun;
	/* Expiries behind the last signal that was delivered */
	__s64 overrun_last;
	__u64 reserved2[3];		/* Zero */
};

/* Pages of one run at most */
#define CR_PGARR_MAX			4096
/* Guard ranges of one record at most */
#define CR_GUARDS_MAX			0x100000
#define CR_GUARD_CHUNK			1024
/* Entries of an auxiliary vector at most */
#define CR_AUXV_MAX			128

/* Bits of cr_hdr_mm.flags */
/* Core dump filter: the bits of /proc/PID/coredump_filter */
#define CR_MM_DUMP_FILTER		0x1ff
#define CR_MM_THP_DISABLE		0x10000	/* No huge pages at all */
#define CR_MM_THP_DISABLE_EXCEPT_ADVISED	0x20000	/* No huge pages but where advised */
/* Memory is never writable and executable (PR_SET_MDWE) */
#define CR_MM_MDWE			0x40000
/* Children do not inherit the former */
#define CR_MM_MDWE_NO_INHERIT		0x80000
/* All memory may be merged (PR_SET_MEMORY_MERGE) */
#define CR_MM_MERGE_ANY			0x100000
/* Mappings are placed from the top down */
#define CR_MM_TOPDOWN			0x200000
/* Future mappings are locked (mlockall MCL_FUTURE) */
#define CR_MM_LOCK_FUTURE		0x400000
/* They are locked when touched (MCL_ONFAULT) */
#define CR_MM_LOCK_ONFAULT		0x800000

/* Kinds of mapping */
#define CR_VMA_KIND_ANON		1	/* Private anonymous memory */
#define CR_VMA_KIND_FILE		2	/* Private mapping of a file */
/* The vDSO's code or its data: mapped by the kernel */
#define CR_VMA_KIND_VDSO		3
/* A part of a shared memory object */
#define CR_VMA_KIND_SHMEM		4
#define CR_VMA_KIND_SHARED		5	/* Shared mapping of a file */

/* Bits of cr_hdr_vma.flags */
#define CR_VMA_READ			1	/* Readable */
#define CR_VMA_WRITE			2	/* Writable */
#define CR_VMA_EXEC			4	/* Executable */
#define CR_VMA_GROWSDOWN		8	/* Grows downwards: a stack */
#define CR_VMA_LOCKED			0x10	/* Locked in memory */
/* Pages are locked when they are touched */
#define CR_VMA_LOCKONFAULT		0x20
#define CR_VMA_SEQ_READ			0x40	/* Read in sequence */
#define CR_VMA_RAND_READ		0x80	/* Read at random */
#define CR_VMA_DONTCOPY			0x100	/* Not copied by fork */
#define CR_VMA_DONTEXPAND		0x200	/* Not growable by mremap */
#define CR_VMA_NORESERVE		0x400	/* No swap space is reserved */
#define CR_VMA_WIPEONFORK		0x800	/* Wiped in children */
#define CR_VMA_DONTDUMP			0x1000	/* Not part of a core dump */
#define CR_VMA_HUGEPAGE			0x2000	/* Huge pages wanted */
#define CR_VMA_NOHUGEPAGE		0x4000	/* Huge pages not wanted */
#define CR_VMA_MERGEABLE		0x8000	/* Identical pages may be merged */
#define CR_VMA_SEALED			0x10000	/* Sealed against changes */
/* Contents may be dropped under pressure */
#define CR_VMA_DROPPABLE		0x20000
/* Has guard ranges; a GUARD record follows */
#define CR_VMA_GUARD			0x40000
#define CR_VMA_ACCOUNT			0x80000	/* Memory is accounted */
/* Bits that only anonymous memory has */
#define CR_VMA_ANON_ONLY		(CR_VMA_GROWSDOWN | CR_VMA_WIPEONFORK | \
					 CR_VMA_DROPPABLE)
/* Bits that only private mappings have */
#define CR_VMA_PRIVATE_ONLY		(CR_VMA_ANON_ONLY | CR_VMA_MERGEABLE | \
					 CR_VMA_ACCOUNT)

/* struct cr_hdr_mm: fields of an address space; auxv and mappings follow */
struct cr_hdr_mm {
	__u32 objref;			/* Object reference of the address space */
	__u32 map_count;		/* Number of mappings */
	__u64 start_code;		/* Start of the program's code */
	__u64 end_code;			/* End of the program's code */
	__u64 start_data;		/* Start of the program's data */
	__u64 end_data;			/* End of the program's data */
	__u64 start_brk;		/* Start of the heap */
	__u64 brk;			/* End of the heap */
	__u64 start_stack;		/* Start of the stack */
	__u64 arg_start;		/* Start of the arguments */
	__u64 arg_end;			/* End of the arguments */
	__u64 env_start;		/* Start of the environment */
	__u64 env_end;			/* End of the environment */
	/* Where mappings without a wish are placed */
	__u64 mmap_base;
	__u64 vdso;			/* Address of the vDSO code, or 0 */
	__u64 flags;			/* See CR_MM_* */
	/* Object reference of the program's file, or 0 */
	__u32 exe_file;
	/* Entries of the AUXV record that follows */
	__u32 nr_auxv;
	/* Address space limit of the caller: 47 bits */
	__u64 task_size;
	/* Most pages that were in memory at a time. Varies */
	__u64 hiwater_rss;
	/* Most pages that were mapped at a time */
	__u64 hiwater_vm;
	__u64 reserved[4];		/* Zero */
};

/* struct cr_hdr_vma: one mapping; name, guard ranges and pages follow */
struct cr_hdr_vma {
	__u32 how;			/* See CR_VMA_KIND_* */
	/* Object reference of the mapped file or shared memory, or 0 */
	__u32 file;
	__u64 start;			/* First address */
	__u64 end;			/* First address behind the mapping */
	__u64 flags;			/* See CR_VMA_* */
	__u64 pgoff;			/* Offset in the file, in pages */
	__u32 pkey;			/* Protection key */
	/* Bytes of the name that follows as a string, or 0 */
	__u32 namelen;
	/* Guard ranges in the GUARD records that follow */
	__u32 nr_guards;
	__u32 origin;			/* What it is a copy of, or 0 */
	__u64 reserved2;		/* Zero */
};

/* struct cr_guard_range: pages that must not be touched */
struct cr_guard_range {
	__u64 start;			/* First address */
	__u64 end;			/* First address behind the range */
};

/* struct cr_hdr_pgarr: addresses and contents of nr_pages pages follow */
struct cr_hdr_pgarr {
	__u32 nr_pages;			/* Number of pages; 0 ends the mapping */
	__u32 reserved;			/* Zero */
};

/* struct cr_hdr_pgref: pages that are in the image already */
struct cr_hdr_pgref {
	__u64 addr;			/* Address of the first page */
	__u64 from;			/* Its address in that address space */
	__u64 nr_pages;
	__u32 mm;			/* Object reference of it */
	__u32 reserved;			/* Zero */
};

/* Highest descriptor number, as the kernel's largest fs.nr_open */
#define CR_FD_MAX			0x7fffffc0
/* Descriptors of a table at most */
#define CR_NR_FDS_MAX			0x100000
/* Locks on the file of a descriptor at most */
#define CR_NR_LOCKS_MAX			0x10000
/* Last byte of a lock that has no end */
#define CR_LOCK_END			0x7fffffffffffffff

/* Longest name of an object in bytes */
#define CR_SHMEM_NAME_MAX		255

/* Kinds of shared memory */
/* Shared anonymous memory: MAP_SHARED with MAP_ANONYMOUS */
#define CR_SHMEM_KIND_ANON		1
#define CR_SHMEM_KIND_MEMFD		2	/* A file of memfd_create(2) */
/* A file of tmpfs that has been unlinked */
#define CR_SHMEM_KIND_UNLINKED		3

/* Bits of cr_hdr_shmem.flags */
#define CR_SHMEM_NORESERVE		1	/* No swap space is reserved */
/* A writable mapping is older than F_SEAL_FUTURE_WRITE */
#define CR_SHMEM_SEAL_LATE		2

/* Bits of cr_hdr_shmem.seals, as F_GET_SEALS of fcntl(2) has them */
#define CR_SEAL_SEAL			1	/* No further seals */
#define CR_SEAL_SHRINK			2	/* Does not become shorter */
#define CR_SEAL_GROW			4	/* Does not grow */
#define CR_SEAL_WRITE			8	/* Is not written to */
/* Is written to through mappings only that are there already */
#define CR_SEAL_FUTURE_WRITE		0x10
/* Does not become executable, or stops to be */
#define CR_SEAL_EXEC			0x20

/* struct cr_hdr_shmem: a shared memory object; its name and pages follow */
struct cr_hdr_shmem {
	__u32 objref;			/* Object reference */
	__u32 how;			/* See CR_SHMEM_KIND_* */
	__u64 size;			/* Size in bytes */
	__u32 flags;			/* See CR_SHMEM_* */
	__u32 mode;			/* Permissions; 0 for anonymous memory */
	__u32 seals;			/* See CR_SEAL_*; 0 unless a memfd */
	/* Bytes of the name that follows as a string; 0 for anonymous memory */
	__u32 namelen;
	__u32 uid;			/* Owner; 0 for anonymous memory */
	__u32 gid;			/* Group; 0 for anonymous memory */
	__u64 reserved[3];		/* Zero */
};

/* Kinds of open file */
#define CR_FILE_KIND_REGULAR		1	/* A regular file, by path */
#define CR_FILE_KIND_DIRECTORY		2	/* A directory, by path */
/* A location only (O_PATH), by path */
#define CR_FILE_KIND_PATH		3
/* A character device without state: null, zero, full, random, urandom */
#define CR_FILE_KIND_CHARDEV		4
#define CR_FILE_KIND_TTY		5	/* A terminal, by path */
/*
 * The stream that the image was written to, when it is not a file: the
 * restarting task's descriptor of the same number takes its place.
 */
#define CR_FILE_KIND_STREAM		6
/* An end of a pipe or FIFO, whose record stands before */
#define CR_FILE_KIND_PIPE		7
#define CR_FILE_KIND_EVENTFD		8	/* An eventfd; its counter follows */
#define CR_FILE_KIND_SIGNALFD		9	/* A signalfd; its signals follow */
#define CR_FILE_KIND_TIMERFD		10	/* A timerfd; its timer follows */
#define CR_FILE_KIND_EPOLL		11	/* An epoll; its entries follow */
#define CR_FILE_KIND_PIDFD		12	/* A pidfd; its process follows */
/* A local socket, whose record stands before */
#define CR_FILE_KIND_SOCKET		13
/* A shared memory object: a memfd, or an unlinked file of tmpfs */
#define CR_FILE_KIND_SHMEM		20

/* Bits of cr_hdr_file.flags */
/* Access mode: 0 read, 1 write, 2 both */
#define CR_FILE_ACCMODE			3
#define CR_FILE_APPEND			4	/* Every write appends */
#define CR_FILE_NONBLOCK		8	/* Calls do not block */
/* Writes reach the disk with their data */
#define CR_FILE_DSYNC			0x10
/* Writes reach the disk with data and metadata */
#define CR_FILE_SYNC			0x20
/* Transfers go around the page cache */
#define CR_FILE_DIRECT			0x40
/* Reads do not change the access time */
#define CR_FILE_NOATIME			0x80
#define CR_FILE_PATH			0x100	/* Opened for its location only */
#define CR_FILE_NOFOLLOW		0x200	/* A symbolic link itself */
#define CR_FILE_DIRECTORY		0x400	/* Must be a directory */
#define CR_FILE_LARGEFILE		0x800	/* Offsets are 64 bits wide */
/* The image was written to this file: its position is behind the image */
#define CR_FILE_IMAGE			0x1000
/* Contents are mapped by the first who has the file; for information */
#define CR_FILE_MAPPED			0x2000
/*
 * The end of a FIFO that reads: nobody has written since it was opened, so
 * that poll(2) does not tell of a hang-up.
 */
#define CR_FILE_UNSEEN			0x4000
/* As CR_FILE_MAPPED, by a shared mapping */
#define CR_FILE_SHARED			0x8000

/* struct cr_hdr_file: an open file; its path follows as a string */
struct cr_hdr_file {
	__u32 objref;			/* Object reference */
	__u32 kind;			/* See CR_FILE_KIND_* */
	__u32 flags;			/* See CR_FILE_* */
	__u32 mode;			/* File type and permissions, as st_mode */
	__u64 pos;			/* Position in bytes */
	__u64 size;			/* Size in bytes */
	__u64 ino;			/* Inode number, for information */
	__s64 mtime_sec;		/* Last change of the contents: seconds */
	/* Last change of the contents: nanoseconds */
	__u32 mtime_nsec;
	__u32 rdev_major;		/* Device number: major */
	__u32 rdev_minor;		/* Device number: minor */
	/* Bytes of the path that follows; 0 where there is none */
	__u32 path_len;
	/* First descriptor that refers to a stream, else 0 */
	__u32 stream_fd;
	/*
	 * Object reference: the pipe of an end, the socket, the shared memory
	 * of a file in memory, else 0.
	 */
	__u32 object;
	__u32 pid;			/* Of a file in procfs: its process, or 0 */
	__u32 pid_at;			/* Where the id begins in the path, or 0 */
	/*
	 * Object reference: the credentials that it was opened with, whose
	 * record stands before, or 0.
	 */
	__u32 creds;
	__u32 reserved;			/* Zero */
};

/* struct cr_hdr_files: files and descriptors follow */
struct cr_hdr_files {
	__u32 objref;			/* Object reference of the table */
	__u32 nr_fds;			/* Number of descriptors */
	__u64 reserved;			/* Zero */
};

/* struct cr_hdr_fd_ent: one descriptor */
struct cr_hdr_fd_ent {
	__u32 fd;			/* Descriptor number */
	__u32 file;			/* Object reference of the open file */
	__u32 flags;			/* Bit 0: close on exec */
	/*
	 * Locks that follow: the table's own on the open file, at its first
	 * descriptor of that, and the open file's, at the first one of all
	 * tables.
	 */
	__u32 nr_locks;
};

/* Whose a lock is */
/* The descriptor table's: a record lock (F_SETLK) */
#define CR_LOCK_KIND_RECORD		1
/* The open file's, on a range (F_OFD_SETLK) */
#define CR_LOCK_KIND_DESCRIPTION	2
/* The open file's, on all of it (flock(2)) */
#define CR_LOCK_KIND_FLOCK		3

/* struct cr_hdr_file_lock: a lock on the file of the descriptor before it */
struct cr_hdr_file_lock {
	__u32 kind;			/* See CR_LOCK_KIND_* */
	/* Bit 0: it excludes all others, and not only those that write */
	__u32 flags;
	__u64 start;			/* First byte */
	__u64 end;			/* Last byte; 2^63 - 1 when it has no end */
};

/* Buffers of a pipe at most: a capacity of 2 GiB */
#define CR_PIPE_SLOTS_MAX		0x80000
/* Bytes of a buffer at most */
#define CR_PIPE_BUF_MAX			4096

/* struct cr_hdr_pipe: a pipe or FIFO; a FIFO's path, then buffers follow */
struct cr_hdr_pipe {
	__u32 objref;			/* Object reference */
	/* Capacity in buffers of 4096 bytes, a power of two */
	__u32 slots;
	__u32 nr_bufs;			/* Number of buffers that are in use */
	__u32 mode;			/* File type and permissions, as st_mode */
	__u32 uid;			/* Owner of a pipe; 0 for a FIFO */
	__u32 gid;			/* Group of a pipe; 0 for a FIFO */
	__u32 path_len;			/* Bytes of a FIFO's path; 0 for a pipe */
	__u32 reserved;			/* Zero */
	__u64 reserved2;		/* Zero */
};

/* Bits of cr_hdr_pipe_buf.flags */
/* A packet: one read takes it, and nothing behind it */
#define CR_PIPE_BUF_PACKET		1
/* What is written next may be added to it */
#define CR_PIPE_BUF_MERGE		2

/* struct cr_hdr_pipe_buf: a buffer of a pipe; its bytes follow */
struct cr_hdr_pipe_buf {
	__u32 offset;			/* Bytes before them that were read already */
	__u32 nr_bytes;			/* Number of bytes */
	__u32 flags;			/* See CR_PIPE_BUF_* */
	__u32 reserved;			/* Zero */
};

/* Messages that wait in a socket at most */
#define CR_SOCKET_MSGS_MAX		0x1000000
/* Bytes of a message at most */
#define CR_SOCKET_MSG_MAX		0x1000000
/* Bytes of a record with a part of a message at most */
#define CR_SOCKET_PART_MAX		0x4000
/* A call waits for ever */
#define CR_SOCKET_FOREVER		0xffffffffffffffff

/* Values of cr_hdr_socket.kind, as of socket(2) */
#define CR_SOCKET_KIND_STREAM		1	/* Bytes */
/* Messages; the ends do not know whether the other one is there */
#define CR_SOCKET_KIND_DGRAM		2
/* Messages, in order, and an end that is known */
#define CR_SOCKET_KIND_SEQPACKET	5

/* Bits of cr_hdr_socket.flags */
#define CR_SOCKET_KEEPALIVE		1	/* SO_KEEPALIVE */
#define CR_SOCKET_OOBINLINE		2	/* SO_OOBINLINE */
#define CR_SOCKET_BROADCAST		4	/* SO_BROADCAST */
#define CR_SOCKET_PASSCRED		8	/* SO_PASSCRED */
#define CR_SOCKET_PASSSEC		0x10	/* SO_PASSSEC */
#define CR_SOCKET_PASSPIDFD		0x20	/* SO_PASSPIDFD */
#define CR_SOCKET_PASSRIGHTS		0x40	/* SO_PASSRIGHTS: in a new socket */
#define CR_SOCKET_INQ			0x80	/* SO_INQ */
#define CR_SOCKET_NOTRUNC		0x100	/* SO_RIGHTS_NOTRUNC */
#define CR_SOCKET_SNDBUF_SET		0x200	/* SO_BUF_LOCK: send buffer */
#define CR_SOCKET_RCVBUF_SET		0x400	/* SO_BUF_LOCK: receive buffer */
/* The other end was closed with something unread: ECONNRESET follows */
#define CR_SOCKET_RESET			0x800
/* It is not of a pair, and was never connected */
#define CR_SOCKET_UNCONNECTED		0x1000

/* Bits of cr_hdr_socket.shutdown */
#define CR_SOCKET_SHUT_RECV		1	/* Nothing is received any more */
#define CR_SOCKET_SHUT_SEND		2	/* Nothing is sent any more */

/*
 * struct cr_hdr_socket: a local socket. Of a pair that of the other end
 * follows, unless it is closed, then the messages of both.
 */
struct cr_hdr_socket {
	__u32 objref;			/* Object reference */
	__u32 peer;			/* That of the other end, or 0 */
	__u32 kind;			/* See CR_SOCKET_KIND_* */
	__u32 flags;			/* See CR_SOCKET_* */
	__u32 shutdown;			/* See CR_SOCKET_SHUT_* */
	__u32 nr_msgs;			/* Number of messages that wait */
	__u32 sndbuf;			/* Bytes, as SO_SNDBUF tells it */
	__u32 rcvbuf;			/* Bytes, as SO_RCVBUF tells it */
	__u32 rcvlowat;			/* SO_RCVLOWAT */
	__s32 peek_off;			/* SO_PEEK_OFF */
	__u32 creator;			/* SO_PEERCRED: a process, or 0 */
	__u32 mode;			/* File type and permissions, as st_mode */
	__u32 uid;			/* Owner */
	__u32 gid;			/* Group */
	/* SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds, or CR_SOCKET_FOREVER */
	__u64 rcvtimeo;
	__u64 sndtimeo;
	__u64 reserved;			/* Zero */
};

/*
 * struct cr_hdr_socket_msg: a message that waits; its bytes follow in parts.
 */
struct cr_hdr_socket_msg {
	__u32 nr_bytes;			/* Bytes that are to be received */
	__u32 reserved;			/* Zero */
	__u64 reserved2;		/* Zero */
};

/* Longest time of a timerfd in nanoseconds */
#define CR_TIMERFD_MAX			0x7fffffffffffffff

/* Bits of cr_hdr_eventfd.flags */
#define CR_EVENTFD_SEMAPHORE		1	/* Each read takes one, not all */

/* struct cr_hdr_eventfd: the counter of an eventfd */
struct cr_hdr_eventfd {
	__u64 count;			/* The counter */
	__u32 flags;			/* See CR_EVENTFD_* */
	__u32 reserved;			/* Zero */
};

/* struct cr_hdr_signalfd: the signals that a signalfd takes */
struct cr_hdr_signalfd {
	__u64 mask;			/* Signal n is bit n - 1 */
	__u64 reserved;			/* Zero */
};

/* Bits of cr_hdr_timerfd.flags */
#define CR_TIMERFD_ABSOLUTE		1	/* Set to a point in time */
#define CR_TIMERFD_CANCEL_ON_SET	2	/* A change of the clock ends the wait */

/* struct cr_hdr_timerfd: the timer of a timerfd */
struct cr_hdr_timerfd {
	__u32 clock;			/* As of clock_gettime(2): 0, 1, 7, 8, 9 */
	__u32 flags;			/* See CR_TIMERFD_* */
	__u64 ticks;			/* Expirations that were not read */
	/*
	 * Nanoseconds: until it expires, or its point in time when it was set
	 * to one of the wall clock (0 or 8); 0 when it does not run.
	 */
	__u64 value;
	__u64 interval;			/* Between two expirations, or 0 */
};

#define CR_PIDFD_THREAD			1	/* Signals go to the first thread */

/* struct cr_hdr_pidfd: the process of a pidfd */
struct cr_hdr_pidfd {
	__u32 pid;			/* Its process id, as in the forest */
	__u32 flags;			/* See CR_PIDFD_* */
};

/* Entries of an epoll at most */
#define CR_EPOLL_ITEMS_MAX		0x1000000

/* struct cr_hdr_epoll: the entries of an epoll */
struct cr_hdr_epoll {
	__u32 nr_items;			/* Number of entries that follow */
	__u32 reserved;			/* Zero */
};

/* struct cr_hdr_epoll_item: a file that an epoll watches */
struct cr_hdr_epoll_item {
	__u32 fd;			/* Descriptor that it was added by */
	__u32 file;			/* Object reference of the open file */
	__u32 events;			/* Events and flags of epoll_ctl(2) */
	__u32 reserved;			/* Zero */
	__u64 data;			/* What epoll_wait(2) tells */
	__u64 reserved2;		/* Zero */
};

#endif /* _UAPI_LINUX_CHECKPOINT_HDR_H */
