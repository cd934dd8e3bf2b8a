// SPDX-License-Identifier: GPL-2.0
/* Memory that is shared: shmem and memfd. */
#include <linux/checkpoint.h>
#include <linux/pagemap.h>
#include <linux/pid_namespace.h>
#include <linux/posix_acl.h>
#include <linux/security.h>
#include <linux/syscalls.h>
#include <linux/xattr.h>

#include "../../../fs/internal.h"

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

/*
 * Attributes of all kinds but labels, which a new file gets anew, and lists of access
 * rights. What a file has got from its directory counts as well.
 */
bool ckpt_shmem_has_attributes(struct inode *inode)
{
	struct shmem_inode_info *info = SHMEM_I(inode);
	struct simple_xattr *xattr;
	bool found = info->fsflags & SHMEM_FL_USER_MODIFIABLE;

#ifdef CONFIG_FS_POSIX_ACL
	found |= !is_uncached_acl(READ_ONCE(inode->i_acl)) && READ_ONCE(inode->i_acl);
#endif
	rcu_read_lock();
	list_for_each_entry_rcu(xattr, &info->xattrs, node)
		found |= strncmp(xattr->name, XATTR_SECURITY_PREFIX,
				 XATTR_SECURITY_PREFIX_LEN) ||
			 !security_ismaclabel(xattr->name + XATTR_SECURITY_PREFIX_LEN);
	rcu_read_unlock();
	return found;
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
