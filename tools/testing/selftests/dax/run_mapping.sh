#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What can be done to a DAX mapping, on a pmem block device. Arguments are those
# of the program, or "-k PART" for tests by part of their name.

cd "$(dirname "$0")" || exit 1

FSDAX_PROGRAM=./mapping ./run_fsdax.sh "$@"
