/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_SHELF_H
#define SELFTESTS_DAX_SHELF_H

#include "crowd.h"

/*
 * Pins that workers leave behind. Who waits for a pin must not be who is to drop
 * it, nor be waited for by that one: keepers do nothing else.
 */

/* For the pins of a team; before its crowd's first round. 0 or -errno. */
int shelf_open(void);

/*
 * Pin what is mapped at @map + @page, as vmsplice(2) does, and leave it for the
 * crowd's next @hold acts, or until the crowd stands still. What is there then
 * must be the file's that @w works on. 0 or -errno; -EAGAIN if the shelf is full.
 */
int shelf_pin(struct worker *w, char *map, off_t page, size_t len,
	      unsigned int hold);

/* Keeps a team's shelf until all but the keepers have done a round's work. */
extern const struct job job_keep;

/* Until this time, by now_ms(), keepers keep what they have. */
extern long *shelf_held;

#endif
