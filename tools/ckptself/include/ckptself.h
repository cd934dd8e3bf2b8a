/* SPDX-License-Identifier: GPL-2.0 */
/*
 * checkpoint(2) and restart(2) for applications in C.
 *
 *	long checkpoint_self(int fd, char *why, size_t size);
 *	long checkpoint_other(pid_t pid, int fd, unsigned long flags, char *why, size_t size);
 *	int restart_self(int fd, char *why, size_t size);
 *
 * Each returns -1 and sets errno on failure, and then puts what the kernel said
 * into why, as a string of less than size bytes: "" if it is not known. why may
 * be NULL.
 *
 * checkpoint_self() saves the calling program to fd, from its position on. It returns
 * the identifier of the image, above 0, when the program has been saved, and 0
 * when the program comes back from a restart. Flush stdio first: its buffers are
 * part of the image, and both copies would write them. The reason of a failure
 * is read from the image, whose last record says it: fd must be open for reading
 * as well, and be able to seek. A log of its own the kernel cannot be given here,
 * as whatever the program has open becomes part of the image: a pipe is refused,
 * and a file would have to be there at the restart. So is fd itself: its file must
 * not be renamed or removed. Who saves itself again and again, and wants a good
 * image at any time, writes to two files by turns. An image holds all that the
 * memory holds: create it with mode 0600, where nobody else can put a file before.
 *
 * checkpoint_other() saves another program, and returns the identifier of the image.
 * flags: 0, CHECKPOINT_KILL or CHECKPOINT_STOP. They act before the image is on the
 * disk: see fsync(2).
 *
 * restart_self() becomes the program of the image: it returns only on failure.
 */
#ifndef CKPTSELF_H
#define CKPTSELF_H

#ifndef _GNU_SOURCE
#error "ckptself.h needs _GNU_SOURCE, defined before the first include"
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/checkpoint.h>
#include <linux/checkpoint_hdr.h>

#ifndef __NR_checkpoint
#define __NR_checkpoint	473
#define __NR_restart	474
#endif

/* Says nothing yet. */
static inline void ckpt_none(char *why, size_t size)
{
	if (why && size)
		why[0] = '\0';
}

/* What the record at the end of an image says, that was written from start on. */
static inline void ckpt_reason(int fd, off_t start, char *why, size_t size)
{
	struct {
		struct cr_hdr hdr;
		struct cr_hdr_error error;
	} record;
	const struct cr_hdr_error *error = &record.error;
	off_t end = lseek(fd, 0, SEEK_CUR);
	char place[64] = "";
	char text[CR_ERROR_TEXT + 1];
	size_t i, len;

	if (!why || !size || start < 0 || end - start < (off_t)sizeof(record))
		return;
	if (pread(fd, &record, sizeof(record), end - sizeof(record)) != sizeof(record))
		return;
	if (record.hdr.type != CR_HDR_ERROR || record.hdr.len != sizeof(*error))
		return;
	if (error->place == CR_PLACE_FD)
		snprintf(place, sizeof(place), "fd %llu: ", (unsigned long long)error->a);
	else if (error->place == CR_PLACE_RANGE)
		snprintf(place, sizeof(place), "%#llx-%#llx: ", (unsigned long long)error->a,
			 (unsigned long long)error->b);
	else if (error->place == CR_PLACE_NUMBER)
		snprintf(place, sizeof(place), "number %llu: ", (unsigned long long)error->a);
	len = error->text_len < CR_ERROR_TEXT ? error->text_len : CR_ERROR_TEXT;
	for (i = 0; i < len; i++)
		text[i] = error->text[i] < ' ' || error->text[i] == 127 ? '?' : error->text[i];
	text[len] = '\0';
	snprintf(why, size, "%s%s (errno %u)", place, text, error->err);
}

static inline long checkpoint_self(int fd, char *why, size_t size)
{
	off_t start = lseek(fd, 0, SEEK_CUR);
	long result;
	int saved;

	ckpt_none(why, size);
	result = syscall(__NR_checkpoint, 0L, (long)fd, 0L, -1L);
	if (result < 0) {
		saved = errno;
		ckpt_reason(fd, start, why, size);
		errno = saved;
	}
	return result;
}

/* Makes a call with a pipe for its log; what the kernel writes fits into one. */
static inline long ckpt_logged(long number, long first, int fd, unsigned long flags,
			       char *why, size_t size)
{
	int log[2], saved;
	long result;
	ssize_t len;

	ckpt_none(why, size);
	if (pipe2(log, O_CLOEXEC))
		return -1;
	result = syscall(number, first, (long)fd, flags, (long)log[1]);
	saved = errno;
	close(log[1]);
	if (result < 0 && why && size) {
		/*
		 * All of it is there. A child that another thread has forked meanwhile
		 * may have the other end as well, and would be waited for.
		 */
		fcntl(log[0], F_SETFL, O_NONBLOCK);
		len = read(log[0], why, size - 1);
		while (len > 0 && why[len - 1] == '\n')
			len--;
		why[len > 0 ? len : 0] = '\0';
	}
	close(log[0]);
	errno = saved;
	return result;
}

static inline long checkpoint_other(pid_t pid, int fd, unsigned long flags, char *why, size_t size)
{
	/* A program that saves itself must know as which of the two it comes back. */
	if (pid == 0 || pid == getpid()) {
		ckpt_none(why, size);
		errno = EINVAL;
		return -1;
	}
	return ckpt_logged(__NR_checkpoint, pid, fd, flags | CHECKPOINT_LOG, why, size);
}

static inline int restart_self(int fd, char *why, size_t size)
{
	return (int)ckpt_logged(__NR_restart, 0, fd, RESTART_LOG, why, size);
}

#endif /* CKPTSELF_H */
