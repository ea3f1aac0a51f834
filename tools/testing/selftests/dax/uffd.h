/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_UFFD_H
#define SELFTESTS_DAX_UFFD_H

#include <stddef.h>
#include <linux/const.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC _BITULL(15)
#endif

/* A userfaultfd with @features, or -errno. */
int uffd_open(__u64 features);

/* 0 or -errno. */
int uffd_register(int fd, char *map, size_t len, __u64 mode);
int uffd_unregister(int fd, char *map, size_t len);
int uffd_protect(int fd, char *at, size_t len);

#endif
