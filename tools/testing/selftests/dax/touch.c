// SPDX-License-Identifier: GPL-2.0
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

#include "touch.h"

static __thread sigjmp_buf bus_error;

/* Of <asm-generic/siginfo.h>, where libc does not have it. */
#ifndef BUS_MCEERR_AO
#define BUS_MCEERR_AO 5
#endif

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (info->si_code == BUS_MCEERR_AO)	/* not for what is done now */
		return;
	if (info->si_code != BUS_ADRERR)
		abort();
	siglongjmp(bus_error, 1);
}

static void catch_sigbus(struct sigaction *before)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGBUS, &action, before);
}

static bool load(const char *at, char *byte)
{
	if (sigsetjmp(bus_error, 0))
		return false;
	*byte = __atomic_load_n(at, __ATOMIC_RELAXED);
	return true;
}

static bool store(char *at, char byte)
{
	if (sigsetjmp(bus_error, 0))
		return false;
	__atomic_store_n(at, byte, __ATOMIC_RELAXED);
	return true;
}

bool touch_read(const char *at, char *byte)
{
	struct sigaction before;
	bool touched;

	catch_sigbus(&before);
	touched = load(at, byte);
	sigaction(SIGBUS, &before, NULL);
	return touched;
}

bool touch_write(char *at, char byte)
{
	struct sigaction before;
	bool touched;

	catch_sigbus(&before);
	touched = store(at, byte);
	sigaction(SIGBUS, &before, NULL);
	return touched;
}

struct census touch_all(const char *map, size_t size, size_t step, char kept)
{
	struct census c = { 0 };
	struct sigaction before;
	char byte;

	catch_sigbus(&before);
	for (size_t at = 0; at < size; at += step) {
		c.pages++;
		if (!load(map + at, &byte))
			c.gone++;
		else if (byte == kept)
			c.kept++;
		else
			c.other++;
	}
	sigaction(SIGBUS, &before, NULL);
	return c;
}

size_t touch_writable(char *map, size_t size, size_t step, char byte)
{
	struct sigaction before;
	size_t writable = 0;

	catch_sigbus(&before);
	for (size_t at = 0; at < size; at += step)
		writable += store(map + at, byte);
	sigaction(SIGBUS, &before, NULL);
	return writable;
}
