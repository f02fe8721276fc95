#!/bin/bash
# Warns, and only warns, where a reader would have to scroll: functions over 60 lines, files over 450.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 3

# shellcheck disable=SC2016
find proxy plugins -name '*.[ch]' | sort | xargs awk '
    FNR == 1 { name = "" }
    FNR == 451 { printf "%s:451: warning: the file is over 450 lines\n", FILENAME; count++ }
    /^[a-z].*\(/ && !/;$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    /^\{$/ { start = FNR }
    /^\}/ && name != "" {
        if (start && FNR - start - 1 > 60) {
            printf "%s:%d: warning: %s() has %d lines\n", FILENAME, start, name, FNR - start - 1
            count++
        }
        name = ""; start = 0
    }
    END { printf "names: %d warnings\n", count }'
