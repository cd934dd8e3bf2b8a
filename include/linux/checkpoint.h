/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What C and Rust have in common in checkpoint/: the two doors, wrappers of
 * inlines and macros that Rust cannot call (checkpoint/kapi/shim/), and
 * constants that hold the two views of a structure together.
 */
#ifndef _LINUX_CHECKPOINT_H
#define _LINUX_CHECKPOINT_H

#include <linux/binfmts.h>
#include <linux/bvec.h>
#include <linux/checkpoint_internal.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/eventfd.h>
#include <linux/eventpoll.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/filelock.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/futex.h>
#include <linux/khugepaged.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/namei.h>
#include <linux/nsproxy.h>
#include <linux/path.h>
#include <linux/pagewalk.h>
#include <linux/personality.h>
#include <linux/pipe_fs_i.h>
#include <linux/regset.h>
#include <linux/sched/exec_state.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/securebits.h>
#include <linux/sched/user.h>
#include <linux/shmem_fs.h>
#include <linux/stat.h>
#include <linux/task_work.h>
#include <linux/tty.h>
#include <linux/time64.h>
#include <linux/timerfd.h>
#include <linux/types.h>
#include <linux/uio.h>
#include <linux/user_namespace.h>
#include <linux/utsname.h>
#include <uapi/linux/memfd.h>
#include <uapi/linux/sched/types.h>
#include <asm/desc.h>
#include <asm/segment.h>
#include <asm/unistd.h>
#include <asm/vdso.h>
#include <asm/vdso/vsyscall.h>

/* checkpoint/entry.rs */
long ckpt_sys_checkpoint(pid_t pid, int fd, unsigned long flags, int logfd);
long ckpt_sys_restart(int crid, int fd, unsigned long flags, int logfd);

/* checkpoint/sys.c: sysctl kernel.checkpoint_restart */
extern int sysctl_checkpoint_restart;

/*
 * The shim, checkpoint/kapi/shim/: wrappers of inlines, macros and private
 * functions, most of one line. One locks, reads or writes what its name says.
 * Longer ones are those that Rust could not have: they walk what has only
 * macros, hold locks that are macros round more than one step, or add up
 * counters in structures without a layout guard. Where no mm or task is given,
 * the current one is meant.
 */

/* base.c */
u32 ckpt_crc32c(u32 crc, const void *data, size_t len);
u32 ckpt_kernel_version(void);
void ckpt_list_move_tail(struct list_head *entry, struct list_head *head);
void ckpt_list_add_tail(struct list_head *entry, struct list_head *head);
struct new_utsname *ckpt_utsname(void);

/* sched.c */
void ckpt_cond_resched(void);
u64 ckpt_realtime_ns(void);
u64 ckpt_monotonic_ns(void);
u64 ckpt_boottime_ns(void);
bool ckpt_shares_io(void);
s64 ckpt_clock_ns(clockid_t clock);
u32 ckpt_affinity(u8 *bits, u32 size);
bool ckpt_affinity_here(const u8 *bits, u32 size, bool *all);
long ckpt_set_affinity(const u8 *bits, u32 size);
void ckpt_forget_affinity(void);
int ckpt_ioprio(void);
int ckpt_may_set_ioprio(int ioprio);
int ckpt_set_ioprio(int ioprio);
void ckpt_put_back_ioprio(int ioprio);
u64 ckpt_slice(void);
bool ckpt_has_uclamp(void);
bool ckpt_has_core_cookie(void);
void ckpt_own_autogroup(void);
bool ckpt_sched_reset_on_fork(void);
int ckpt_nice(void);

/* mm.c */
int ckpt_mmap_read_lock(struct mm_struct *mm);
void ckpt_khugepaged_enter(struct vm_area_struct *vma);
void ckpt_mmap_read_unlock(struct mm_struct *mm);
int ckpt_mmap_write_lock(struct mm_struct *mm);
int ckpt_mmap_write_lock_second(struct mm_struct *mm);
void ckpt_mmget(struct mm_struct *mm);
struct anon_vma *ckpt_vma_anon(struct vm_area_struct *vma);
struct anon_vma *ckpt_anon_parent(struct anon_vma *anon);
void ckpt_mmap_write_unlock(struct mm_struct *mm);
void ckpt_arg_lock(struct mm_struct *mm);
void ckpt_arg_unlock(struct mm_struct *mm);
bool ckpt_futex_hash_is_chosen(void);
int ckpt_mm_share(void);
bool ckpt_has_pasid(void);
bool ckpt_has_user_events(void);
unsigned long ckpt_total_pages(void);
unsigned long ckpt_mm_flags(struct mm_struct *mm);
void ckpt_mm_flag_set(struct mm_struct *mm, int bit);
void ckpt_mm_flag_clear(struct mm_struct *mm, int bit);
unsigned long ckpt_mm_def_flags(struct mm_struct *mm);
void ckpt_mm_set_def_flags(struct mm_struct *mm, unsigned long flags);
bool ckpt_mm_has_aio(struct mm_struct *mm);
int ckpt_mm_membarrier(struct mm_struct *mm);
unsigned long ckpt_vma_flags(struct vm_area_struct *vma);
const char *ckpt_vma_name(struct vm_area_struct *vma);
bool ckpt_vma_is_secret(struct vm_area_struct *vma);
bool ckpt_vma_has_policy(struct vm_area_struct *vma);
int ckpt_security_mmap_file(struct file *file, unsigned long prot,
			    unsigned long flags);
int ckpt_fsnotify_mmap(struct file *file, unsigned long prot, loff_t off,
		       size_t len);
int ckpt_charge(struct mm_struct *mm, long pages);
void ckpt_uncharge(long pages);
int ckpt_mseal(unsigned long start, unsigned long end);
struct anon_vma_name *ckpt_name_alloc(const char *name);
void ckpt_name_put(struct anon_vma_name *name);
int ckpt_name_set(struct mm_struct *mm, unsigned long start,
		  unsigned long len, struct anon_vma_name *name);
void ckpt_raise_hiwater(struct mm_struct *mm, unsigned long rss, unsigned long vm);
unsigned long ckpt_hiwater_rss(struct mm_struct *mm);
void ckpt_set_hiwater(struct mm_struct *mm);
void ckpt_mm_update_next_owner(struct mm_struct *mm);
void ckpt_uprobe_free(void);
int ckpt_mm_users(struct mm_struct *mm);
long ckpt_mm_keep(struct mm_struct *mm, struct mm_struct *kept);
void ckpt_mm_kept(struct mm_struct *mm, long pages);
void ckpt_mm_cid_before(void);
void ckpt_mm_cid_after(void);
void ckpt_mm_cid_settle(void);
void ckpt_exec_state_hold(struct task_exec_state *state);
struct task_exec_state *ckpt_exec_state_copy(void);
struct task_exec_state *ckpt_exec_state_get(void);

/* page.c */
bool ckpt_page_zero(struct page *page);
bool ckpt_page_anon(struct page *page);
bool ckpt_page_maybe_common(struct page *page);
void ckpt_put_page(struct page *page);
void ckpt_get_page(struct page *page, int nr);
void *ckpt_page_address(struct page *page);
void ckpt_release_pages(struct page **pages, int nr);
bool ckpt_pmd_is_table(pmd_t *pmd);
bool ckpt_pte_is_guard(pte_t *pte);
bool ckpt_pte_is_present(pte_t *pte);
bool ckpt_pte_is_none(pte_t *pte);
void ckpt_page_dirty(struct page *page);
struct page *ckpt_alloc_page(void);
struct page *ckpt_alloc_pipe_page(void);
void ckpt_copy_highpage(struct page *to, struct page *from);
struct page *ckpt_folio_page(struct folio *folio, pgoff_t index);
pgoff_t ckpt_folio_end(struct folio *folio);
bool ckpt_folio_is_lost(struct folio *folio);
void ckpt_folio_put(struct folio *folio);

/* shmem.c */
bool ckpt_vma_is_shmem(struct vm_area_struct *vma);
bool ckpt_file_is_shmem(struct file *file);
bool ckpt_file_is_anon_shmem(struct file *file);
bool ckpt_file_is_unlinked_shmem(struct file *file);
bool ckpt_file_is_linkable(struct file *file);
bool ckpt_shmem_has_attributes(struct inode *inode);
bool ckpt_file_is_memfd(struct file *file);
int ckpt_file_last_name(struct file *file, char *buf, size_t size);
bool ckpt_writably_mapped(struct file *file);
u32 ckpt_inode_uid(struct inode *inode);
u32 ckpt_inode_gid(struct inode *inode);
bool ckpt_memfd_noexec(void);
struct file *ckpt_shmem_new_unlinked(const char *name);
int ckpt_ftruncate(struct file *file, loff_t size);
loff_t ckpt_inode_size(struct inode *inode);
bool ckpt_shmem_noreserve(struct inode *inode);
bool ckpt_shmem_has_policy(struct inode *inode);
loff_t ckpt_shmem_seek(struct file *file, loff_t start, loff_t end, int whence);
struct page *ckpt_shmem_page(struct file *file, pgoff_t index);
struct file *ckpt_shmem_new(loff_t size, bool noreserve);

/* task.c */
void ckpt_task_lock(struct task_struct *task);
void ckpt_task_unlock(struct task_struct *task);
bool ckpt_thread_group_empty(void);
bool ckpt_is_subreaper(void);
void ckpt_set_subreaper(struct task_struct *task, bool on);
bool ckpt_task_is_subreaper(struct task_struct *task);
void ckpt_inherit_subreaper(struct task_struct *task, struct task_struct *parent);
bool ckpt_leads_session(struct task_struct *task);
void ckpt_set_leads_session(struct task_struct *task, bool on);
void ckpt_set_autoreap(struct task_struct *task, bool on);
bool ckpt_is_autoreap(struct task_struct *task);
const void *ckpt_terminal(struct task_struct *task);
bool ckpt_exit_signal_is_old(struct task_struct *task);
void ckpt_tasklist_read_lock(void);
void ckpt_tasklist_read_unlock(void);
void ckpt_tasklist_write_lock(void);
void ckpt_tasklist_write_unlock(void);
pid_t ckpt_pid_nr(struct task_struct *task, enum pid_type type);
int ckpt_exit_code(struct task_struct *task);
struct pid_namespace *ckpt_pid_ns(void);
/* Who has an id: nobody, no task but such that end, others */
enum ckpt_pid_holder {
	CKPT_PID_FREE,
	CKPT_PID_ENDING,
	CKPT_PID_TASK,
};

enum ckpt_pid_holder ckpt_pid_holder(u32 nr);
bool ckpt_pid_is_free(struct pid *pid);
u32 ckpt_last_pid(void);
void ckpt_skip_pids(u32 last);
bool ckpt_other_child_ns(void);
struct pid *ckpt_group(void);
bool ckpt_other_pid_ns(struct task_struct *task);
void ckpt_rseq_abort(struct pt_regs *regs);
bool ckpt_rseq_slice(void);
bool ckpt_has_mempolicy(void);
bool ckpt_has_spec_ctrl(void);
bool ckpt_has_io_uring(const struct task_struct *task);
bool ckpt_traces_others(void);
bool ckpt_has_seccomp_listener(struct task_struct *task);
bool ckpt_in_execve(const struct task_struct *task);
bool ckpt_has_sem_undo(void);
bool ckpt_syscall_dispatch(void);
void ckpt_rseq_reset(void);
u8 ckpt_rseq_version(void);
void ckpt_rseq_set_version(u8 version);
void ckpt_rseq_force_update(void);
void ckpt_robust_list_set(struct robust_list_head __user *head);
struct robust_list_head __user *ckpt_robust_list(void);
pid_t ckpt_pid_of(enum pid_type type);
pid_t ckpt_ppid(void);

/* signal.c */
bool ckpt_fatal_signal_pending(void);
void ckpt_signalfd_wake(void);
void ckpt_siglock(void);
void ckpt_sigunlock(void);
unsigned int ckpt_posix_timer_ids(bool *restore);
void ckpt_set_posix_timer_ids(unsigned int next, bool restore);
bool ckpt_sigqueue_of_timer(struct sigqueue *q);
bool ckpt_sigqueue_is_stale(struct sigqueue *q);
void ckpt_stop_timers(void);
bool ckpt_signal_pending(void);
int ckpt_wait_killable(struct completion *event);
void ckpt_send_signal(struct task_struct *task, int sig);
void ckpt_stop_process(struct task_struct *task);
void ckpt_frozen_enter(void);
void ckpt_frozen_leave(void);
unsigned int ckpt_quiet_enter(void);
void ckpt_quiet_leave(unsigned int flags);
void ckpt_restart_real_timer(void);
struct sighand_struct *ckpt_handlers(struct task_struct *task);
int ckpt_handlers_users(struct task_struct *task);
bool ckpt_take_handlers(struct task_struct *from);
bool ckpt_restores_sigmask(void);
bool ckpt_stop_state(u32 *signal, u32 *code, bool *continued);
void ckpt_set_stop_state(u32 signal, u32 code, bool continued);
void ckpt_stop(u32 signal);
bool ckpt_signal_due(void);
void ckpt_notify_signal(void);
void ckpt_cpu_itimers(u64 *virt, u64 *prof);

/* cred.c */
bool ckpt_no_new_privs(void);
void ckpt_set_no_new_privs(void);
bool ckpt_may_trace(struct task_struct *task);
u32 ckpt_real_uid(void);
bool ckpt_other_user_ns(struct task_struct *task);
int ckpt_may_chroot(const struct path *root);
bool ckpt_has_keyrings(void);
bool ckpt_has_landlock(void);
bool ckpt_same_label(struct task_struct *a, struct task_struct *b);
int ckpt_seccomp_mode(void);
const struct cred *ckpt_current_cred(void);
struct user_namespace *ckpt_user_ns(void);
int ckpt_fix_setuid(struct cred *new, const struct cred *old, bool fs);
int ckpt_fix_setgid(struct cred *new, const struct cred *old, bool fs);
int ckpt_fix_setgroups(struct cred *new, const struct cred *old);
int ckpt_capset(struct cred *new, const struct cred *old,
		const kernel_cap_t *effective, const kernel_cap_t *inheritable,
		const kernel_cap_t *permitted);
void ckpt_drop_keys(struct cred *new);
void ckpt_put_group_info(struct group_info *info);
int ckpt_may_set_rlimit(unsigned int resource, struct rlimit *limit);

/* account.c */
/* What a task, a process or children have used; times are in nanoseconds. */
struct ckpt_used {
	u64 utime;
	u64 stime;
	u64 runtime;
	/* As they were reported, which never go back. */
	u64 prev_utime;
	u64 prev_stime;
	u64 nvcsw;
	u64 nivcsw;
	u64 min_flt;
	u64 maj_flt;
	/* Blocks of 512 bytes, of processes and children. */
	u64 inblock;
	u64 oublock;
	/* Most memory at a time, in pages, of processes and children. */
	u64 maxrss;
	/* The fields of struct task_io_accounting, not of children. */
	u64 io[7];
};

void ckpt_used(struct ckpt_used *own);
void ckpt_used_by_group(struct task_struct *t, struct ckpt_used *all,
			struct ckpt_used *children);
void ckpt_use(const struct ckpt_used *own);
void ckpt_use_by_group(const struct ckpt_used *all, const struct ckpt_used *children);

/* file.c */
void ckpt_files_get(struct files_struct *files);
struct file *ckpt_open_root(const struct path *root, const char *name, int flags,
			    bool regular);
struct mm_struct *ckpt_proc_mm(struct file *file);
struct mm_struct *ckpt_proc_maps_mm(struct file *file);
void ckpt_fs_get(struct fs_struct *fs);
void ckpt_fs_put(struct fs_struct *fs);
int ckpt_pidfd(struct file *file, u32 *pid, bool *thread, bool *kills);
int ckpt_file_permission(struct file *file, int mask);
bool ckpt_pid_has_process(struct pid *pid);
struct file *ckpt_pidfd_open(struct pid *pid, bool thread);
struct files_struct *ckpt_new_files(void);
struct inode *ckpt_file_inode(struct file *file);
const struct path *ckpt_file_path(struct file *file);
void ckpt_fs_root(struct path *root);
void ckpt_fs_pwd(struct path *pwd);
bool ckpt_unlinked(const struct path *path);
bool ckpt_path_is_ours(const struct path *path);
bool ckpt_path_is_named(const struct path *path, const struct path *root, const char *name);
bool ckpt_procfs_is_own(struct super_block *sb);
bool ckpt_file_has_owner(struct file *file);
bool ckpt_file_is_stream(struct file *file);
bool ckpt_file_is_backing(struct file *file);
bool ckpt_file_is_left_below(struct file *file, loff_t size, s64 sec, u32 nsec);
bool ckpt_file_is_dirty(struct file *file);
bool ckpt_file_has_own_locks(struct file *file);
int ckpt_security_file_lock(struct file *file, unsigned int kind);
struct file_lock_context *ckpt_lock_context(struct file *file);
void ckpt_flc_lock(struct file_lock_context *ctx);
void ckpt_flc_unlock(struct file_lock_context *ctx);
bool ckpt_file_in_user_space(struct file *file);
errseq_t ckpt_file_wb_err(struct file *file);
void ckpt_file_set_wb_err(struct file *file, errseq_t err);
int ckpt_file_unseen_wb_err(struct file *file);
void ckpt_file_renew_wb_err(struct file *file, int err);
int ckpt_file_untold_wb_err(struct file *file);
int ckpt_may_search(struct file *file);
int ckpt_may_exec(struct file *file);
bool ckpt_file_is_elf(struct file *file);
bool ckpt_file_is_hung_up(struct file *file);
void ckpt_file_lock(struct file *file);
void ckpt_file_unlock(struct file *file);
void ckpt_iocb_flags(struct file *file);
long ckpt_file_references(struct file *file);
int ckpt_may_open(struct file *file, int access);
struct file *ckpt_reopen(struct file *file, int flags);
int ckpt_chown(const struct path *path, uid_t uid, gid_t gid);
int ckpt_chmod(const struct path *path, umode_t mode);
ssize_t ckpt_list_xattrs(struct file *file, char *names, size_t size);

/* pipe.c */
int ckpt_pipe_lock(struct pipe_inode_info *pipe);
void ckpt_pipe_unlock(struct pipe_inode_info *pipe);
bool ckpt_pipe_notifies(struct pipe_inode_info *pipe);
unsigned long ckpt_pipe_head_tail(struct pipe_inode_info *pipe);
unsigned int ckpt_pipe_used(struct pipe_inode_info *pipe);
struct pipe_buffer *ckpt_pipe_buf(struct pipe_inode_info *pipe, unsigned int nr);
int ckpt_pipe_confirm(struct pipe_inode_info *pipe, struct pipe_buffer *buf);
void ckpt_copy_page(void *to, struct page *page, size_t offset, size_t len);
bool ckpt_pipe_unseen(struct file *file, struct pipe_inode_info *pipe);
void ckpt_pipe_set_unseen(struct file *file, struct pipe_inode_info *pipe);

/* socket.c */
struct sk_buff;
struct sock;
struct socket;

/* What one is, without what waits in it. Times are in nanoseconds. */
struct ckpt_socket {
	u32 type;
	u32 state;
	u32 shutdown;
	u32 error;
	u32 sndbuf;
	u32 rcvbuf;
	u32 buf_lock;
	u32 rcvlowat;
	s32 peek_off;
	u32 mode;
	u32 uid;
	u32 gid;
	u64 rcvtimeo;
	u64 sndtimeo;
	bool keepalive;
	bool oobinline;
	bool broadcast;
	bool passcred;
	bool passsec;
	bool passpidfd;
	bool passrights;
	bool inq;
	bool notrunc;
};

struct sock *ckpt_unix_sock(struct file *file);
struct sock *ckpt_unix_peer(struct sock *sk);
void ckpt_sock_hold(struct sock *sk);
void ckpt_sock_put(struct sock *sk);
bool ckpt_sock_is_closed(struct sock *sk);
void ckpt_sock_get(struct sock *sk, struct ckpt_socket *to);
bool ckpt_unix_is_named(struct sock *sk);
bool ckpt_unix_was_connected(struct sock *sk);
bool ckpt_sock_is_filtered(struct sock *sk);
bool ckpt_sock_is_redirected(struct sock *sk);
bool ckpt_sock_is_elsewhere(struct sock *sk);
bool ckpt_sock_has_options(struct sock *sk);
bool ckpt_unix_has_oob(struct sock *sk);
bool ckpt_sock_creator(struct sock *sk, u32 *nr);
int ckpt_sock_set_creator(struct file *file, struct pid *pid);
void ckpt_sock_lock_queue(struct sock *sk);
void ckpt_sock_unlock_queue(struct sock *sk);
u32 ckpt_sock_queue_len(struct sock *sk);
struct sk_buff *ckpt_sock_queued(struct sock *sk, struct sk_buff *last);
struct sk_buff *ckpt_skb_hold(struct sk_buff *skb);
void ckpt_skb_put(struct sk_buff *skb);
u32 ckpt_skb_len(struct sk_buff *skb);
u32 ckpt_unix_consumed(struct sk_buff *skb);
bool ckpt_unix_has_files(struct sk_buff *skb);
bool ckpt_unix_has_creds(struct sk_buff *skb);
int ckpt_socket_pair(u32 type, struct socket *ends[2]);
int ckpt_socket_set(struct file *file, int option, void *value, int len);
int ckpt_socket_send(struct file *file, void *bytes, size_t len);
int ckpt_socket_shutdown(struct file *file, int how);

/* x86.c */
struct pt_regs *ckpt_regs(void);
unsigned int ckpt_xstate_size(void);
u64 ckpt_xstate_features(void);
u64 ckpt_xstate_dynamic(void);
void ckpt_pkru_sync(void);
void ckpt_xstate_save(void *buf, size_t size);
void ckpt_xstate_begin(void);
int ckpt_xstate_load(const void *buf);
void ckpt_write_pkru(u32 pkru);
int ckpt_tls_get(struct user_desc *tls, size_t bytes);
int ckpt_tls_set(const struct user_desc *tls, size_t bytes);
unsigned int ckpt_ldt_size(struct mm_struct *mm);
void ckpt_mm_set_64bit(struct mm_struct *mm);
void ckpt_ldt_lock(struct mm_struct *mm);
void ckpt_ldt_unlock(struct mm_struct *mm);
u64 ckpt_ldt_entry(struct mm_struct *mm, unsigned int nr);
void ckpt_read_segments(u16 *ds, u16 *es, u16 *fs, u16 *gs);
void ckpt_regs_replaced(void);
void ckpt_load_segments(u16 ds, u16 es, u16 fs, u16 gs, u64 fs_base,
			u64 gs_base);
u64 ckpt_fs_base(void);
u64 ckpt_gs_base(void);
bool ckpt_has_hw_breakpoints(void);
bool ckpt_has_io_bitmap(void);
bool ckpt_has_shadow_stack(void);
bool ckpt_is_32bit(void);
bool ckpt_has_forced_tf(void);
bool ckpt_has_odd_flags(void);
u32 ckpt_pkey_map(struct mm_struct *mm);
int ckpt_pkey_exec_only(struct mm_struct *mm);
void ckpt_pkey_set(struct mm_struct *mm, u32 map, int exec_only);
bool ckpt_has_pkeys(void);
unsigned long ckpt_vdso(struct mm_struct *mm);
const struct vdso_image *ckpt_vdso_image(struct mm_struct *mm);
void ckpt_cpuid(u32 leaf, u32 subleaf, u32 out[4]);
unsigned long ckpt_lam(struct mm_struct *mm);

/*
 * Offsets as C sees them; checkpoint/kapi/layout.rs compares. bindgen has
 * laid out task_struct wrongly before.
 */
enum ckpt_layout {
	CKPT_OFF_TASK_MM = offsetof(struct task_struct, mm),
	CKPT_OFF_TASK_FS = offsetof(struct task_struct, fs),
	CKPT_OFF_TASK_FILES = offsetof(struct task_struct, files),
	CKPT_OFF_TASK_SIGNAL = offsetof(struct task_struct, signal),
	CKPT_OFF_TASK_SAS_FLAGS = offsetof(struct task_struct, sas_ss_flags),
	CKPT_OFF_TASK_RSEQ = offsetof(struct task_struct, rseq),
	CKPT_OFF_TASK_COMM = offsetof(struct task_struct, comm),
	CKPT_OFF_TASK_PERSONALITY = offsetof(struct task_struct, personality),
	CKPT_OFF_TASK_CLEAR_TID = offsetof(struct task_struct, clear_child_tid),
	CKPT_OFF_TASK_SLACK = offsetof(struct task_struct, timer_slack_ns),
	CKPT_OFF_TASK_JOBCTL = offsetof(struct task_struct, jobctl),
	CKPT_OFF_TASK_PTRACE = offsetof(struct task_struct, ptrace),
	CKPT_OFF_TASK_NSPROXY = offsetof(struct task_struct, nsproxy),
	CKPT_OFF_TASK_CHILDREN = offsetof(struct task_struct, children),
	CKPT_OFF_TASK_SIBLING = offsetof(struct task_struct, sibling),
	CKPT_OFF_TASK_TASKS = offsetof(struct task_struct, tasks),
	CKPT_OFF_TASK_THREAD_NODE = offsetof(struct task_struct, thread_node),
	CKPT_OFF_TASK_THREAD_PID = offsetof(struct task_struct, thread_pid),
	CKPT_OFF_TASK_VFORK = offsetof(struct task_struct, vfork_done),
	CKPT_OFF_TASK_LEADER = offsetof(struct task_struct, group_leader),
	CKPT_OFF_TASK_EXIT_STATE = offsetof(struct task_struct, exit_state),
	CKPT_OFF_TASK_EXIT_SIGNAL = offsetof(struct task_struct, exit_signal),
	CKPT_OFF_TASK_EXEC_ID = offsetof(struct task_struct, self_exec_id),
	CKPT_OFF_TASK_RESTART = offsetof(struct task_struct, restart_block),
	CKPT_OFF_TASK_SIGMASK = offsetof(struct task_struct, saved_sigmask),
	CKPT_OFF_TASK_FLAGS = offsetof(struct task_struct, flags),
	CKPT_OFF_TASK_PID = offsetof(struct task_struct, pid),
	CKPT_OFF_TASK_PARENT = offsetof(struct task_struct, parent),
	CKPT_OFF_TASK_REAL_PARENT = offsetof(struct task_struct, real_parent),
	CKPT_OFF_TASK_PARENT_EXEC_ID = offsetof(struct task_struct, parent_exec_id),
	CKPT_OFF_TASK_PDEATH = offsetof(struct task_struct, pdeath_signal),
	CKPT_OFF_TASK_CPUS = offsetof(struct task_struct, user_cpus_ptr),
	CKPT_OFF_TASK_WORKS = offsetof(struct task_struct, task_works),
	CKPT_OFF_TASK_PENDING = offsetof(struct task_struct, pending),
	CKPT_OFF_TASK_BLOCKED = offsetof(struct task_struct, blocked),
	CKPT_OFF_TASK_SIGHAND = offsetof(struct task_struct, sighand),
	CKPT_OFF_TASK_SAS_SP = offsetof(struct task_struct, sas_ss_sp),
	CKPT_OFF_TASK_SAS_SIZE = offsetof(struct task_struct, sas_ss_size),
	CKPT_OFF_TASK_DEFAULT_SLACK = offsetof(struct task_struct, default_timer_slack_ns),
	CKPT_OFF_MM_BRK = offsetof(struct mm_struct, brk),
	CKPT_OFF_MM_AUXV = offsetof(struct mm_struct, saved_auxv),
	CKPT_OFF_MM_MAP_COUNT = offsetof(struct mm_struct, map_count),
	CKPT_OFF_MM_EXE = offsetof(struct mm_struct, exe_file),
	CKPT_OFF_VMA_PGOFF = offsetof(struct vm_area_struct, vm_pgoff),
	CKPT_OFF_VMA_FILE = offsetof(struct vm_area_struct, vm_file),
	CKPT_OFF_SIG_RLIM = offsetof(struct signal_struct, rlim),
	CKPT_OFF_SIG_OOM = offsetof(struct signal_struct, oom_score_adj),
	CKPT_OFF_SIG_THREADS = offsetof(struct signal_struct, thread_head),
	CKPT_OFF_SIG_NR_THREADS = offsetof(struct signal_struct, nr_threads),
	CKPT_OFF_SIG_EXEC_LOCK = offsetof(struct signal_struct, exec_update_lock),
	CKPT_OFF_SIG_FLAGS = offsetof(struct signal_struct, flags),
	CKPT_OFF_SIG_OOM_MIN = offsetof(struct signal_struct, oom_score_adj_min),
	CKPT_OFF_SIG_PENDING = offsetof(struct signal_struct, shared_pending),
	CKPT_OFF_SIG_REAL_INCR = offsetof(struct signal_struct, it_real_incr),
	CKPT_OFF_SIG_IT = offsetof(struct signal_struct, it),
	CKPT_OFF_SIG_EXEC_TASK = offsetof(struct signal_struct, group_exec_task),
	CKPT_OFF_FILE_POS = offsetof(struct file, f_pos),
	CKPT_OFF_FILE_FLAGS = offsetof(struct file, f_flags),
	CKPT_OFF_FILE_PATH = offsetof(struct file, f_path),
	CKPT_OFF_FILE_MODE = offsetof(struct file, f_mode),
	CKPT_OFF_FILE_CRED = offsetof(struct file, f_cred),
	CKPT_OFF_CRED_SECUREBITS = offsetof(struct cred, securebits),
	CKPT_OFF_CRED_USER_NS = offsetof(struct cred, user_ns),
	CKPT_OFF_CRED_UCOUNTS = offsetof(struct cred, ucounts),
	CKPT_OFF_CRED_GROUPS = offsetof(struct cred, group_info),
	CKPT_OFF_CRED_PERMITTED = offsetof(struct cred, cap_permitted),
	CKPT_OFF_CRED_UID = offsetof(struct cred, uid),
	CKPT_OFF_INODE_MODE = offsetof(struct inode, i_mode),
	CKPT_OFF_INODE_UID = offsetof(struct inode, i_uid),
	CKPT_OFF_INODE_RDEV = offsetof(struct inode, i_rdev),
};

/* Values of macros that bindgen does not see. */
enum ckpt_value {
	CKPT_JOBCTL_STOPPED = JOBCTL_STOPPED,
	CKPT_NR_RESTART_SYSCALL = __NR_restart_syscall,
	CKPT_FL_POSIX = FL_POSIX,
	CKPT_FL_FLOCK = FL_FLOCK,
	CKPT_FL_OFDLCK = FL_OFDLCK,
};

/* Masks of the secure bits */
enum ckpt_secure {
	CKPT_SECURE_KEEP_CAPS_LOCKED = issecure_mask(SECURE_KEEP_CAPS_LOCKED),
	CKPT_SECURE_NO_CAP_AMBIENT_RAISE = issecure_mask(SECURE_NO_CAP_AMBIENT_RAISE),
	CKPT_SECURE_ALL_BITS = SECURE_ALL_BITS,
	CKPT_SECURE_ALL_LOCKS = SECURE_ALL_LOCKS,
	CKPT_SECURE_UNPRIVILEGED = SECURE_ALL_UNPRIVILEGED |
				   SECURE_ALL_UNPRIVILEGED << 1 |
				   issecure_mask(SECURE_KEEP_CAPS),
};

enum ckpt_flag {
	CKPT_CLONE_AUTOREAP = CLONE_AUTOREAP,
};

#endif /* _LINUX_CHECKPOINT_H */
