/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_PROVIDED_H
#define SELFTESTS_DAX_PROVIDED_H

#include "../kselftest_harness.h"
#include "provider.h"

/* In the setup of a fixture, which ends there unless something was @made. */
static inline bool provided(struct __test_metadata *_metadata,
			    enum provision made, const char *why)
{
	if (made == LACKING)
		SKIP(return false, "%s", why);
	if (made == BROKEN)
		ASSERT_STREQ("", why);
	return true;
}

#endif
