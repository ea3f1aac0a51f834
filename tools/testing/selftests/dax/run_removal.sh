#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A pmem block device is unbound from its driver while it is in use, and becomes
# other devices in between. Arguments are those of the program, or "-k PART" for
# tests by part of their name.

cd "$(dirname "$0")" || exit 1

FSDAX_PROGRAM=./removal ./run_fsdax.sh "$@"
