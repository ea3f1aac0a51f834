/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_INJECT_H
#define SELFTESTS_DAX_INJECT_H

#include <stdbool.h>

/*
 * Failing allocations. A thread says which one from now on it wants to fail,
 * which makes failures repeatable, and spares everybody else.
 */
#define INJECT_SETTINGS 6

struct inject_settings {
	char was[INJECT_SETTINGS][16];
};

/*
 * Let any allocation be one that can fail. 0 or -errno; -ENOENT if the kernel
 * does not inject failures.
 */
int inject_setup(struct inject_settings *before);
void inject_restore(const struct inject_settings *before);

/* Of the calling thread; what was armed says whether an allocation failed. */
void inject_arm(unsigned int nth);
bool inject_disarm(void);

/* What must not fail goes in between. */
unsigned int inject_pause(void);
void inject_resume(unsigned int nth);

#endif
