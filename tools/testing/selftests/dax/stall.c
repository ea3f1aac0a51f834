// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#include "stall.h"

#define NAME "dax-stall"
#define LIMIT_S 20

enum provision stall_up(struct stall *stall, char *to, size_t len, char *why)
{
	struct iocb read = {
		.aio_lio_opcode = IOCB_CMD_PREAD, .aio_buf = (uintptr_t)to,
		.aio_nbytes = len,
	}, *reads[] = { &read };
	enum provision made;

	made = mapper_create(NAME, "0 2048 error", why);
	if (made != PROVIDED)
		return made;
	stall->fd = open(MAPPER NAME, O_RDONLY | O_DIRECT | O_CLOEXEC);
	read.aio_fildes = stall->fd;
	if (stall->fd >= 0 && !syscall(SYS_io_setup, 1, &stall->context) &&
	    !mapper_do("suspend", NAME) &&
	    syscall(SYS_io_submit, stall->context, 1, reads) == 1)
		return PROVIDED;
	made = say(BROKEN, why, "direct I/O", strerror(errno));
	stall_down(stall);
	return made;
}

int stall_down(struct stall *stall)
{
	struct timespec limit = { .tv_sec = LIMIT_S };
	struct io_event event = { 0 };

	if (stall->fd < 0)
		return 0;
	mapper_do("resume", NAME);
	if (stall->context) {
		syscall(SYS_io_getevents, stall->context, 1, 1, &event,
			&limit);
		syscall(SYS_io_destroy, stall->context);
	}
	close(stall->fd);
	mapper_remove(NAME);
	stall->fd = -1;
	stall->context = 0;
	return event.res;
}
