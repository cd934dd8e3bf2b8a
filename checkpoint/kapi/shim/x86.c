// SPDX-License-Identifier: GPL-2.0
/* Registers, segments and vDSO of x86. */
#include <linux/checkpoint.h>
#include <linux/pkeys.h>
#include <linux/ptrace.h>
#include <asm/cpuid/api.h>
#include <asm/fpu/api.h>
#include <asm/fpu/sched.h>
#include <asm/fpu/signal.h>
#include <asm/fsgsbase.h>
#include <asm/mmu_context.h>
#include <asm/sighandling.h>

#include "../../../arch/x86/kernel/fpu/internal.h"
#include "../../../arch/x86/kernel/fpu/context.h"
#include "../../../arch/x86/kernel/fpu/xstate.h"
#include "../../../arch/x86/kernel/tls.h"

struct pt_regs *ckpt_regs(void)
{
	return current_pt_regs();
}

/* As sigreturn(2) does: what was the step of a call is none of the first instruction. */
void ckpt_regs_replaced(void)
{
	prevent_single_step_upon_eretu(current_pt_regs());
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
	return (xstate_get_host_group_perm() | xstate_get_guest_group_perm()) &
	       XFEATURE_MASK_USER_DYNAMIC;
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
