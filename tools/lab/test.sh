# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab test: every test that the series brings, on series debug, in one boot; on
# series coverage with --coverage. The mm selftests of the kernel tree, which
# --mm runs instead, are mm.sh's.

# Room for a 1 GiB device-dax mapping, whose alignment costs up to another GiB;
# and a region of device-dax that can be divided.
readonly TEST_PMEM=(--pmem e820:2G --pmem soft:2G)
# Two memory nodes, for pages that are not to move from one to the other.
readonly TEST_APPEND=numa=fake=2
readonly TEST_LIMIT=4800

# install_selftests DEST: the series' own tests, built apart from its tree.
install_selftests()
{
	local tests
	tests=$(source_dir series)/tools/testing/selftests
	rm -rf "$1" "$1.obj"
	mkdir -p "$1.obj"
	make -C "$tests" O="$1.obj" TARGETS=dax FORCE_TARGETS=1 \
		INSTALL_PATH="$1" install
}

need_selftests()
{
	[ -d "$(source_dir series)/tools/testing/selftests/dax" ] ||
		die "the series has no tools/testing/selftests/dax"
	SELFTESTS=$TREES/selftests
	step "build the selftests" install_selftests "$SELFTESTS"
}

# test_lines: of the output of the tests, the verdicts and what failures say.
test_lines()
{
	awk '/^# (not )?ok [0-9]/ || /^not ok / || /^# # [^ ]*\.c:[0-9]+:/ {
		sub(/^(# )+/, "")
		print
		fflush()
	}'
}

# test_counts FILE: passed, failed and skipped, from TAP nested in TAP. A test
# that was planned but never reported has failed, and so has a program that
# ends badly without saying which test did.
test_counts()
{
	awk '
	function end_plan() {
		if (seen < planned) {
			failed += planned - seen
			bad++
		}
		reported += seen
		planned = seen = 0
	}
	/^# 1\.\.[0-9]/ { end_plan(); planned = substr($2, 4) }
	/^# (not )?ok [0-9]/ {
		seen++
		if (/^# not/) {
			failed++
			bad++
		} else if (/ # SKIP/)
			skipped++
		else
			passed++
	}
	/^# 1\.\.0 # SKIP no test of this name/ { unwanted = 1 }
	/^(not )?ok / {
		end_plan()
		if (/^ok .* # SKIP/ && !reported && !unwanted)
			skipped++
		if (/^not/ && !bad)
			failed++
		reported = bad = unwanted = 0
	}
	END {
		end_plan()
		print passed + 0, failed + 0, skipped + 0
	}' "$1"
}

# run_tests: in a guest; the whole output goes to the file TEST_LOG.
run_tests()
{
	local -a command=(/lab/selftests.sh "$TEST_NAME")
	local lines filter rc=0
	[ "$TEST_F" != coverage ] ||
		command=(/lab/coverage.sh "${COVERED%.c}.gcda" "${command[@]}")
	TEST_LOG=$LOGS/test.log
	exec {lines}> >(tee "$TEST_LOG" | test_lines)
	filter=$!
	guest_boot series "$TEST_F" "${TEST_PMEM[@]}" --share "$SELFTESTS" \
		--append "$TEST_APPEND" --timeout "$TEST_LIMIT" \
		-- "${command[@]}" >&"$lines" || rc=$?
	exec {lines}>&-
	wait "$filter"
	return $rc
}

parse_test()
{
	TEST_F=debug TEST_NAME='' TEST_MM=''
	while [ $# -gt 0 ]; do
		case $1 in
		--coverage) TEST_F=coverage ;;
		--mm) TEST_MM=y ;;
		-k)	[[ ${2-} == [a-zA-Z0-9_]*([a-zA-Z0-9_.-]) ]] ||
				die "-k '${2-}': want part of a test's name"
			TEST_NAME=$2
			shift ;;
		*) die "usage: lab test [-k NAME] [--coverage | --mm]" ;;
		esac
		shift
	done
	[ -z "$TEST_MM" ] || [ "$TEST_F" = debug ] || die "--coverage is not for --mm"
}

cmd_test()
{
	local passed failed skipped rc=0
	parse_test "$@"
	need_packages
	[ "$TEST_F" != coverage ] || need_coverage
	need_image
	[ -z "$TEST_MM" ] || { test_mm; return; }
	build_kernel series "$TEST_F"
	need_selftests
	run_tests || rc=$?
	say "everything the tests said: $TEST_LOG"
	read -r passed failed skipped < <(test_counts "$TEST_LOG")
	if [ $((passed + failed)) = 0 ]; then
		say "no test ran"
		rc=1
	fi
	[ "$TEST_F" != coverage ] || report_coverage "$TEST_NAME" || rc=$((rc ? rc : 1))
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ] || rc=1
	return $rc
}
