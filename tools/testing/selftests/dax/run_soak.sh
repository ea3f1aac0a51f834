#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything at random, for long, on a pmem device whose namespace is also made
# device-dax and System RAM. Arguments are those of the program, see soak.c.

cd "$(dirname "$0")" || exit 1
# shellcheck source-path=SCRIPTDIR
. ./dax_lib.sh

cleanup()
{
	[ -z "$loaded" ] || modprobe -q -r hwpoison-inject
	rm -f "$DAX_SCRATCH"
}
trap cleanup EXIT

require_root
require_device
DAX_NAMESPACE=$(namespace_of "$DAX_DEV")
DAX_SCRATCH=$(mktemp /var/tmp/dax-soak.XXXXXX)
export DAX_NAMESPACE DAX_SCRATCH

loaded=
if [ ! -e /sys/kernel/debug/hwpoison ] && modprobe -q hwpoison-inject; then
	loaded=y
fi

FSDAX_PROGRAM=./soak ./run_fsdax.sh "$@"
