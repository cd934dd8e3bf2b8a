// SPDX-License-Identifier: GPL-2.0
/*
 * Counts, and saves itself at every fifth number.
 *
 *	gcc -I include/uapi -I tools/ckptself/include -o counter \
 *		tools/ckptself/examples/counter.c
 *	./counter me.img > out
 *	^C
 *	./counter --restart me.img
 *	./counter --save PID it.img
 *
 * The restarted program goes on in out, behind its last image. There are
 * two images by turns, the other one in me.img.2: whenever it is killed,
 * one is complete. To write beside and rename does not do, since the descriptor of
 * the image is in it, and is opened again under that name. The last line saves
 * another program, and kills it.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ckptself.h"

/* A new image, for the owner only: it holds all that the memory holds. */
static int create(const char *path)
{
	/* For reading as well: there is the reason of a failure. */
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		perror(path);
	return fd;
}

static int restarted(const char *path)
{
	char why[512];
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		perror(path);
		return 1;
	}
	restart_self(fd, why, sizeof(why));
	fprintf(stderr, "counter: %s\n", *why ? why : strerror(errno));
	return 1;
}

static int save_other(pid_t pid, const char *path)
{
	char why[512];
	long id;
	int fd = create(path);

	if (fd < 0)
		return 1;
	id = checkpoint_other(pid, fd, CHECKPOINT_KILL, why, sizeof(why));
	if (id < 0) {
		fprintf(stderr, "counter: %s\n", *why ? why : strerror(errno));
		return 1;
	}
	/* It is killed, and the image all that is left of it. */
	if (fsync(fd) < 0) {
		perror(path);
		return 1;
	}
	printf("saved as image %ld\n", id);
	return 0;
}

static int save(const char *path, int second)
{
	char name[4096];
	char why[512];
	long id;
	int fd;

	if (snprintf(name, sizeof(name), "%s%s", path, second ? ".2" : "") >= (int)sizeof(name)) {
		fprintf(stderr, "counter: the name is too long\n");
		return -1;
	}
	fd = create(name);
	if (fd < 0)
		return -1;
	id = checkpoint_self(fd, why, sizeof(why));
	if (id < 0)
		fprintf(stderr, "counter: %s\n", *why ? why : strerror(errno));
	else
		puts(id > 0 ? "saved" : "restarted");
	fflush(stdout);
	close(fd);
	return id < 0 ? -1 : 0;
}

int main(int argc, char *argv[])
{
	unsigned long number;

	if (argc == 3 && !strcmp(argv[1], "--restart"))
		return restarted(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "--save"))
		return save_other(atoi(argv[2]), argv[3]);
	if (argc != 2) {
		fprintf(stderr, "usage: counter [--restart | --save PID] IMAGE\n");
		return 1;
	}
	for (number = 1;; number++) {
		printf("%lu\n", number);
		fflush(stdout);
		if (number % 5 == 0 && save(argv[1], number % 10 == 0))
			return 1;
		usleep(50000);
	}
}
