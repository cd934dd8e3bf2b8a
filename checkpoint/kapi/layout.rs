// SPDX-License-Identifier: GPL-2.0

//! Compile-time proof that Rust and C agree on the structures touched here.
//!
//! bindgen has laid out `task_struct` wrongly before (an empty, aligned member
//! loses its alignment). A disagreement must be a build error, not an oops.

use core::mem::offset_of;
use kernel::bindings::*;

macro_rules! same {
    ($($constant:ident: $ty:ty, $field:ident;)+) => {
        $(const _: () = assert!(offset_of!($ty, $field) == $constant as usize);)+
    };
}

same! {
    ckpt_layout_CKPT_OFF_TASK_MM: task_struct, mm;
    ckpt_layout_CKPT_OFF_TASK_FS: task_struct, fs;
    ckpt_layout_CKPT_OFF_TASK_FILES: task_struct, files;
    ckpt_layout_CKPT_OFF_TASK_SIGNAL: task_struct, signal;
    ckpt_layout_CKPT_OFF_TASK_SAS_FLAGS: task_struct, sas_ss_flags;
    ckpt_layout_CKPT_OFF_TASK_RSEQ: task_struct, rseq;
    ckpt_layout_CKPT_OFF_TASK_COMM: task_struct, comm;
    ckpt_layout_CKPT_OFF_TASK_PERSONALITY: task_struct, personality;
    ckpt_layout_CKPT_OFF_TASK_CLEAR_TID: task_struct, clear_child_tid;
    ckpt_layout_CKPT_OFF_TASK_SLACK: task_struct, timer_slack_ns;
    ckpt_layout_CKPT_OFF_TASK_JOBCTL: task_struct, jobctl;
    ckpt_layout_CKPT_OFF_TASK_PTRACE: task_struct, ptrace;
    ckpt_layout_CKPT_OFF_TASK_NSPROXY: task_struct, nsproxy;
    ckpt_layout_CKPT_OFF_TASK_CHILDREN: task_struct, children;
    ckpt_layout_CKPT_OFF_TASK_SIBLING: task_struct, sibling;
    ckpt_layout_CKPT_OFF_TASK_TASKS: task_struct, tasks;
    ckpt_layout_CKPT_OFF_TASK_THREAD_NODE: task_struct, thread_node;
    ckpt_layout_CKPT_OFF_TASK_THREAD_PID: task_struct, thread_pid;
    ckpt_layout_CKPT_OFF_TASK_VFORK: task_struct, vfork_done;
    ckpt_layout_CKPT_OFF_TASK_LEADER: task_struct, group_leader;
    ckpt_layout_CKPT_OFF_TASK_EXIT_STATE: task_struct, exit_state;
    ckpt_layout_CKPT_OFF_TASK_EXIT_SIGNAL: task_struct, exit_signal;
    ckpt_layout_CKPT_OFF_TASK_EXEC_ID: task_struct, self_exec_id;
    ckpt_layout_CKPT_OFF_TASK_RESTART: task_struct, restart_block;
    ckpt_layout_CKPT_OFF_TASK_SIGMASK: task_struct, saved_sigmask;
    ckpt_layout_CKPT_OFF_TASK_FLAGS: task_struct, flags;
    ckpt_layout_CKPT_OFF_TASK_PID: task_struct, pid;
    ckpt_layout_CKPT_OFF_TASK_PARENT: task_struct, parent;
    ckpt_layout_CKPT_OFF_TASK_REAL_PARENT: task_struct, real_parent;
    ckpt_layout_CKPT_OFF_TASK_PARENT_EXEC_ID: task_struct, parent_exec_id;
    ckpt_layout_CKPT_OFF_TASK_PDEATH: task_struct, pdeath_signal;
    ckpt_layout_CKPT_OFF_TASK_CPUS: task_struct, user_cpus_ptr;
    ckpt_layout_CKPT_OFF_TASK_WORKS: task_struct, task_works;
    ckpt_layout_CKPT_OFF_TASK_PENDING: task_struct, pending;
    ckpt_layout_CKPT_OFF_TASK_BLOCKED: task_struct, blocked;
    ckpt_layout_CKPT_OFF_TASK_SIGHAND: task_struct, sighand;
    ckpt_layout_CKPT_OFF_TASK_SAS_SP: task_struct, sas_ss_sp;
    ckpt_layout_CKPT_OFF_TASK_SAS_SIZE: task_struct, sas_ss_size;
    ckpt_layout_CKPT_OFF_TASK_DEFAULT_SLACK: task_struct, default_timer_slack_ns;
    ckpt_layout_CKPT_OFF_VMA_PGOFF: vm_area_struct, vm_pgoff;
    ckpt_layout_CKPT_OFF_VMA_FILE: vm_area_struct, vm_file;
    ckpt_layout_CKPT_OFF_SIG_RLIM: signal_struct, rlim;
    ckpt_layout_CKPT_OFF_SIG_OOM: signal_struct, oom_score_adj;
    ckpt_layout_CKPT_OFF_SIG_THREADS: signal_struct, thread_head;
    ckpt_layout_CKPT_OFF_SIG_NR_THREADS: signal_struct, nr_threads;
    ckpt_layout_CKPT_OFF_SIG_EXEC_LOCK: signal_struct, exec_update_lock;
    ckpt_layout_CKPT_OFF_SIG_FLAGS: signal_struct, flags;
    ckpt_layout_CKPT_OFF_SIG_OOM_MIN: signal_struct, oom_score_adj_min;
    ckpt_layout_CKPT_OFF_SIG_PENDING: signal_struct, shared_pending;
    ckpt_layout_CKPT_OFF_SIG_REAL_INCR: signal_struct, it_real_incr;
    ckpt_layout_CKPT_OFF_SIG_IT: signal_struct, it;
    ckpt_layout_CKPT_OFF_SIG_EXEC_TASK: signal_struct, group_exec_task;
    ckpt_layout_CKPT_OFF_FILE_POS: file, f_pos;
    ckpt_layout_CKPT_OFF_FILE_FLAGS: file, f_flags;
    ckpt_layout_CKPT_OFF_FILE_MODE: file, f_mode;
    ckpt_layout_CKPT_OFF_FILE_CRED: file, f_cred;
    ckpt_layout_CKPT_OFF_CRED_SECUREBITS: cred, securebits;
    ckpt_layout_CKPT_OFF_CRED_USER_NS: cred, user_ns;
    ckpt_layout_CKPT_OFF_CRED_UCOUNTS: cred, ucounts;
    ckpt_layout_CKPT_OFF_CRED_GROUPS: cred, group_info;
    ckpt_layout_CKPT_OFF_CRED_PERMITTED: cred, cap_permitted;
    ckpt_layout_CKPT_OFF_CRED_UID: cred, uid;
    ckpt_layout_CKPT_OFF_INODE_MODE: inode, i_mode;
    ckpt_layout_CKPT_OFF_INODE_UID: inode, i_uid;
    ckpt_layout_CKPT_OFF_INODE_RDEV: inode, i_rdev;
}

const _: () =
    assert!(offset_of!(file, __bindgen_anon_1.f_path) == ckpt_layout_CKPT_OFF_FILE_PATH as usize);

macro_rules! same_mm {
    ($($constant:ident: $field:ident;)+) => {
        $(const _: () =
            assert!(offset_of!(mm_struct, __bindgen_anon_1.$field) == $constant as usize);)+
    };
}

same_mm! {
    ckpt_layout_CKPT_OFF_MM_BRK: brk;
    ckpt_layout_CKPT_OFF_MM_AUXV: saved_auxv;
    ckpt_layout_CKPT_OFF_MM_MAP_COUNT: map_count;
    ckpt_layout_CKPT_OFF_MM_EXE: exe_file;
}
