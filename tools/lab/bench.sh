# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab bench: what pages cost that are pinned, faulted in and unmapped, on base
# and on series, in guest instructions: a nanosecond is one under --icount. The
# figures go to bench.csv, which the tables, the chart and the targets are made
# from.

readonly BENCH_PMEM=e820:2G	# half of it is for the alignment of a 1G mapping
readonly BENCH_LIMIT=1800
readonly BENCH_REPEATS=5	# the median counts

# Repeated figures differ by up to 0.3 %, and each side of a comparison does.
readonly BENCH_NOISE=1.006
readonly BENCH_FAULTS=1.05

# build_bench: the header says what the guest's /sys/kernel/debug/gup_test takes.
build_bench()
{
	mkdir -p "$TREES/bench"
	gcc -O2 -Wall -Wextra -Werror -I "$(source_dir base)" \
		-o "$TREES/bench/bench" "$TOP/tools/lab/bench/bench.c"
}

# run_bench K: all repeats of all figures, in TREES/bench/K.
run_bench()
{
	local start=$SECONDS rc=0
	guest_boot "$1" release --icount --pmem "$BENCH_PMEM" --share "$TREES/bench" \
		--timeout "$BENCH_LIMIT" -- /lab/bench.sh "$BENCH_REPEATS" >&2 || rc=$?
	[ $rc = 0 ] || die "measure $1: failed after $(elapsed "$start")"
	cp "$CONTROL/bench" "$TREES/bench/$1"
	say "measure $1: $(elapsed "$start")"
}

# write_csv: the medians of both kernels.
write_csv()
{
	awk -v repeats="$BENCH_REPEATS" '
	function median(side, key, i, j, v) {
		for (i = 2; i <= repeats; i++) {
			v = cost[side, key, i]
			for (j = i - 1; j && cost[side, key, j] > v; j--)
				cost[side, key, j + 1] = cost[side, key, j]
			cost[side, key, j + 1] = v
		}
		return cost[side, key, int((repeats + 1) / 2)]
	}
	function unit(operation) {
		if (operation ~ /^(read|write)-/)
			return "fault"
		if (operation == "munmap")
			return "entry"
		return operation == "bind" ? "GiB" : "page"
	}
	FNR == 1 { side++ }
	{
		key = $1 "," $2
		if (!known[key]++) {
			keys[++count] = key
			per[key] = unit($2)
		}
		cost[side, key, ++seen[side, key]] = $3 + 0
	}
	END {
		print "memory,operation,per,base,series"
		for (i = 1; i <= count; i++) {
			key = keys[i]
			if (seen[1, key] != repeats || seen[2, key] != repeats) {
				print key ": not measured " repeats " times on each kernel" >"/dev/stderr"
				exit 1
			}
			printf "%s,%s,%.2f,%.2f\n", key, per[key], median(1, key), median(2, key)
		}
	}' "$TREES/bench/base" "$TREES/bench/series" >"$TREES/bench/bench.csv"
}

# bench_table TITLE OPERATION...: a row for each kind of memory that has one of them.
bench_table()
{
	awk -F, -v title="$1" -v list="${*:2}" '
	function number(x) {
		return sprintf(x < 1000 ? "%9.1f" : "%9.0f", x)
	}
	BEGIN {
		columns = split(list, operation, " ")
		for (i = 1; i <= columns; i++) {
			column[operation[i]] = i
			over = over sprintf("%20s", operation[i])
			under = under sprintf("%10s %9s", "base", "series")
		}
	}
	$2 in column {
		if (!known[$1]++)
			kinds[++rows] = $1
		cell[$1, column[$2]] = number($4) " " number($5)
	}
	END {
		print title
		printf "%-9s%s\n%-9s%s\n", "", over, "", under
		for (row = 1; row <= rows; row++) {
			printf "%-9s", kinds[row]
			for (i = 1; i <= columns; i++)
				printf "%20s", cell[kinds[row], i]
			print ""
		}
		print ""
	}' "$TREES/bench/bench.csv"
}

# print_tables: in instructions. gup_test drops all pages at once, however many
# it took a call.
print_tables()
{
	bench_table "get_user_pages_fast() with 1, 8 and 512 pages a call, put_page(); per 4 KiB page" \
		get-1 get-8 get-512 put
	bench_table "pin_user_pages_fast() with 1, 8 and 512 pages a call, unpin_user_pages(); per 4 KiB page" \
		pin-1 pin-8 pin-512 unpin
	bench_table "faults in a fresh mapping, what they look up being absent or present; munmap(2); per entry" \
		read-absent read-present write-absent write-present munmap
	bench_table "memremap_pages(): binding nd_pmem; per GiB" bind
}

# print_targets: fails if one is missed. The worst comparison speaks for a target.
print_targets()
{
	awk -F, -v noise="$BENCH_NOISE" -v slack="$BENCH_FAULTS" '
	# Each of OPERATIONS on KIND, on series, is to cost at most LIMIT times what
	# it costs on SIDE for OTHER.
	function target(kind, operations, limit, side, other, n, i, op, a, b, worst, words) {
		n = split(list[operations], op, " ")
		for (i = 1; i <= n; i++) {
			a = cost["series", kind, op[i]]
			b = cost[side, other, op[i]]
			if (a == "" || b == "") {
				worst = limit + 1
				words = op[i] ": not measured"
				break
			}
			if (a / b > worst) {
				worst = a / b
				words = op[i] ": " a " vs " b
			}
		}
		missed += worst > limit
		printf "target: %s: series %s at most %s times %s %s: %s (%s)\n", operations,
			kind, limit, side, other, (worst > limit ? "MISSED" : "met"), words
	}
	function targets(kinds, operations, limit, side, other, n, i, kind) {
		n = split(kinds, kind, " ")
		for (i = 1; i <= n; i++)
			target(kind[i], operations, limit, side, other ? other : kind[i])
	}
	{
		cost["base", $1, $2] = $4
		cost["series", $1, $2] = $5
	}
	END {
		list["512-page pins"] = "get-512 put pin-512 unpin"
		list["pins"] = "get-1 get-8 pin-1 pin-8 " list["512-page pins"]
		list["faults"] = "read-absent read-present write-absent write-present munmap"
		targets("fsdax-2m devdax-2m devdax-1g", "512-page pins", noise, "series", "anon-2m")
		targets("fsdax-4k", "pins", noise, "series", "file-4k")
		targets("anon-4k anon-2m shmem-4k file-4k", "pins", noise, "base")
		targets("fsdax-4k fsdax-2m devdax-4k devdax-2m devdax-1g", "faults", slack, "base")
		exit missed > 0
	}' "$TREES/bench/bench.csv"
}

# chart_data OPERATION...: their sum for each kind of memory, base and series.
chart_data()
{
	awk -F, -v list="$*" '
	BEGIN {
		n = split(list, operation, " ")
		for (i = 1; i <= n; i++)
			wanted[operation[i]]
	}
	$2 in wanted {
		if (!known[$1]++)
			kinds[++count] = $1
		base[$1] += $4
		series[$1] += $5
	}
	END {
		for (i = 1; i <= count; i++)
			print kinds[i], base[kinds[i]], series[kinds[i]]
	}' "$TREES/bench/bench.csv"
}

draw_chart()
{
	chart_data get-512 put >"$TREES/bench/get"
	chart_data pin-512 unpin >"$TREES/bench/pin"
	gnuplot -e "out='$TREES/bench/bench.svg'; get='$TREES/bench/get'; pin='$TREES/bench/pin'" \
		"$TOP/tools/lab/bench/chart.gp"
}

cmd_bench()
{
	local kernel
	[ $# = 0 ] || die "usage: lab bench"
	need_packages
	need_image
	for kernel in base series; do
		build_kernel "$kernel" release
	done
	step "build the benchmark" build_bench
	for kernel in base series; do
		run_bench "$kernel"
	done
	write_csv
	step "draw the chart" draw_chart
	[ -n "${KSRC-}" ] || install -D -m 644 -t "$TOP/docs" "$TREES"/bench/bench.{csv,svg}
	print_tables
	print_targets
}
