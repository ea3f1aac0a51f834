#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# selftests.sh [NAME]: the kselftests installed in /host, then the KUnit suites;
# only tests whose names contain NAME. Every test ends in a line "# ok N ..." or
# "# not ok N ...".
set -u
name=${1-}

if [ -n "$name" ]; then
	for program in FSDAX DEVDAX STRESS ACCESS MAPPING POISON REMOVAL REGION; do
		export "KSELFTEST_RUN_${program}_SH_ARGS=-k $name"
	done
fi
cd /host && ./run_kselftest.sh -c dax

# kunit_results SUITE: its cases, and what failed in them; a failure of the suite
# itself if it failed with no case failing or did not come to its end.
kunit_results()
{
	local results=/sys/kernel/debug/kunit/$1/results
	if [ ! -e "$results" ]; then
		echo "# not ok 0 kunit $1: did not run"
		return
	fi
	awk -v suite="$1" -v name="$name" '
	/^    1\.\.[0-9]/ { planned = substr($1, 4) }
	/^ +# [^ ]+: (EXPECTATION|ASSERTION) FAILED at / && index("kunit " suite "." $2, name) {
		print "# # " $NF ": " suite "." substr($2, 1, length($2) - 1)
	}
	/^    (not )?ok / {
		at = match($0, /[0-9]+ /) + RLENGTH
		test = "kunit " suite "." substr($0, at)
		seen++
		bad += /^    not/
		if (index(test, name))
			print "# " substr($0, 5, at - 5) test
	}
	/^ok / { ended = 1 }
	/^not ok / { ended = bad }
	END {
		if (!ended || seen < planned)
			print "# not ok 0 kunit " suite ": did not end well"
	}' "$results"
}

# kunit MODULE SUITE...: what is not loaded has no results, which is not for want
# of tests.
kunit()
{
	local suite
	modprobe "$1" || echo "# not ok 0 kunit $1: cannot be loaded"
	for suite in "${@:2}"; do
		kunit_results "$suite"
	done
}
kunit dax_kunit dax_entry dax_association dax_layout dax_writeback
kunit memremap_kunit zone_device
