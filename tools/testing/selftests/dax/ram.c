// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/kernel-page-flags.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../kselftest.h"
#include "ram.h"
#include "view.h"

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

static long attribute(const char *node, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s/%s",
		 base_name(node), name);
	return view_number(path);
}

void ram_find(struct ram *ram, const char *path)
{
	ram->node = attribute(path, "target_node");
	ram->size = attribute(path, "size");
	snprintf(ram->path, sizeof(ram->path), "%s", path);
}

enum provision ram_up(struct ram *ram, const char *path, char *why)
{
	const char * const argv[] = { "daxctl", "reconfigure-device", "-m",
				      "system-ram", base_name(path), NULL };
	int status;

	status = run_tool(argv);
	if (status == TOOL_MISSING)
		return say(LACKING, why, "tool not found", argv[0]);
	if (status && access("/sys/bus/dax/drivers/kmem", F_OK))
		return say(LACKING, why, "kernel without", "kmem");
	if (status)
		return say(BROKEN, why, "daxctl makes no RAM of", path);
	ram_find(ram, path);
	return PROVIDED;
}

/* A page that is on its way can keep memory from being taken offline. */
#define ATTEMPTS 5

int ram_down(const struct ram *ram)
{
	const char * const argv[] = { "daxctl", "reconfigure-device", "-f",
				      "-m", "devdax", base_name(ram->path),
				      NULL };

	for (int i = 0; i < ATTEMPTS; i++)
		if (!run_tool(argv))
			return 0;
	return -EBUSY;
}

#define STEP (32UL << 20)
#define STEPS_MAX 1024

/* What the kernel is left for its own use. */
#define LEFT_FREE (128UL << 20)

static char *steps[STEPS_MAX];
static unsigned int steps_taken;

static size_t node_free(int node)
{
	char path[PATH_MAX], line[256];
	size_t kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo",
		 node);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (!kb && fgets(line, sizeof(line), f))
		sscanf(line, "Node %*d MemFree: %zu kB", &kb);
	fclose(f);
	return kb << 10;
}

/* If there is too little memory after all, it is this process that has to go. */
static void volunteer(void)
{
	view_set_number("/proc/self/oom_score_adj", 1000);
}

static int bind_to(int node)
{
	unsigned long nodes[16] = { 0 };
	unsigned int bits = 8 * sizeof(nodes[0]);

	if (node < 0 || node / bits >= ARRAY_SIZE(nodes))
		return -EINVAL;
	nodes[node / bits] = 1UL << node % bits;
	return syscall(SYS_set_mempolicy, MPOL_BIND, nodes,
		       ARRAY_SIZE(nodes) * bits) ? -errno : 0;
}

static int tenant_prepare(void *arg)
{
	const struct ram *ram = arg;
	char *at;

	volunteer();
	if (bind_to(ram->node))
		return 1;
	while (steps_taken < STEPS_MAX && steps_taken * STEP < ram->size &&
	       node_free(ram->node) > LEFT_FREE + STEP) {
		at = mmap(NULL, STEP, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return 2;
		memset(at, TENANT, STEP);
		steps[steps_taken++] = at;
	}
	return steps_taken ? 0 : 3;
}

/* All bytes are what the first one is, and this is a tenant's. */
static bool step_kept(const char *at)
{
	return *at == TENANT && !memcmp(at, at + 1, STEP - 1);
}

static int tenant_finish(void *arg)
{
	int bad = 0;

	for (unsigned int i = 0; i < steps_taken; i++)
		bad |= !step_kept(steps[i]);
	return bad;
}

int tenant_enter(struct child *tenant, struct ram *ram)
{
	return child_start(tenant, tenant_prepare, tenant_finish, ram);
}

int tenant_leave(struct child *tenant)
{
	return child_end(tenant);
}

size_t frames_of_processes(const uint64_t *pfns, size_t n)
{
	size_t found = 0;
	uint64_t flags;

	for (size_t i = 0; i < n; i++)
		found += !view_frame("kpageflags", pfns[i], &flags) &&
			 flags >> KPF_ANON & 1;
	return found;
}
