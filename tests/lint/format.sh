#!/bin/bash
# What clang-format 14 (Debian 12's) would write otherwise, as `file:line:col: ...`; 0 if nothing.
#
#     tests/lint/format.sh [FILE...]         looks at these, without one at all of the tree
#     tests/lint/format.sh --fix [FILE...]   writes them
set -u

fix=
[ "${1:-}" = --fix ] && fix=yes && shift
files=()
for file in "$@"; do
    [ -f "$file" ] || { echo "format: there is no file $file" && exit 2; }
    files+=("$(realpath "$file")") # before going where its name means something else
done
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 3

tool=clang-format-14
command -v "$tool" >/dev/null || tool=clang-format
command -v "$tool" >/dev/null || { echo "format: clang-format is not installed (apt-get install clang-format)" && exit 3; }
case $("$tool" --version) in
*" 14."*) ;;
*) echo "format: needs clang-format 14, others disagree with it: $("$tool" --version)" && exit 3 ;;
esac

[ ${#files[@]} != 0 ] || mapfile -t files < <(find proxy plugins tests bench conf -name '*.[ch]' | sort)
if [ -n "$fix" ]; then
    exec "$tool" -i "${files[@]}"
fi
mistakes=$("$tool" --dry-run -Werror "${files[@]}" 2>&1 | sed -n 's/: error: code should be clang-formatted.*/: not as clang-format writes it/p')
if [ -n "$mistakes" ]; then
    echo "$mistakes"
    echo "format: $(cut -d: -f1 <<<"$mistakes" | sort -u | wc -l) files, $(wc -l <<<"$mistakes") places; tests/lint/format.sh --fix writes them"
    exit 1
fi
echo "format: ${#files[@]} files as clang-format writes them"
