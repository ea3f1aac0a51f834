# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab test --mm: the kernel's own mm selftests, each kernel's own in a guest of
# that kernel, and a table that compares what they said.
#
# Both kernels are the debug ones: what they find wrong with themselves counts as
# a failure of the test that ran then.
#
# The verdicts are kept in build/logs/mm-K.verdicts, a case a line: test, run,
# case, verdict, words, separated by tabs. A case is a TAP line of a program, by
# its number. Besides there can be
#   end     of a run, unless its cases tell already: the verdict is that of a
#           program without TAP, or a failure that no case has reported
#   kernel  a failure: the kernel splatted during the test
# mm-K.log has everything the programs said.

# Three regions, one each for ext4, XFS and device-dax, and between them RAM. The
# last of it is kept from the kernel, to be a device's own.
readonly MM_PMEM=(--pmem e820:1G --pmem e820:1G --pmem e820:1G)
readonly MM_SPM=(0x240000000 0x250000000)
readonly MM_LIMIT=5400

# --- programs -----------------------------------------------------------------
# mm_copy K DIR: what they are made of; the build writes beside its sources.
mm_copy()
{
	mkdir -p "$2"
	(cd "$(source_dir "$1")" && rsync -aR --delete mm/gup_test.h lib/test_hmm_uapi.h \
		include/vdso scripts tools/{include,arch,scripts} \
		tools/testing/selftests/{mm,x86} tools/testing/selftests/*.{h,mk} "$2/")
}

# mm_make K PROGRAM...: in $TREES/mm/K/bin.
mm_make()
{
	local k=$1 dir=$TREES/mm/$1
	shift
	mm_copy "$k" "$dir/src"
	make -s -C "$(source_dir "$k")" O="$dir/headers" headers
	rm -rf "${dir:?}/bin"
	mkdir -p "$dir/bin"
	make -C "$dir/src/tools/testing/selftests/mm" -j "$(nproc)" OUTPUT="$dir/bin" \
		KHDR_INCLUDES="-isystem $dir/headers/usr/include" "${@/#/$dir/bin/}"
}

# --- verdicts -----------------------------------------------------------------
# mm_verdicts K: of the guest's output, the verdicts; a line for the user as each
# test has ended.
mm_verdicts()
{
	awk -v kernel="$1" '
	function verdict(key, is, words) {
		gsub(/\t/, " ", words)
		print test "\t" run "\t" key "\t" is "\t" words
		count[is]++
	}
	function end_run(status) {
		if (!run)
			return
		if (status == "")
			verdict("end", "fail", "the guest ended in it")
		else if (status == 124 || status == 137)
			verdict("end", "fail", "time-out")
		else if (cases < planned)
			verdict("end", "fail", cases " of " planned " cases reported, " \
				(bail ? bail : "exit status " status))
		else if (!cases)
			verdict("end", status == 0 && !bail ? "pass" : status == 4 ? "skip" : "fail",
				"exit status " status)
		else if (status != 0 && status != 4 && !failed)
			verdict("end", "fail", bail ? bail : "exit status " status)
		run = ""
	}
	function end_test() {
		if (test)
			printf "lab: %s: %s: %d passed, %d failed, %d skipped\n", kernel, test,
				count["pass"], count["fail"], count["skip"] >"/dev/stderr"
		delete count
	}
	/^lab-mm start / {
		end_run("")
		if ($3 != test) {
			end_test()
			test = $3
		}
		run = substr($0, length("lab-mm start ") + length(test) + 2)
		cases = failed = truncated = 0
		planned = scene = bail = ""
		next
	}
	/^lab-mm end / { end_run($3); next }
	!run { next }
	/^1\.\.[0-9]+/ { planned = substr($1, 4) + 0 }
	/^Bail out!/ { bail = $0 }
	/^# \[RUN\]/ { scene = substr($0, 9) }
	/^#.*[Tt]runcated \(size/ { truncated = 1 }
	/^(not )?ok [0-9]+/ {
		number = $1 == "ok" ? $2 : $3
		words = substr($0, index($0, number) + length(number) + 1)
		is = $1 == "not" || words ~ /# (XFAIL|XPASS|ERROR|TODO)/ ? "fail" : words ~ /# SKIP/ ? "skip" : "pass"
		if (is == "pass" && truncated) {
			is = "fail"
			words = words ", truncated"
		}
		cases++
		failed += is == "fail"
		verdict(number, is, (scene ? scene ": " : "") words)
	}
	END { end_run(""); end_test() }'
}

# mm_splats LOG: of the kernel log, a verdict for every splat, of the test that
# ran then, or of "-".
mm_splats()
{
	grep -aE "$SPLATS|lab-mm: " "$1" | tr -d '\r' | awk -v OFS='\t' '
	/lab-mm: / { test = $NF == "done" ? "-" : $NF; next }
	{
		sub(/^\[ *[0-9.]+\] /, "")
		gsub(/\t/, " ")
		print test ? test : "-", "", "kernel", "fail", $0
	}' || true
}

# mm_tests: what is to run, and the programs it takes.
mm_tests()
{
	local list
	list=$("$TOP/tools/lab/guest/mm-selftests.sh" -l "$TEST_NAME")
	[ -n "$list" ] || die "no mm selftest has '$TEST_NAME' in its name"
	mapfile -t MM_TESTS < <(cut -d ' ' -f 1 <<<"$list" | uniq)
	mapfile -t MM_PROGRAMS < <(cut -d ' ' -f 2 <<<"$list" | sort -u)
}

# mm_run K: the status is guest_boot's.
mm_run()
{
	local lines filter rc=0 log=$LOGS/mm-$1
	exec {lines}> >(tee "$log.log" | mm_verdicts "$1" >"$log.verdicts")
	filter=$!
	guest_boot "$1" debug "${MM_PMEM[@]}" --share "$TREES/mm/$1/bin" --timeout $MM_LIMIT \
		--append "memmap=512M\$${MM_SPM[0]}" -- \
		/lab/mm-selftests.sh "${MM_SPM[@]}" "$TEST_NAME" >&"$lines" || rc=$?
	exec {lines}>&-
	wait "$filter"
	mm_splats "$GUEST_LOG" >>"$log.verdicts"
	return $rc
}

# --- comparison ---------------------------------------------------------------
# mm_join BASE SERIES: of two files of verdicts, a line a case: what became of it,
# test, run, case, both verdicts, words. It is bad when that has capitals.
mm_join()
{
	awk -F '\t' -v OFS='\t' '
	{
		key = $1 FS $2 FS $3
		if (!((key, "base") in verdict) && !((key, "series") in verdict))
			keys[++n] = key
		if (verdict[key, side] != "fail") {
			verdict[key, side] = $4
			words[key, side] = $5
		}
		ran[side, $1] = ran[side, $1, $2] = 1
	}
	# end and kernel are there only when there is something to say.
	function became(b, s, test, run, name) {
		if (b == s)
			return b == "fail" ? "fails on both" : b == "skip" ? "skipped" : "passed"
		if (b == "")
			return s == "fail" ? "REGRESSION" : ("base", test, run) in ran ? "new" : "ONE SIDE"
		if (s == "" && !(("series", test, run) in ran) && !(run == "" && ("series", test) in ran))
			return "ONE SIDE"
		if (s == "")
			return b == "fail" && name !~ /^[0-9]/ ? "fixed" : "REGRESSION"
		if (b == "pass" || s == "fail")
			return "REGRESSION"
		return s == "pass" ? "fixed" : "differs"
	}
	END {
		for (i = 1; i <= n; i++) {
			key = keys[i]
			split(key, part, FS)
			b = verdict[key, "base"]
			s = verdict[key, "series"]
			print became(b, s, part[1], part[2], part[3]), key, b == "" ? "-" : b,
				s == "" ? "-" : s, words[key, s == "" || s == "pass" ? "base" : "series"]
		}
	}' side=base "$1" side=series "$2"
}

# mm_table TEST...: of joined lines, the table. Fails when one of them is bad, a
# test did not run, or none did.
mm_table()
{
	awk -F '\t' -v tests="$*" '
	function row(name, t, note) {
		printf "%-24s %6d %5d %5d   %6d %5d %5d  %s\n", name,
			sum[t, "base", "pass"], sum[t, "base", "fail"], sum[t, "base", "skip"],
			sum[t, "series", "pass"], sum[t, "series", "fail"], sum[t, "series", "skip"], note
	}
	function add(t) {
		sum[t, "base", $5]++
		sum[t, "series", $6]++
		count[t, $1]++
	}
	{ add($2); add("all"); seen[$2] = 1 }
	$1 ~ /^[A-Z]/ { bad++ }
	END {
		printf "%-24s %6s %5s %5s   %6s %5s %5s\n", "", "base", "", "", "series", "", ""
		printf "%-24s %6s %5s %5s   %6s %5s %5s\n", "mm selftests", "pass", "fail", "skip",
			"pass", "fail", "skip"
		m = split(tests, test, " ")
		test[++m] = "-"
		test[++m] = "all"
		kinds = split("REGRESSION,ONE SIDE,fails on both,fixed,differs,new", kind, ",")
		for (i = 1; i <= m; i++) {
			t = test[i]
			if (t == "-" && !(t in seen))
				continue
			note = ""
			if (t != "all" && !(t in seen)) {
				note = ", DID NOT RUN"
				bad++
			}
			for (j = 1; j <= kinds; j++)
				if (count[t, kind[j]])
					note = note ", " count[t, kind[j]] " " kind[j]
			row(t == "-" ? "(no test running)" : t, t, substr(note, 3))
		}
		exit bad || !sum["all", "base", "pass"] || !sum["all", "series", "pass"]
	}'
}

# mm_report: the table, and what did not pass on both. The same status as
# mm_table's.
mm_report()
{
	local cases=$LOGS/mm.cases rc=0
	mm_join "$LOGS/mm-base.verdicts" "$LOGS/mm-series.verdicts" >"$cases"
	mm_table "${MM_TESTS[@]}" <"$cases" || rc=$?
	awk -F '\t' '/^[A-Z]/ && n++ < 40 {
		printf "%s  %s  %s  %s: %s -> %s  %s\n", $1, $2, $3, $4, $5, $6, $7
	}
	END {
		if (n > 40)
			print "... and " n - 40 " more"
	}' "$cases"
	say "every case: $cases; what the programs said: $LOGS/mm-{base,series}.log"
	return $rc
}

test_mm()
{
	local k rc=0
	local -A status=()
	mm_tests
	for k in base series; do
		build_kernel "$k" debug
		step "build the mm selftests of $k" mm_make "$k" "${MM_PROGRAMS[@]}"
	done
	for k in base series; do
		status[$k]=0
		mm_run "$k" || status[$k]=$?
	done
	mm_report || rc=$?
	[ "${status[base]}" = 0 ] || say "base: the guest's status is ${status[base]}"
	# Splats are verdicts, which the table compares.
	case ${status[series]} in
	0|"$EXIT_SPLAT") ;;
	*) rc=${status[series]} ;;
	esac
	return "$rc"
}
