// SPDX-License-Identifier: GPL-2.0
/* Pipes and FIFOs. */
#include <linux/checkpoint.h>

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
