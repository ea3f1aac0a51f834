#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# selftests.sh [NAME]: the kselftests installed in /host, then what KUnit suites
# said when they were loaded; only tests whose names contain NAME. Every test
# ends in a line "# ok N ..." or "# not ok N ...".
set -u
name=${1-}

if [ -n "$name" ]; then
	export KSELFTEST_RUN_FSDAX_SH_ARGS="-k $name"
	export KSELFTEST_RUN_DEVDAX_SH_ARGS="-k $name"
	export KSELFTEST_RUN_STRESS_SH_ARGS="-k $name"
fi
cd /host && ./run_kselftest.sh -c dax

# KUnit suites run when their module is loaded. One that crashes is found by what
# the kernel says about it.
modprobe dax_kunit && compgen -G '/sys/kernel/debug/kunit/dax_*/results' >/dev/null ||
	echo "# not ok 1 kunit dax_kunit: cannot run"

for results in /sys/kernel/debug/kunit/*/results; do
	[ -e "$results" ] || continue
	suite=${results%/results}
	awk -v suite="${suite##*/}" -v name="$name" '
	/^    (not )?ok / {
		at = match($0, /[0-9]+ /) + RLENGTH
		test = "kunit " suite "." substr($0, at)
		if (index(test, name))
			print "# " substr($0, 5, at - 5) test
	}' "$results"
done
