// SPDX-License-Identifier: GPL-2.0
/* Lists, checksums, and the name of the kernel. */
#include <linux/checkpoint.h>
#include <linux/crc32.h>
#include <linux/version.h>

u32 ckpt_crc32c(u32 crc, const void *data, size_t len)
{
	return ~crc32c(~crc, data, len);
}

u32 ckpt_kernel_version(void)
{
	return LINUX_VERSION_CODE;
}

void ckpt_list_move_tail(struct list_head *entry, struct list_head *head)
{
	list_move_tail(entry, head);
}

void ckpt_list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_add_tail(entry, head);
}

struct new_utsname *ckpt_utsname(void)
{
	return utsname();
}
