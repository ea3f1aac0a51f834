# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab test --coverage: how much of one source file the tests reach, as gcov
# counts it in the guest's kernel. It counts in that file alone, so that the
# rest is as in the debug kernel, and from the start of the kernel, so that
# tests which run during boot count too.

readonly COVERED=drivers/dax/mapping.c
readonly COVERED_LEAST=90	# % of its lines, by all tests together

# Branches on such lines do not count: nothing should take their other side.
readonly ASSERTION='.*(WARN|BUG|lockdep_assert)\w*\('

# profile_arg: for make. Files that have the same name in other directories
# stay as they are.
profile_arg()
{
	# shellcheck disable=SC2016 # make's
	printf 'GCOV_PROFILE_%s=$(if $(filter %s,$(obj)),y)\n' \
		"$(basename "${COVERED%.c}.o")" "$(dirname "$COVERED")"
}

need_coverage()
{
	need_tree series
	[ -e "$(source_dir series)/$COVERED" ] || die "the series has no $COVERED"
	need_tool gcovr gcovr
}

# source_counts: of gcov's output, what is about COVERED and not its headers.
source_counts()
{
	awk -v source="Source:../$COVERED" '
	/^ *-: *0:Source:/ { wanted = substr($0, index($0, "Source:")) == source }
	wanted'
}

# read_coverage OUT: what the guest counted, as OUT.json, OUT.txt and OUT.gcov.
# To gcov, counts of another build are no error but counts of 0: whatever it
# complains of is one here.
read_coverage()
{
	local src obj data=$1.data
	src=$(source_dir series)
	obj=$src/.lab-coverage
	mkdir -p "$data" &&
	cp "$obj/${COVERED%.c}.gcno" "$data/covered.gcno" &&
	cp "$CONTROL/gcda" "$data/covered.gcda" &&
	cd "$obj" || return
	gcov -t -b -c "$data/covered.gcda" 2>"$data/errors" | source_counts >"$1.gcov"
	cat "$data/errors"
	[ ! -s "$data/errors" ] && [ -s "$1.gcov" ] || return
	gcovr --root "$src" --filter "$src/$COVERED\$" --object-directory "$obj" \
		--exclude-branches-by-pattern "$ASSERTION" \
		--json-summary "$1.json" --txt "$1.txt" "$data"
}

# report_coverage NAME: of the tests that NAME selects. Only all of them have to
# reach COVERED_LEAST.
report_coverage()
{
	local out
	out=$TREES/coverage/$(basename "$COVERED")
	rm -rf "$TREES/coverage"
	if [ ! -s "$CONTROL/gcda" ]; then
		say "the guest left no coverage of $COVERED"
		return 1
	fi
	(step "read the coverage" read_coverage "$out") || return
	say "lines that no test reached: $out.txt; all with their counts: $out.gcov"
	jq -r --arg file "$COVERED" '.files[] |
		"\($file): \(.line_percent) % of \(.line_total) lines, " +
		"\(.branch_percent) % of \(.branch_total) branches"' "$out.json"
	[ -n "$1" ] ||
	jq -e "100 * .line_covered >= $COVERED_LEAST * .line_total" "$out.json" >/dev/null || {
		say "the tests reach fewer than $COVERED_LEAST % of the lines of $COVERED"
		return 1
	}
}
