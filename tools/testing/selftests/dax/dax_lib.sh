# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the runners of the DAX tests share. They take from the environment:
#
#   DAX_DEV	a persistent memory block device whose contents may be destroyed;
#		without it, one that holds nothing is looked for

readonly KSFT_SKIP=4

skip()
{
	echo "1..0 # SKIP $*"
	exit "$KSFT_SKIP"
}

require_root()
{
	[ "$(id -u)" -eq 0 ] || skip "must be run as root"
}

require_tool()
{
	command -v "$1" > /dev/null || skip "$1 not found"
}

# A pmem device without a mount, a holder, partitions or a known signature.
is_blank()
{
	local name=${1##*/}

	! grep -q "^$1[p ]" /proc/mounts &&
		[ -z "$(ls "/sys/block/$name/holders")" ] &&
		[ -z "$(compgen -G "/sys/block/$name/${name}p*")" ] &&
		[ -z "$(blkid -p "$1")" ]
}

find_device()
{
	local device

	if [ -n "${DAX_DEV:-}" ]; then
		echo "$DAX_DEV"
		return
	fi
	for device in /dev/pmem*; do
		if [ -b "$device" ] && is_blank "$device"; then
			echo "$device"
			return
		fi
	done
	return 1
}

require_device()
{
	require_tool blkid
	DAX_DEV=$(find_device) || skip "no blank pmem device; set DAX_DEV"
	[ -b "$DAX_DEV" ] || skip "$DAX_DEV is not a block device"
	export DAX_DEV
}

# The namespace below block device $1, whatever claims it.
namespace_of()
{
	local owner

	owner=$(readlink -f "/sys/block/${1##*/}/device") || return 1
	if [ -s "$owner/namespace" ]; then
		cat "$owner/namespace"
	else
		basename "$owner"
	fi
}

# Arguments that select the tests of program $1 whose names contain $2.
matching_tests()
{
	"$1" -l 2>&1 | awk -v part="$2" '
	function flush(v, t, name) {
		for (v = 0; v < variants; v++)
			for (t = 0; t < tests; t++) {
				name = fixture "." variant[v] "." test[t]
				if (index(name, part))
					print "-r", name
			}
		variants = tests = 0
	}
	/^#/ { next }
	/^---/ { flush(); next }
	{
		n = split(substr($0, 22), word, " ")
		if (substr($0, 1, 1) != " ")
			fixture = $1
		if (substr($0, 22, 1) != " ")
			variant[variants++] = word[1]
		else
			word[2] = word[1]
		if (n > 1 || substr($0, 22, 1) == " ")
			test[tests++] = word[2]
	}
	END { flush() }'
}

# Run program $1 with the other arguments; "-k PART" is understood as above.
run_program()
{
	local program=$1

	shift
	if [ "${1:-}" = "-k" ]; then
		# shellcheck disable=SC2046 # words are meant to split
		set -- $(matching_tests "$program" "$2")
		[ $# -gt 0 ] || skip "no test of this name"
	fi
	"$program" "$@"
}
