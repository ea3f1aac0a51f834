#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# hazard.sh HAZARD PROVIDER: play one, with the program installed in /host.
# The one line "HAZARD PROVIDER VERDICT WORDS" goes to /run/lab/hazard too.
set -u
export FSDAX_PROGRAM=./dax_hazards

/host/dax/run_fsdax.sh "$1" "$2" | tee /run/lab/hazard
exit "${PIPESTATUS[0]}"
