// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "uffd.h"

int uffd_open(__u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), error;

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, UFFDIO_API, &api))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int uffd_register(int fd, char *map, size_t len, __u64 mode)
{
	struct uffdio_register args = {
		.range = { .start = (uintptr_t)map, .len = len },
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_REGISTER, &args) ? -errno : 0;
}

int uffd_unregister(int fd, char *map, size_t len)
{
	struct uffdio_range range = { .start = (uintptr_t)map, .len = len };

	return ioctl(fd, UFFDIO_UNREGISTER, &range) ? -errno : 0;
}

int uffd_protect(int fd, char *at, size_t len)
{
	struct uffdio_writeprotect args = {
		.range = { .start = (uintptr_t)at, .len = len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &args) ? -errno : 0;
}
