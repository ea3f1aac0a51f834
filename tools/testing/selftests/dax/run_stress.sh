#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything at once to one file, on a pmem block device. Arguments are those of
# the program, "-k PART" for tests by part of their name, and before them
#
#   -s SEED	do again what was done with this seed
#   -r ROUNDS	how long

cd "$(dirname "$0")" || exit 1

while [ $# -gt 1 ]; do
	case $1 in
	-s) export DAX_SEED=$2 ;;
	-r) export DAX_ROUNDS=$2 ;;
	*) break ;;
	esac
	shift 2
done

# Where it was not loaded before, it is not afterwards.
if [ ! -e /sys/kernel/debug/hwpoison ] && modprobe -q hwpoison-inject; then
	trap 'modprobe -q -r hwpoison-inject' EXIT
fi

FSDAX_PROGRAM=./stress ./run_fsdax.sh "$@"
