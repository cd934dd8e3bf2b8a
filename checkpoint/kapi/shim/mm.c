// SPDX-License-Identifier: GPL-2.0
/* Address spaces and their mappings. */
#include <linux/checkpoint.h>
#include <linux/fsnotify.h>
#include <linux/iommu.h>
#include <linux/mm_inline.h>
#include <linux/rmap.h>
#include <linux/secretmem.h>
#include <linux/security.h>
#include <linux/uprobes.h>

#include "../../../mm/internal.h"

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
#ifdef CONFIG_ARCH_HAS_CPU_PASID
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

/* What exec does on the way to another address space. */
void ckpt_uprobe_free(void)
{
	uprobe_free_utask(current);
}

int ckpt_mm_users(struct mm_struct *mm)
{
	return atomic_read(&mm->mm_users);
}

/*
 * What is kept of a task while it runs on another address space counts for that one:
 * the OOM killer looks for it there. As swap, which is part of no high-water mark.
 */
long ckpt_mm_keep(struct mm_struct *mm, struct mm_struct *kept)
{
	long pages = get_mm_rss_sum(kept) + get_mm_counter_sum(kept, MM_SWAPENTS);

	add_mm_counter(mm, MM_SWAPENTS, pages);
	return pages;
}

void ckpt_mm_kept(struct mm_struct *mm, long pages)
{
	add_mm_counter(mm, MM_SWAPENTS, -pages);
}

/* Nothing where there are no concurrency ids. */
void ckpt_mm_cid_before(void)
{
	sched_mm_cid_before_execve(current);
}

void ckpt_mm_cid_after(void)
{
	sched_mm_cid_after_execve(current);
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
