// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <linux/types.h>

#include "lend.h"
#include "provider.h"
#include "ram.h"

/* A block device, and what belongs to it, can show up after the tool is done. */
#define NODE_WAIT_MS 10000

static int node_wait(const char *node)
{
	for (int ms = 0; ms < NODE_WAIT_MS; ms += 10) {
		if (!access(node, F_OK))
			return 0;
		usleep(10 * 1000);
	}
	return -ENODEV;
}

int device_make_block(const char *map)
{
	const char *namespace = getenv("DAX_NAMESPACE");
	const char * const raw[] = { "ndctl", "create-namespace", "-f", "-e",
		namespace, "-m", "raw", NULL };
	const char * const labelled[] = { "ndctl", "create-namespace", "-f",
		"-e", namespace, "-m", "fsdax", "-M", map, NULL };

	if (!namespace)
		return -ENOENT;
	if (run_tool(strcmp(map, "raw") ? labelled : raw))
		return -EIO;
	return node_wait(getenv("DAX_DEV"));
}

/* Nothing that a file holds. */
static __u64 filling(size_t i)
{
	return ~(__u64)i;
}

/* In a process of its own, which gives the memory back by its end. */
static int memory_use(size_t size)
{
	__u64 *memory;

	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	madvise(memory, size, MADV_HUGEPAGE);
	for (size_t i = 0; i < size / sizeof(*memory); i++)
		memory[i] = filling(i);
	for (size_t i = 0; i < size / sizeof(*memory); i++)
		if (memory[i] != filling(i))
			return 2;
	return 0;
}

static int memory_use_apart(size_t size)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(memory_use(size));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	if (!WIFEXITED(status))
		return -EINTR;
	switch (WEXITSTATUS(status)) {
	case 0:
		return 0;
	case 1:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

int device_lend(const char *node, size_t use)
{
	char why[REASON_MAX] = "";
	struct ram ram = { 0 };
	int error, back;

	if (ram_up(&ram, node, why) != PROVIDED)
		return -EIO;
	error = memory_use_apart(use);
	back = ram_down(&ram);
	return error ? error : back;
}
