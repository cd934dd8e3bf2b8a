// SPDX-License-Identifier: GPL-2.0
/* Open files, paths, and file system views. */
#include <linux/checkpoint.h>
#include <linux/cred.h>
#include <linux/elf.h>
#include <linux/init_task.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pid_namespace.h>
#include <linux/pidfs.h>
#include <linux/proc_fs.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/tty.h>
#include <linux/xattr.h>
#include <uapi/linux/pidfd.h>

#include "../../../fs/internal.h"
#include "../../../fs/proc/internal.h"

void ckpt_files_get(struct files_struct *files)
{
	atomic_inc(&files->count);
}

/* As file_open_root(), but by a name without symbolic links. */
struct file *ckpt_open_root(const struct path *root, const char *name, int flags,
			    bool regular)
{
	struct open_how how = build_open_how(flags, 0);
	struct open_flags op;
	int err;

	how.resolve = RESOLVE_NO_SYMLINKS;
	if (regular)
		how.flags |= OPENAT2_REGULAR;
	err = build_open_flags(&how, &op);
	return err ? ERR_PTR(err) : do_file_open_root(root, name, &op);
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

bool ckpt_path_is_ours(const struct path *path)
{
	return our_mnt(path->mnt);
}

/*
 * Does an absolute name, without "." and "..", lead to this place, from a root? No file
 * system is asked, which may stand still: all on the way to a place that is held is in
 * the cache. Nothing is learned but that it is so, and rights are not looked at: a
 * security module may have to sleep for that.
 */
bool ckpt_path_is_named(const struct path *path, const struct path *root, const char *name)
{
	struct path at = *root;
	bool same = false;

	path_get(&at);
	for (;;) {
		const char *end;
		struct dentry *next;
		struct qstr part;

		while (*name == '/')
			name++;
		if (!*name) {
			same = at.dentry == path->dentry;
			break;
		}
		end = strchrnul(name, '/');
		part = (struct qstr)QSTR_INIT(name, end - name);
		next = d_can_lookup(at.dentry) ? d_hash_and_lookup(at.dentry, &part) : NULL;
		if (IS_ERR_OR_NULL(next))
			break;
		dput(at.dentry);
		at.dentry = next;
		while (d_mountpoint(at.dentry) && follow_down_one(&at))
			;
		name = end;
	}
	path_put(&at);
	return same;
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

bool ckpt_file_is_backing(struct file *file)
{
	return file->f_mode & FMODE_BACKING;
}

/*
 * Mapped is a file below an overlay, which was copied up since, and stat(2) tells of the
 * copy: has that one another size or time?
 */
bool ckpt_file_is_left_below(struct file *file, loff_t size, s64 sec, u32 nsec)
{
	struct dentry *dentry = file_user_path(file)->dentry;
	struct inode *inode = file_inode(file);
	struct timespec64 mtime = inode_get_mtime(inode);

	if (!ckpt_file_is_backing(file) || !(dentry->d_flags & DCACHE_OP_REAL) ||
	    d_real_inode(dentry) == inode)
		return false;
	return i_size_read(inode) != size || mtime.tv_sec != sec || mtime.tv_nsec != nsec;
}

/* Is there something in memory that is not on the disk yet? */
bool ckpt_file_is_dirty(struct file *file)
{
	struct address_space *mapping = file->f_mapping;

	return mapping_tagged(mapping, PAGECACHE_TAG_DIRTY) ||
	       mapping_tagged(mapping, PAGECACHE_TAG_WRITEBACK);
}

bool ckpt_file_has_own_locks(struct file *file)
{
	return file->f_op->lock || file->f_op->flock;
}

int ckpt_security_file_lock(struct file *file, unsigned int kind)
{
	return security_file_lock(file, kind);
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

/* An error that nobody at all has been told of */
int ckpt_file_unseen_wb_err(struct file *file)
{
	errseq_t *err = &file->f_mapping->wb_err;

	return errseq_sample(err) ? 0 : errseq_check(err, 0);
}

/* As if it happened now: all are told once more */
void ckpt_file_renew_wb_err(struct file *file, int err)
{
	filemap_set_wb_err(file->f_mapping, err);
}

int ckpt_file_untold_wb_err(struct file *file)
{
	return filemap_check_wb_err(file->f_mapping, READ_ONCE(file->f_wb_err));
}

int ckpt_may_search(struct file *file)
{
	return file_permission(file, MAY_EXEC | MAY_CHDIR);
}

int ckpt_may_exec(struct file *file)
{
	return path_noexec(&file->f_path) ? -EACCES : file_permission(file, MAY_EXEC);
}

/* Does a file that can be read begin as a program of this machine does? */
bool ckpt_file_is_elf(struct file *file)
{
	char magic[SELFMAG];
	loff_t pos = 0;

	return kernel_read(file, magic, SELFMAG, &pos) == SELFMAG &&
	       !memcmp(magic, ELFMAG, SELFMAG);
}

bool ckpt_file_is_hung_up(struct file *file)
{
	return tty_hung_up_p(file);
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
