// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device.h"

/* A disk belongs to a device, a device-dax node is one. */
static int node_path(const char *node, char *path, size_t len)
{
	struct stat st;

	if (stat(node, &st))
		return -errno;
	if (S_ISBLK(st.st_mode))
		snprintf(path, len, "/sys/dev/block/%u:%u/device",
			 major(st.st_rdev), minor(st.st_rdev));
	else if (S_ISCHR(st.st_mode))
		snprintf(path, len, "/sys/dev/char/%u:%u",
			 major(st.st_rdev), minor(st.st_rdev));
	else
		return -ENODEV;
	return 0;
}

int device_find(struct device *d, const char *node)
{
	char path[PATH_MAX], link[PATH_MAX + sizeof("/driver")];
	int error = node_path(node, link, sizeof(link));

	if (error)
		return error;
	if (!realpath(link, path))
		return -errno;
	snprintf(d->name, sizeof(d->name), "%s", strrchr(path, '/') + 1);
	snprintf(link, sizeof(link), "%s/driver", path);
	return realpath(link, d->driver) ? 0 : -errno;
}

static int driver_write(const struct device *d, const char *file)
{
	char path[PATH_MAX + NAME_MAX];
	int fd, error = 0;

	snprintf(path, sizeof(path), "%s/%s", d->driver, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, d->name, strlen(d->name)) < 0)
		error = -errno;
	close(fd);
	return error;
}

int device_unbind(const struct device *d)
{
	return driver_write(d, "unbind");
}

int device_bind(const struct device *d)
{
	return driver_write(d, "bind");
}

bool device_bound(const struct device *d)
{
	char path[PATH_MAX + NAME_MAX + 2];

	snprintf(path, sizeof(path), "%s/%s", d->driver, d->name);
	return !access(path, F_OK);
}
