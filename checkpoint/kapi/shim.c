// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers of inlines, macros and private functions for Rust, most of one line.
 *
 * What is declared in include/linux/checkpoint.h and defined here locks, reads
 * or writes what its name says. Longer ones are those that Rust could not have:
 * they walk what has only macros, hold locks that are macros round more than
 * one step, or add up counters in structures without a layout guard.
 * Where no mm or task is given, the current one is meant.
 */
#include <linux/checkpoint.h>
#include <linux/checkpoint_hdr.h>
#include <linux/anon_inodes.h>
#include <linux/crc32.h>
#include <linux/hrtimer.h>
#include <linux/fsnotify.h>
#include <linux/iocontext.h>
#include <linux/iommu.h>
#include <linux/ioprio.h>
#include <linux/init_task.h>
#include <linux/leafops.h>
#include <linux/mempolicy.h>
#include <linux/memfd.h>
#include <linux/mm_inline.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/pkeys.h>
#include <linux/pid_namespace.h>
#include <linux/pidfs.h>
#include <uapi/linux/pidfd.h>
#include <linux/posix-timers.h>
#include <linux/prctl.h>
#include <linux/proc_fs.h>
#include <linux/ptrace.h>
#include <linux/rmap.h>
#include <linux/rseq.h>
#include <linux/sched/cputime.h>
#include <linux/sched/jobctl.h>
#include <linux/signalfd.h>
#include <linux/sched/task_stack.h>
#include <linux/task_io_accounting_ops.h>
#include <linux/secretmem.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/swap.h>
#include <linux/syscalls.h>
#include <linux/timekeeping.h>
#include <linux/version.h>
#include <linux/xattr.h>
#include <asm/cpuid/api.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fpu/sched.h>
#include <asm/fpu/xcr.h>
#include <asm/fsgsbase.h>
#include <asm/ldt.h>
#include <asm/mmu_context.h>
#include <asm/fpu/signal.h>
#include <asm/segment.h>
#include <asm/shstk.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <net/af_unix.h>
#include <net/busy_poll.h>
#include <net/sock.h>

#include "../../arch/x86/kernel/fpu/internal.h"
#include "../../arch/x86/kernel/fpu/context.h"
#include "../../arch/x86/kernel/fpu/xstate.h"
#include "../../arch/x86/kernel/tls.h"
#include "../../fs/internal.h"
#include "../../fs/proc/internal.h"
#include "../../mm/internal.h"
#include "../../net/unix/af_unix.h"

/* scheduling and time */

void ckpt_cond_resched(void)
{
	cond_resched();
}

bool ckpt_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

u64 ckpt_realtime_ns(void)
{
	return ktime_get_real_ns();
}

u64 ckpt_monotonic_ns(void)
{
	return ktime_get_ns();
}

u64 ckpt_boottime_ns(void)
{
	return ktime_get_boottime_ns();
}

u32 ckpt_crc32c(u32 crc, const void *data, size_t len)
{
	return ~crc32c(~crc, data, len);
}

u32 ckpt_kernel_version(void)
{
	return LINUX_VERSION_CODE;
}

/* memory */

int ckpt_mmap_read_lock(struct mm_struct *mm)
{
	return mmap_read_lock_killable(mm);
}

void ckpt_khugepaged_enter(struct vm_area_struct *vma)
{
	khugepaged_enter_vma(vma, vma->vm_flags);
}

void ckpt_mmap_read_unlock(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

int ckpt_mmap_write_lock(struct mm_struct *mm)
{
	return mmap_write_lock_killable(mm);
}

int ckpt_mmap_write_lock_second(struct mm_struct *mm)
{
	int err;

	__mmap_lock_trace_start_locking(mm, true);
	err = down_write_killable_nested(&mm->mmap_lock, SINGLE_DEPTH_NESTING);
	if (!err)
		mm_lock_seqcount_begin(mm);
	__mmap_lock_trace_acquire_returned(mm, true, !err);
	return err;
}

void ckpt_mmget(struct mm_struct *mm)
{
	mmget(mm);
}

struct anon_vma *ckpt_vma_anon(struct vm_area_struct *vma)
{
	return READ_ONCE(vma->anon_vma);
}

struct anon_vma *ckpt_anon_parent(struct anon_vma *anon)
{
	return anon->parent;
}

void ckpt_mmap_write_unlock(struct mm_struct *mm)
{
	mmap_write_unlock(mm);
}

void ckpt_arg_lock(struct mm_struct *mm)
{
	spin_lock(&mm->arg_lock);
}

void ckpt_arg_unlock(struct mm_struct *mm)
{
	spin_unlock(&mm->arg_lock);
}

bool ckpt_futex_hash_is_chosen(void)
{
	return futex_hash_is_chosen();
}

/* What CLONE_VM does for the memory, before two can wait at a futex in it */
int ckpt_mm_share(void)
{
#ifdef CONFIG_X86_64
	set_bit(MM_CONTEXT_LOCK_LAM, &current->mm->context.flags);
#endif
	return futex_hash_allocate_default();
}

/* A device knows the memory, or has known memory that the task had, by an id */
bool ckpt_has_pasid(void)
{
#ifdef CONFIG_IOMMU_MM_DATA
	if (current->pasid_activated)
		return true;
#endif
	return mm_valid_pasid(current->mm);
}

bool ckpt_has_user_events(void)
{
#ifdef CONFIG_USER_EVENTS
	return current->user_event_mm;
#else
	return false;
#endif
}

unsigned long ckpt_total_pages(void)
{
	return totalram_pages();
}

unsigned long ckpt_mm_flags(struct mm_struct *mm)
{
	return __mm_flags_get_word(mm);
}

void ckpt_mm_flag_set(struct mm_struct *mm, int bit)
{
	mm_flags_set(bit, mm);
}

void ckpt_mm_flag_clear(struct mm_struct *mm, int bit)
{
	mm_flags_clear(bit, mm);
}

unsigned long ckpt_mm_def_flags(struct mm_struct *mm)
{
	return mm->def_flags;
}

void ckpt_mm_set_def_flags(struct mm_struct *mm, unsigned long flags)
{
	mm->def_flags = flags;
}

bool ckpt_mm_has_aio(struct mm_struct *mm)
{
#ifdef CONFIG_AIO
	return rcu_access_pointer(mm->ioctx_table);
#else
	return false;
#endif
}

int ckpt_mm_membarrier(struct mm_struct *mm)
{
#ifdef CONFIG_MEMBARRIER
	return atomic_read(&mm->membarrier_state);
#else
	return 0;
#endif
}

unsigned long ckpt_vma_flags(struct vm_area_struct *vma)
{
	return vma->vm_flags;
}

const char *ckpt_vma_name(struct vm_area_struct *vma)
{
	return anon_vma_name(vma) ? anon_vma_name(vma)->name : NULL;
}

bool ckpt_vma_is_secret(struct vm_area_struct *vma)
{
	return vma_is_secretmem(vma);
}

bool ckpt_vma_has_policy(struct vm_area_struct *vma)
{
	return vma_policy(vma);
}

bool ckpt_page_zero(struct page *page)
{
	return is_zero_page(page) || is_huge_zero_folio(page_folio(page));
}

bool ckpt_page_anon(struct page *page)
{
	return folio_test_anon(page_folio(page));
}

/*
 * May a page be that of other address spaces, too? One in the swap cache may be in
 * their page tables as what is swapped out, unless it is exclusive.
 */
bool ckpt_page_maybe_common(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (PageAnonExclusive(page))
		return false;
	return folio_maybe_mapped_shared(folio) || folio_test_swapcache(folio);
}

void ckpt_put_page(struct page *page)
{
	put_page(page);
}

void ckpt_get_page(struct page *page, int nr)
{
	folio_ref_add(page_folio(page), nr);
}

void *ckpt_page_address(struct page *page)
{
	return page_address(page);
}

void ckpt_release_pages(struct page **pages, int nr)
{
	release_pages(pages, nr);
}

bool ckpt_pmd_is_table(pmd_t *pmd)
{
	pmd_t value = pmdp_get_lockless(pmd);

	return pmd_present(value) && !pmd_leaf(value);
}

bool ckpt_pte_is_guard(pte_t *pte)
{
	return softleaf_is_guard_marker(softleaf_from_pte(ptep_get(pte)));
}

bool ckpt_pte_is_present(pte_t *pte)
{
	return pte_present(ptep_get(pte));
}

bool ckpt_pte_is_none(pte_t *pte)
{
	return pte_none(ptep_get(pte));
}

void ckpt_page_dirty(struct page *page)
{
	set_page_dirty_lock(page);
}

struct page *ckpt_alloc_page(void)
{
	return alloc_page(GFP_KERNEL);
}

/* As a pipe has them, with zeros around what will be in it. */
struct page *ckpt_alloc_pipe_page(void)
{
	return alloc_page(GFP_HIGHUSER | __GFP_ACCOUNT | __GFP_ZERO);
}

void ckpt_copy_highpage(struct page *to, struct page *from)
{
	copy_highpage(to, from);
}

struct page *ckpt_folio_page(struct folio *folio, pgoff_t index)
{
	return folio_file_page(folio, index);
}

pgoff_t ckpt_folio_end(struct folio *folio)
{
	return folio_next_index(folio);
}

bool ckpt_folio_is_lost(struct folio *folio)
{
	return folio_contain_hwpoisoned_page(folio);
}

void ckpt_folio_put(struct folio *folio)
{
	folio_put(folio);
}

/* shared memory */

bool ckpt_vma_is_shmem(struct vm_area_struct *vma)
{
	return vma_is_shmem(vma);
}

bool ckpt_file_is_shmem(struct file *file)
{
	return shmem_mapping(file->f_mapping);
}

/* Made by mmap(2) itself, and not an open file of somebody. */
bool ckpt_file_is_anon_shmem(struct file *file)
{
	return shmem_mapping(file->f_mapping) && IS_PRIVATE(file_inode(file));
}

/* An open file of an object without a name that its own file system serves. */
bool ckpt_file_is_unlinked_shmem(struct file *file)
{
	struct inode *inode = file_inode(file);

	return shmem_mapping(inode->i_mapping) && !inode->i_nlink &&
	       !IS_PRIVATE(inode) && file->f_op == inode->i_fop;
}

bool ckpt_file_is_linkable(struct file *file)
{
	return inode_state_read_once(file_inode(file)) & I_LINKABLE;
}

bool ckpt_file_is_memfd(struct file *file)
{
	return file_inode(file)->i_sb->s_flags & SB_KERNMOUNT &&
	       !strncmp(file->f_path.dentry->d_name.name, "memfd:", 6);
}

int ckpt_file_last_name(struct file *file, char *buf, size_t size)
{
	return snprintf(buf, size, "%pd", file->f_path.dentry);
}

bool ckpt_writably_mapped(struct file *file)
{
	return mapping_writably_mapped(file->f_mapping);
}

u32 ckpt_inode_uid(struct inode *inode)
{
	return from_kuid_munged(current_user_ns(), inode->i_uid);
}

u32 ckpt_inode_gid(struct inode *inode)
{
	return from_kgid_munged(current_user_ns(), inode->i_gid);
}

/* The sysctl vm.memfd_noexec: files in memory that may be executed are forbidden. */
bool ckpt_memfd_noexec(void)
{
	return pidns_memfd_noexec_scope(task_active_pid_ns(current)) >=
	       MEMFD_NOEXEC_SCOPE_NOEXEC_ENFORCED;
}

struct file *ckpt_shmem_new_unlinked(const char *name)
{
	return shmem_file_setup(name, 0, mk_vma_flags(VMA_NORESERVE_BIT));
}

int ckpt_ftruncate(struct file *file, loff_t size)
{
	return do_ftruncate(file, size, FTRUNCATE_LFS);
}

loff_t ckpt_inode_size(struct inode *inode)
{
	return i_size_read(inode);
}

bool ckpt_shmem_noreserve(struct inode *inode)
{
	return SHMEM_I(inode)->flags & SHMEM_F_NORESERVE;
}

bool ckpt_shmem_has_policy(struct inode *inode)
{
#ifdef CONFIG_NUMA
	return !RB_EMPTY_ROOT(&SHMEM_I(inode)->policy.root);
#else
	return false;
#endif
}

loff_t ckpt_shmem_seek(struct file *file, loff_t start, loff_t end, int whence)
{
	return mapping_seek_hole_data(file->f_mapping, start, end, whence);
}

struct page *ckpt_shmem_page(struct file *file, pgoff_t index)
{
	return shmem_read_mapping_page(file->f_mapping, index);
}

/* As mmap(2) does, which promises all memory where nothing else is allowed. */
struct file *ckpt_shmem_new(loff_t size, bool noreserve)
{
	if (noreserve && sysctl_overcommit_memory != OVERCOMMIT_NEVER)
		return shmem_kernel_file_setup("dev/zero", size,
					       mk_vma_flags(VMA_NORESERVE_BIT));
	return shmem_kernel_file_setup("dev/zero", size, EMPTY_VMA_FLAGS);
}

int ckpt_security_mmap_file(struct file *file, unsigned long prot,
			    unsigned long flags)
{
	return security_mmap_file(file, prot, flags);
}

int ckpt_fsnotify_mmap(struct file *file, unsigned long prot, loff_t off,
		       size_t len)
{
	return fsnotify_mmap_perm(file, prot, off, len);
}

int ckpt_charge(struct mm_struct *mm, long pages)
{
	return security_vm_enough_memory_mm(mm, pages);
}

void ckpt_uncharge(long pages)
{
	vm_unacct_memory(pages);
}

int ckpt_mseal(unsigned long start, unsigned long end)
{
	return mseal_range(start, end);
}

struct anon_vma_name *ckpt_name_alloc(const char *name)
{
	return anon_vma_name_alloc(name);
}

void ckpt_name_put(struct anon_vma_name *name)
{
	anon_vma_name_put(name);
}

int ckpt_name_set(struct mm_struct *mm, unsigned long start,
		  unsigned long len, struct anon_vma_name *name)
{
	return madvise_set_anon_name(mm, start, len, name);
}

/* Reverse mappings may raise the first one at the same time. */
void ckpt_raise_hiwater(struct mm_struct *mm, unsigned long rss, unsigned long vm)
{
	if (data_race(mm->hiwater_rss) < rss)
		data_race(mm->hiwater_rss = rss);
	if (mm->hiwater_vm < vm)
		mm->hiwater_vm = vm;
}

unsigned long ckpt_hiwater_rss(struct mm_struct *mm)
{
	return get_mm_hiwater_rss(mm);
}

void ckpt_set_hiwater(struct mm_struct *mm)
{
	setmax_mm_hiwater_rss(&current->signal->maxrss, mm);
}

void ckpt_mm_update_next_owner(struct mm_struct *mm)
{
	mm_update_next_owner(mm);
}

/* tasks and signals */

void ckpt_task_lock(struct task_struct *task)
{
	task_lock(task);
}

void ckpt_task_unlock(struct task_struct *task)
{
	task_unlock(task);
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

bool ckpt_thread_group_empty(void)
{
	return thread_group_empty(current) && thread_group_leader(current);
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

void ckpt_list_move_tail(struct list_head *entry, struct list_head *head)
{
	list_move_tail(entry, head);
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

int ckpt_mm_users(struct mm_struct *mm)
{
	return atomic_read(&mm->mm_users);
}

bool ckpt_signal_pending(void)
{
	return signal_pending(current);
}

bool ckpt_no_new_privs(void)
{
	return task_no_new_privs(current);
}

void ckpt_set_no_new_privs(void)
{
	task_set_no_new_privs(current);
}

bool ckpt_may_trace(struct task_struct *task)
{
	return ptrace_may_access(task, PTRACE_MODE_ATTACH_REALCREDS);
}

int ckpt_wait_killable(struct completion *event)
{
	return wait_for_completion_state(event, TASK_KILLABLE | TASK_FREEZABLE);
}

void ckpt_send_signal(struct task_struct *task, int sig)
{
	do_send_sig_info(sig, SEND_SIG_NOINFO, task, PIDTYPE_TGID);
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

bool ckpt_other_child_ns(void)
{
	return current->nsproxy->pid_ns_for_children != task_active_pid_ns(current) ||
	       current->nsproxy->time_ns_for_children != current->nsproxy->time_ns;
}

struct pid *ckpt_group(void)
{
	return task_pgrp(current);
}

u32 ckpt_real_uid(void)
{
	return from_kuid(&init_user_ns, current_uid());
}

void ckpt_files_get(struct files_struct *files)
{
	atomic_inc(&files->count);
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

/*
 * A task that takes over an address space with many users gets its concurrency
 * id when it is scheduled, as one that is new.
 */
void ckpt_mm_cid_settle(void)
{
#ifdef CONFIG_SCHED_MM_CID
	while (current->mm_cid.active &&
	       READ_ONCE(current->mm_cid.cid) == MM_CID_UNSET)
		schedule_timeout_uninterruptible(1);
#endif
}

void ckpt_exec_state_hold(struct task_exec_state *state)
{
	refcount_inc(&state->count);
}

/* One of its own for an address space that the current task makes. */
struct task_exec_state *ckpt_exec_state_copy(void)
{
	const struct task_exec_state *own =
		rcu_dereference_protected(current->exec_state, true);
	struct task_exec_state *copy = alloc_task_exec_state(own->user_ns);

	if (copy)
		copy->dumpable = READ_ONCE(own->dumpable);
	return copy;
}

/* The task's own, which only the task itself replaces. */
struct task_exec_state *ckpt_exec_state_get(void)
{
	struct task_exec_state *state =
		rcu_dereference_protected(current->exec_state, true);

	ckpt_exec_state_hold(state);
	return state;
}

/* For files of procfs that have the address space itself. */
struct mm_struct *ckpt_proc_mm(struct file *file)
{
	return file->private_data;
}

/* For those that list mappings. */
struct mm_struct *ckpt_proc_maps_mm(struct file *file)
{
	struct seq_file *seq = file->private_data;
	struct proc_maps_private *priv = seq->private;

	return priv->lock_ctx.mm;
}

void ckpt_fs_get(struct fs_struct *fs)
{
	read_seqlock_excl(&fs->seq);
	fs->users++;
	read_sequnlock_excl(&fs->seq);
}

void ckpt_fs_put(struct fs_struct *fs)
{
	bool last;

	read_seqlock_excl(&fs->seq);
	last = !--fs->users;
	read_sequnlock_excl(&fs->seq);
	if (last)
		free_fs_struct(fs);
}

bool ckpt_other_pid_ns(struct task_struct *task)
{
	return task_active_pid_ns(task) != task_active_pid_ns(current);
}

bool ckpt_other_user_ns(struct task_struct *task)
{
	return task_cred_xxx(task, user_ns) != current_user_ns();
}

bool ckpt_restores_sigmask(void)
{
	return test_restore_sigmask();
}

void ckpt_list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_add_tail(entry, head);
}

/*
 * The signal that has stopped the task, or 0; of a stop of the process, what wait()
 * is still to tell; or that it goes on. False while SIGCHLD is still to tell that.
 */
bool ckpt_stop_state(u32 *signal, u32 *code, bool *continued)
{
	const struct signal_struct *sig = current->signal;

	guard(spinlock_irq)(&current->sighand->siglock);
	*signal = current->jobctl & JOBCTL_STOPPED ?
		  current->jobctl & JOBCTL_STOP_SIGMASK : 0;
	*code = *signal && sig->flags & SIGNAL_STOP_STOPPED ? sig->group_exit_code : 0;
	*continued = !*signal && sig->flags & SIGNAL_STOP_CONTINUED;
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

void ckpt_rseq_abort(struct pt_regs *regs)
{
	if (current->rseq.event.has_rseq)
		__rseq_signal_deliver(0, regs);
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

/* The process of a pidfd, 0 when it has been waited for; -EBADF for another file */
int ckpt_pidfd(struct file *file, u32 *nr, bool *thread, bool *kills)
{
	struct pid *pid = pidfd_pid(file);

	if (IS_ERR(pid))
		return PTR_ERR(pid);
	*thread = file->f_flags & PIDFD_THREAD;
	*kills = file->f_flags & PIDFD_AUTOKILL;
	guard(rcu)();
	*nr = pid_task(pid, PIDTYPE_TGID) ? pid_vnr(pid) : 0;
	return 0;
}

int ckpt_file_permission(struct file *file, int mask)
{
	return file_permission(file, mask);
}

bool ckpt_pid_has_process(struct pid *pid)
{
	return pid_has_task(pid, PIDTYPE_TGID);
}

struct file *ckpt_pidfd_open(struct pid *pid, bool thread)
{
	if (!ckpt_pid_has_process(pid))
		return ERR_PTR(-ESRCH);
	return pidfs_alloc_file(pid, (thread ? PIDFD_THREAD : 0) | O_RDWR);
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

bool ckpt_rseq_slice(void)
{
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	return current->rseq.slice.state.enabled;
#else
	return false;
#endif
}

/* As in chroot(2): may the current task have this root directory? */
int ckpt_may_chroot(const struct path *root)
{
	if (!ns_capable(current_user_ns(), CAP_SYS_CHROOT))
		return -EPERM;
	return security_path_chroot(root);
}

bool ckpt_has_keyrings(void)
{
#ifdef CONFIG_KEYS
	return current_cred()->thread_keyring || current_cred()->process_keyring;
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

bool ckpt_has_spec_ctrl(void)
{
	return task_spec_ssb_disable(current) ||
	       task_spec_ssb_noexec(current) ||
	       task_spec_ssb_force_disable(current) ||
	       task_spec_ib_disable(current) ||
	       task_spec_ib_force_disable(current);
}

int ckpt_seccomp_mode(void)
{
	return seccomp_mode(&current->seccomp);
}

bool ckpt_has_io_uring(const struct task_struct *task)
{
#ifdef CONFIG_IO_URING
	return READ_ONCE(task->io_uring);
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

bool ckpt_sched_reset_on_fork(void)
{
	return current->sched_reset_on_fork;
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

const struct cred *ckpt_current_cred(void)
{
	return current_cred();
}

struct user_namespace *ckpt_user_ns(void)
{
	return current_user_ns();
}

int ckpt_fix_setuid(struct cred *new, const struct cred *old, bool fs)
{
	return security_task_fix_setuid(new, old, fs ? LSM_SETID_FS : LSM_SETID_RES);
}

int ckpt_fix_setgid(struct cred *new, const struct cred *old, bool fs)
{
	return security_task_fix_setgid(new, old, fs ? LSM_SETID_FS : LSM_SETID_RES);
}

int ckpt_fix_setgroups(struct cred *new, const struct cred *old)
{
	return security_task_fix_setgroups(new, old);
}

int ckpt_capset(struct cred *new, const struct cred *old,
		const kernel_cap_t *effective, const kernel_cap_t *inheritable,
		const kernel_cap_t *permitted)
{
	return security_capset(new, old, effective, inheritable, permitted);
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

void ckpt_drop_keys(struct cred *new)
{
#ifdef CONFIG_KEYS
	key_put(new->session_keyring);
	key_put(new->process_keyring);
	key_put(new->thread_keyring);
	key_put(new->request_key_auth);
	new->session_keyring = NULL;
	new->process_keyring = NULL;
	new->thread_keyring = NULL;
	new->request_key_auth = NULL;
#endif
}

void ckpt_put_group_info(struct group_info *info)
{
	put_group_info(info);
}

pid_t ckpt_pid_of(enum pid_type type)
{
	return __task_pid_nr_ns(current, type, NULL);
}

pid_t ckpt_ppid(void)
{
	return task_ppid_nr_ns(current, task_active_pid_ns(current));
}

int ckpt_nice(void)
{
	return task_nice(current);
}

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

struct new_utsname *ckpt_utsname(void)
{
	return utsname();
}

/* files */

/* An empty descriptor table: kernel threads have no files. */
struct files_struct *ckpt_new_files(void)
{
	return dup_fd(&init_files, NULL);
}

struct inode *ckpt_file_inode(struct file *file)
{
	return file_inode(file);
}

/* The path that the user knows, also of a file that backs one of overlayfs. */
const struct path *ckpt_file_path(struct file *file)
{
	return file_user_path(file);
}

void ckpt_fs_root(struct path *root)
{
	get_fs_root(current->fs, root);
}

void ckpt_fs_pwd(struct path *pwd)
{
	get_fs_pwd(current->fs, pwd);
}

bool ckpt_unlinked(const struct path *path)
{
	return d_unlinked(path->dentry);
}

/* For a super block of procfs. */
bool ckpt_procfs_is_own(struct super_block *sb)
{
	return proc_pid_ns(sb) == task_active_pid_ns(current);
}

bool ckpt_file_has_owner(struct file *file)
{
	struct fown_struct *owner = file_f_owner(file);

	return owner && (owner->pid || READ_ONCE(owner->signum));
}

bool ckpt_file_is_stream(struct file *file)
{
	return file->f_mode & FMODE_STREAM;
}

struct file_lock_context *ckpt_lock_context(struct file *file)
{
	return locks_inode_context(file_inode(file));
}

void ckpt_flc_lock(struct file_lock_context *ctx)
{
	spin_lock(&ctx->flc_lock);
}

void ckpt_flc_unlock(struct file_lock_context *ctx)
{
	spin_unlock(&ctx->flc_lock);
}

int ckpt_may_set_rlimit(unsigned int resource, struct rlimit *limit)
{
	return security_task_setrlimit(current->group_leader, resource, limit);
}

/* virtiofs is served by the host, which does not stop. */
bool ckpt_file_in_user_space(struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;

	return sb->s_magic == FUSE_SUPER_MAGIC && strcmp(sb->s_type->name, "virtiofs");
}

errseq_t ckpt_file_wb_err(struct file *file)
{
	return READ_ONCE(file->f_wb_err);
}

void ckpt_file_set_wb_err(struct file *file, errseq_t err)
{
	spin_lock(&file->f_lock);
	file->f_wb_err = err;
	spin_unlock(&file->f_lock);
}

int ckpt_may_search(struct file *file)
{
	return file_permission(file, MAY_EXEC | MAY_CHDIR);
}

int ckpt_may_exec(struct file *file)
{
	return path_noexec(&file->f_path) ? -EACCES : file_permission(file, MAY_EXEC);
}

void ckpt_file_lock(struct file *file)
{
	spin_lock(&file->f_lock);
}

void ckpt_file_unlock(struct file *file)
{
	spin_unlock(&file->f_lock);
}

void ckpt_iocb_flags(struct file *file)
{
	file->f_iocb_flags = iocb_flags(file);
}

long ckpt_file_references(struct file *file)
{
	return file_count(file);
}

int ckpt_may_open(struct file *file, int access)
{
	return file_permission(file, ACC_MODE(access));
}

struct file *ckpt_reopen(struct file *file, int flags)
{
	return dentry_open(&file->f_path, flags, current_cred());
}

int ckpt_chown(const struct path *path, uid_t uid, gid_t gid)
{
	return chown_common(path, uid, gid);
}

int ckpt_chmod(const struct path *path, umode_t mode)
{
	return chmod_common(path, mode);
}

ssize_t ckpt_list_xattrs(struct file *file, char *names, size_t size)
{
	return vfs_listxattr(file->f_path.dentry, names, size);
}

/* pipes */

int ckpt_pipe_lock(struct pipe_inode_info *pipe)
{
	return mutex_lock_killable(&pipe->mutex);
}

void ckpt_pipe_unlock(struct pipe_inode_info *pipe)
{
	mutex_unlock(&pipe->mutex);
}

bool ckpt_pipe_notifies(struct pipe_inode_info *pipe)
{
	return pipe_has_watch_queue(pipe);
}

unsigned long ckpt_pipe_head_tail(struct pipe_inode_info *pipe)
{
	return pipe->head_tail;
}

unsigned int ckpt_pipe_used(struct pipe_inode_info *pipe)
{
	return pipe_buf_usage(pipe);
}

struct pipe_buffer *ckpt_pipe_buf(struct pipe_inode_info *pipe, unsigned int nr)
{
	return nr < pipe_buf_usage(pipe) ? pipe_buf(pipe, pipe->tail + nr) : NULL;
}

int ckpt_pipe_confirm(struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	return pipe_buf_confirm(pipe, buf);
}

void ckpt_copy_page(void *to, struct page *page, size_t offset, size_t len)
{
	memcpy_from_page(to, page, offset, len);
}

bool ckpt_pipe_unseen(struct file *file, struct pipe_inode_info *pipe)
{
	return file->f_pipe == pipe->w_counter;
}

void ckpt_pipe_set_unseen(struct file *file, struct pipe_inode_info *pipe)
{
	file->f_pipe = pipe->w_counter;
}

/* local sockets */

/* With a reference; NULL for another file */
struct sock *ckpt_unix_sock(struct file *file)
{
	struct socket *sock = sock_from_file(file);

	if (!sock || !sock->sk || !sk_is_unix(sock->sk))
		return NULL;
	sock_hold(sock->sk);
	return sock->sk;
}

struct sock *ckpt_unix_peer(struct sock *sk)
{
	return unix_peer_get(sk);
}

void ckpt_sock_hold(struct sock *sk)
{
	sock_hold(sk);
}

void ckpt_sock_put(struct sock *sk)
{
	sock_put(sk);
}

bool ckpt_sock_is_closed(struct sock *sk)
{
	return sock_flag(sk, SOCK_DEAD);
}

static u64 ckpt_sock_time(long timeo)
{
	return timeo == MAX_SCHEDULE_TIMEOUT ? U64_MAX :
	       timeo >= nsecs_to_jiffies64(S64_MAX) ? S64_MAX :
	       jiffies64_to_nsecs(timeo);
}

void ckpt_sock_get(struct sock *sk, struct ckpt_socket *to)
{
	struct user_namespace *ns = current_user_ns();

	unix_state_lock(sk);
	to->type = sk->sk_type;
	to->state = sk->sk_state;
	to->shutdown = sk->sk_shutdown;
	to->error = sk->sk_err;
	unix_state_unlock(sk);
	to->sndbuf = READ_ONCE(sk->sk_sndbuf);
	to->rcvbuf = READ_ONCE(sk->sk_rcvbuf);
	to->buf_lock = READ_ONCE(sk->sk_userlocks) & SOCK_BUF_LOCK_MASK;
	to->rcvlowat = READ_ONCE(sk->sk_rcvlowat);
	to->peek_off = READ_ONCE(sk->sk_peek_off);
	to->rcvtimeo = ckpt_sock_time(READ_ONCE(sk->sk_rcvtimeo));
	to->sndtimeo = ckpt_sock_time(READ_ONCE(sk->sk_sndtimeo));
	to->keepalive = sock_flag(sk, SOCK_KEEPOPEN);
	to->oobinline = sock_flag(sk, SOCK_URGINLINE);
	to->broadcast = sock_flag(sk, SOCK_BROADCAST);
	to->passcred = sk->sk_scm_credentials;
	to->passsec = sk->sk_scm_security;
	to->passpidfd = sk->sk_scm_pidfd;
	to->passrights = sk->sk_scm_rights;
	to->inq = READ_ONCE(unix_sk(sk)->recvmsg_inq);
	to->notrunc = READ_ONCE(unix_sk(sk)->scm_rights_notrunc);
	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket) {
		to->mode = SOCK_INODE(sk->sk_socket)->i_mode;
		to->uid = from_kuid_munged(ns, SOCK_INODE(sk->sk_socket)->i_uid);
		to->gid = from_kgid_munged(ns, SOCK_INODE(sk->sk_socket)->i_gid);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

/* Bound, listening, or accepted by one that is */
bool ckpt_unix_is_named(struct sock *sk)
{
	return smp_load_acquire(&unix_sk(sk)->addr);
}

bool ckpt_sock_is_filtered(struct sock *sk)
{
	return rcu_access_pointer(sk->sk_filter) ||
	       sock_flag(sk, SOCK_FILTER_LOCKED);
}

/* By a map of sockets */
bool ckpt_sock_is_redirected(struct sock *sk)
{
	return READ_ONCE(sk->sk_prot) != sk->sk_prot_creator ||
	       READ_ONCE(sk->sk_user_data);
}

bool ckpt_sock_is_elsewhere(struct sock *sk)
{
	return sock_net(sk) != current->nsproxy->net_ns;
}

/* Any that a new socket does not have, and struct ckpt_socket neither */
bool ckpt_sock_has_options(struct sock *sk)
{
	const unsigned long known = BIT(SOCK_ZAPPED) | BIT(SOCK_KEEPOPEN) |
				    BIT(SOCK_URGINLINE) | BIT(SOCK_BROADCAST);

#ifdef CONFIG_NET_RX_BUSY_POLL
	if (READ_ONCE(sk->sk_ll_usec) != READ_ONCE(sysctl_net_busy_read) ||
	    READ_ONCE(sk->sk_prefer_busy_poll) ||
	    READ_ONCE(sk->sk_busy_poll_budget))
		return true;
#endif
#ifdef CONFIG_BPF_SYSCALL
	if (rcu_access_pointer(sk->sk_bpf_storage))
		return true;
#endif
	return (sk->sk_flags & ~known) || READ_ONCE(sk->sk_priority) ||
	       READ_ONCE(sk->sk_mark) || READ_ONCE(sk->sk_bound_dev_if) ||
	       sk->sk_reuse || sk->sk_reuseport || sk->sk_no_check_tx ||
	       READ_ONCE(sk->sk_tsflags) || READ_ONCE(sk->sk_reserved_mem) ||
	       READ_ONCE(sk->sk_max_pacing_rate) != ~0UL ||
	       READ_ONCE(sk->sk_incoming_cpu) != -1 ||
	       !skb_queue_empty_lockless(&sk->sk_error_queue);
}

bool ckpt_unix_has_oob(struct sock *sk)
{
#if IS_ENABLED(CONFIG_AF_UNIX_OOB)
	return READ_ONCE(unix_sk(sk)->oob_skb);
#else
	return false;
#endif
}

/*
 * The process that has made the pair, 0 when it has been waited for. True when
 * its ids were those that the current task has.
 */
bool ckpt_sock_creator(struct sock *sk, u32 *nr)
{
	const struct cred *cred = current_cred(), *old;
	struct pid *pid;

	guard(spinlock)(&sk->sk_peer_lock);
	pid = sk->sk_peer_pid;
	old = sk->sk_peer_cred;
	scoped_guard(rcu)
		*nr = pid && pid_task(pid, PIDTYPE_TGID) ? pid_vnr(pid) : 0;
	return old && uid_eq(old->euid, cred->euid) &&
	       gid_eq(old->egid, cred->egid) &&
	       old->user_ns == cred->user_ns &&
	       old->group_info->ngroups == cred->group_info->ngroups &&
	       !memcmp(old->group_info->gid, cred->group_info->gid,
		       array_size(old->group_info->ngroups, sizeof(kgid_t)));
}

/* Of a new pair, which nobody else has: a process, or none with NULL */
int ckpt_sock_set_creator(struct file *file, struct pid *pid)
{
	struct sock *sk = sock_from_file(file)->sk;
	int err = pidfs_register_pid(pid);

	if (err)
		return err;
	get_pid(pid);
	scoped_guard(spinlock, &sk->sk_peer_lock)
		swap(sk->sk_peer_pid, pid);
	put_pid(pid);
	return 0;
}

void ckpt_sock_lock_queue(struct sock *sk)
{
	spin_lock(&sk->sk_receive_queue.lock);
}

void ckpt_sock_unlock_queue(struct sock *sk)
{
	spin_unlock(&sk->sk_receive_queue.lock);
}

u32 ckpt_sock_queue_len(struct sock *sk)
{
	return skb_queue_len_lockless(&sk->sk_receive_queue);
}

/* The message behind @last, or the first one; under the lock of the queue */
struct sk_buff *ckpt_sock_queued(struct sock *sk, struct sk_buff *last)
{
	return last ? skb_peek_next(last, &sk->sk_receive_queue) :
		      skb_peek(&sk->sk_receive_queue);
}

struct sk_buff *ckpt_skb_hold(struct sk_buff *skb)
{
	return skb_get(skb);
}

void ckpt_skb_put(struct sk_buff *skb)
{
	consume_skb(skb);
}

u32 ckpt_skb_len(struct sk_buff *skb)
{
	return skb->len;
}

u32 ckpt_unix_consumed(struct sk_buff *skb)
{
	return READ_ONCE(UNIXCB(skb).consumed);
}

bool ckpt_unix_has_files(struct sk_buff *skb)
{
	return READ_ONCE(UNIXCB(skb).fp);
}

bool ckpt_unix_has_creds(struct sk_buff *skb)
{
	return READ_ONCE(UNIXCB(skb).pid);
}

/* As socketpair(2) makes them, without files */
int ckpt_socket_pair(u32 type, struct socket *ends[2])
{
	int err = sock_create(AF_UNIX, type, 0, &ends[0]);

	if (err < 0)
		return err;
	err = sock_create(AF_UNIX, type, 0, &ends[1]);
	if (err < 0)
		goto no_second;
	err = security_socket_socketpair(ends[0], ends[1]);
	if (!err)
		err = READ_ONCE(ends[0]->ops)->socketpair(ends[0], ends[1]);
	if (!err)
		return 0;
	sock_release(ends[1]);
no_second:
	sock_release(ends[0]);
	return err;
}

int ckpt_socket_set(struct file *file, int option, void *value, int len)
{
	return do_sock_setsockopt(sock_from_file(file), false, SOL_SOCKET,
				  option, KERNEL_SOCKPTR(value), len);
}

/* Never waits */
int ckpt_socket_send(struct file *file, void *bytes, size_t len)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct kvec vec = { .iov_base = bytes, .iov_len = len };

	return kernel_sendmsg(sock_from_file(file), &msg, &vec, 1, len);
}

int ckpt_socket_shutdown(struct file *file, int how)
{
	return kernel_sock_shutdown(sock_from_file(file), how);
}

/* x86 */

struct pt_regs *ckpt_regs(void)
{
	return current_pt_regs();
}

unsigned int ckpt_xstate_size(void)
{
	return fpu_user_cfg.max_size;
}

u64 ckpt_xstate_features(void)
{
	return fpu_user_cfg.max_features;
}

u64 ckpt_xstate_dynamic(void)
{
	return xstate_get_host_group_perm() & XFEATURE_MASK_USER_DYNAMIC;
}

/* The copy takes the protection key rights from the thread. */
void ckpt_pkru_sync(void)
{
	current->thread.pkru = read_pkru();
}

void ckpt_xstate_save(void *buf, size_t size)
{
	fpu_sync_fpstate(x86_task_fpu(current));
	copy_xstate_to_uabi_buf((struct membuf){ .p = buf, .left = size },
				current, XSTATE_COPY_XSAVE);
}

/* The task's registers are in memory from here on, and loaded on return. */
void ckpt_xstate_begin(void)
{
	fpregs_lock();
	if (!test_thread_flag(TIF_NEED_FPU_LOAD)) {
		save_fpregs_to_fpstate(x86_task_fpu(current));
		set_thread_flag(TIF_NEED_FPU_LOAD);
	}
	__fpu_invalidate_fpregs_state(x86_task_fpu(current));
	__cpu_invalidate_fpregs_state();
	fpregs_unlock();
}

int ckpt_xstate_load(const void *buf)
{
	return copy_uabi_from_kernel_to_xstate(x86_task_fpu(current)->fpstate,
					       buf, &current->thread.pkru);
}

void ckpt_write_pkru(u32 pkru)
{
	write_pkru(pkru);
}

#ifdef CONFIG_IA32_EMULATION
int ckpt_tls_get(struct user_desc *tls, size_t bytes)
{
	return regset_tls_get(current, NULL,
			      (struct membuf){ .p = tls, .left = bytes });
}

int ckpt_tls_set(const struct user_desc *tls, size_t bytes)
{
	return regset_tls_set(current, NULL, 0, bytes, tls, NULL);
}
#else
/* Without set_thread_area() there is nothing to get or set. */
int ckpt_tls_get(struct user_desc *tls, size_t bytes)
{
	return -ENOSYS;
}

int ckpt_tls_set(const struct user_desc *tls, size_t bytes)
{
	return -ENOSYS;
}
#endif

void ckpt_mm_set_64bit(struct mm_struct *mm)
{
	set_bit(MM_CONTEXT_HAS_VSYSCALL, &mm->context.flags);
}

void ckpt_ldt_lock(struct mm_struct *mm)
{
	mutex_lock(&mm->context.lock);
}

void ckpt_ldt_unlock(struct mm_struct *mm)
{
	mutex_unlock(&mm->context.lock);
}

unsigned int ckpt_ldt_size(struct mm_struct *mm)
{
	return mm->context.ldt ? mm->context.ldt->nr_entries : 0;
}

u64 ckpt_ldt_entry(struct mm_struct *mm, unsigned int nr)
{
	return *(u64 *)&mm->context.ldt->entries[nr];
}

void ckpt_read_segments(u16 *ds, u16 *es, u16 *fs, u16 *gs)
{
	savesegment(ds, *ds);
	savesegment(es, *es);
	savesegment(fs, *fs);
	savesegment(gs, *gs);
}

/* A selector sets its base, so that the bases come last. */
void ckpt_load_segments(u16 ds, u16 es, u16 fs, u16 gs, u64 fs_base, u64 gs_base)
{
	preempt_disable();
	loadsegment(ds, ds);
	loadsegment(es, es);
	loadsegment(fs, fs);
	load_gs_index(gs);
	current->thread.fsindex = fs;
	current->thread.gsindex = gs;
	current->thread.fsbase = fs_base;
	current->thread.gsbase = gs_base;
	x86_fsbase_write_cpu(fs_base);
	x86_gsbase_write_cpu_inactive(gs_base);
	preempt_enable();
}

u64 ckpt_fs_base(void)
{
	guard(preempt)();
	return x86_fsbase_read_cpu();
}

u64 ckpt_gs_base(void)
{
	guard(preempt)();
	return x86_gsbase_read_cpu_inactive();
}

bool ckpt_has_hw_breakpoints(void)
{
	return memchr_inv(current->thread.ptrace_bps, 0,
			  sizeof(current->thread.ptrace_bps));
}

bool ckpt_has_io_bitmap(void)
{
	return test_thread_flag(TIF_IO_BITMAP) || current->thread.iopl_emul;
}

bool ckpt_has_shadow_stack(void)
{
#ifdef CONFIG_X86_USER_SHADOW_STACK
	return current->thread.features || current->thread.features_locked;
#else
	return false;
#endif
}

bool ckpt_is_32bit(void)
{
	return test_thread_flag(TIF_ADDR32) || in_ia32_syscall() ||
	       !user_64bit_mode(current_pt_regs());
}

bool ckpt_has_forced_tf(void)
{
	return test_thread_flag(TIF_FORCED_TF);
}

bool ckpt_has_odd_flags(void)
{
	/* Strict mode comes without TSC. */
	if (test_thread_flag(TIF_NOTSC) &&
	    seccomp_mode(&current->seccomp) != SECCOMP_MODE_STRICT)
		return true;
	return test_thread_flag(TIF_NOCPUID);
}

bool ckpt_has_pkeys(void)
{
	return arch_pkeys_enabled();
}

#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
u32 ckpt_pkey_map(struct mm_struct *mm)
{
	return mm->context.pkey_allocation_map;
}

int ckpt_pkey_exec_only(struct mm_struct *mm)
{
	return mm->context.execute_only_pkey;
}

void ckpt_pkey_set(struct mm_struct *mm, u32 map, int exec_only)
{
	mm->context.pkey_allocation_map = map;
	mm->context.execute_only_pkey = exec_only;
}
#else
u32 ckpt_pkey_map(struct mm_struct *mm)
{
	return 1;
}

int ckpt_pkey_exec_only(struct mm_struct *mm)
{
	return -1;
}

void ckpt_pkey_set(struct mm_struct *mm, u32 map, int exec_only)
{
}
#endif

unsigned long ckpt_vdso(struct mm_struct *mm)
{
	return (unsigned long)mm->context.vdso;
}

const struct vdso_image *ckpt_vdso_image(struct mm_struct *mm)
{
	return mm->context.vdso_image;
}

void ckpt_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
	cpuid_count(leaf, subleaf, &out[0], &out[1], &out[2], &out[3]);
}

unsigned long ckpt_lam(struct mm_struct *mm)
{
#ifdef CONFIG_ADDRESS_MASKING
	return mm->context.lam_cr3_mask;
#else
	return 0;
#endif
}
