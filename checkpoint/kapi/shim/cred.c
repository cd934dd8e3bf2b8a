// SPDX-License-Identifier: GPL-2.0
/* Credentials, and what they permit. */
#include <linux/checkpoint.h>
#include <linux/ptrace.h>
#include <linux/security.h>
#ifdef CONFIG_SECURITY_LANDLOCK
#include "../../../security/landlock/cred.h"
#endif

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

u32 ckpt_real_uid(void)
{
	return from_kuid(&init_user_ns, current_uid());
}

bool ckpt_other_user_ns(struct task_struct *task)
{
	return task_cred_xxx(task, user_ns) != current_user_ns();
}

/* As in chroot(2): may the current task have this root directory? */
int ckpt_may_chroot(const struct path *root)
{
	if (!ns_capable(current_user_ns(), CAP_SYS_CHROOT))
		return -EPERM;
	return security_path_chroot(root);
}

/* Without Landlock among the modules of this boot, its part of the blob is another's. */
bool ckpt_has_landlock(void)
{
#ifdef CONFIG_SECURITY_LANDLOCK
	return landlock_initialized && landlocked(current);
#else
	return false;
#endif
}

/* Tasks that stand still, or the current one. */
bool ckpt_same_label(struct task_struct *a, struct task_struct *b)
{
	struct lsm_prop of_a, of_b;

	lsmprop_init(&of_a);
	lsmprop_init(&of_b);
	security_task_getlsmprop_obj(a, &of_a);
	security_task_getlsmprop_obj(b, &of_b);
	return !memcmp(&of_a, &of_b, sizeof(of_a));
}

bool ckpt_has_keyrings(void)
{
#ifdef CONFIG_KEYS
	return current_cred()->thread_keyring || current_cred()->process_keyring;
#else
	return false;
#endif
}

int ckpt_seccomp_mode(void)
{
	return seccomp_mode(&current->seccomp);
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

int ckpt_may_set_rlimit(unsigned int resource, struct rlimit *limit)
{
	return security_task_setrlimit(current->group_leader, resource, limit);
}
