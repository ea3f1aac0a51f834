/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_DEVICE_H
#define SELFTESTS_DAX_DEVICE_H

#include <limits.h>
#include <stdbool.h>

/*
 * What a driver is bound to. The names have to be remembered: without a driver
 * there is no node any more that leads to them.
 */
struct device {
	char name[NAME_MAX + 1];	/* on its bus */
	char driver[PATH_MAX];		/* the driver's directory in sysfs */
};

/* The device behind a pmem block device or a device-dax node. 0 or -errno. */
int device_find(struct device *d, const char *node);

/* 0 or -errno. Unbinding waits for whoever has pages of the device pinned. */
int device_unbind(const struct device *d);
int device_bind(const struct device *d);
bool device_bound(const struct device *d);

#endif
