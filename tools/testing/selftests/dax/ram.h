/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_RAM_H
#define SELFTESTS_DAX_RAM_H

#include <stddef.h>
#include <stdint.h>

#include "mapped.h"
#include "provider.h"

/* A device-dax device whose memory the kernel uses as RAM for a while. */
struct ram {
	char path[64];	/* of the device-dax node; empty if it is not RAM */
	int node;	/* the memory node that the memory becomes part of */
	size_t size;
};

/* Of the device at @path, which is RAM. */
void ram_find(struct ram *ram, const char *path);

/* Make the device at @path RAM, by daxctl. */
enum provision ram_up(struct ram *ram, const char *path, char *why);

/* Make it a device-dax device again. 0 or -errno. */
int ram_down(const struct ram *ram);

/*
 * Another process that has all the memory that it can get from @ram, every byte
 * of it TENANT. tenant_leave() returns 0 if they all were to the end.
 */
#define TENANT 'T'

int tenant_enter(struct child *tenant, struct ram *ram);
int tenant_leave(struct child *tenant);

/* How many of these page frames are memory of a process. */
size_t frames_of_processes(const uint64_t *pfns, size_t n);

#endif
