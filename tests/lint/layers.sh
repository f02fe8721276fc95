#!/bin/bash
# Holds the house to its plan: who may include whom, which room a library lives in, and a few things that are done nowhere.
# Each mistake is one line, `file:line: why`.
#
#     tests/lint/layers.sh [ROOT]    0 if all of it is as planned, else 1
#     tests/lint/layers.sh --prove   shows that each rule finds what it is for, in a tree made to break it
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 3

# Room by room: the rooms whose headers it may include. Siblings are not in each other's rows. `config.h` is the config as
# plain data, which the rooms that take their settings from it may know; `config` is the whole room.
rooms='
base     base
net      base net
http     base http
config   base config
policy   base http config.h policy
cache    base http config.h cache
upstream base net http config.h upstream
fleet    base net http fleet
observe  base http config.h observe
pipeline base net http config policy cache upstream fleet observe pipeline plugin.h
admin    base net http config policy cache upstream fleet observe pipeline admin
top      base net http config policy cache upstream fleet observe pipeline admin top plugin.h
'

# A library's headers (a regular expression) and where they may be included (one, too).
libraries='
event2/              ^proxy/net/
openssl/(hmac|evp)\.h ^proxy/(net/|pipeline/plugin_host\.c$)
openssl/crypto\.h    ^proxy/main\.c$
openssl/             ^proxy/net/
http_parser\.h       ^(proxy/http/|tests/fuzz/raw\.c$)
yaml\.h              ^proxy/(config/|main\.c$)
jansson\.h           ^proxy/(config/|admin/|pipeline/plugin[a-z_]*\.[ch]$|main\.c$|remote\.c$|explain\.c$)
xxhash\.h            ^proxy/(base/|fleet/digest\.c$)
dlfcn\.h             ^proxy/pipeline/plugin[a-z_]*\.c$
hiredis/             ^proxy/fleet/
nghttp2/             ^$
jwt\.h               ^$
libpq-fe\.h          ^plugins/rw_split/postgres[a-z_]*\.[ch]$
'

# What is done nowhere, where (a regular expression over paths), and what to do instead.
# shellcheck disable=SC2016
never='
(gets|strcpy|strcat|sprintf|vsprintf|strtok|alloca|atoi|atol|atoll|system|popen|rand|tmpnam|mktemp)[[:space:]]*\(	^(proxy|plugins)/	is unbounded or unchecked: take the one with a length or an error
assert[[:space:]]*\(	^proxy/	goes away with NDEBUG: CHECK() is always on
typedef[[:space:]]+(struct|union|enum)	^(proxy|plugins)/	hides a struct: plain `struct x`, typedef is for callbacks
(clock_(mono|wall)_ns|clock_gettime|gettimeofday|time)[[:space:]]*\([[:space:]]*(NULL|0|CLOCK_[A-Z_]*|&|\))	^proxy/(http|policy)/	reads a clock in a room of pure decisions: now is a parameter
(socket|accept4?|recv|recvmsg|send|sendmsg|epoll_wait)[[:space:]]*\([a-z]	^proxy/(http|policy|cache|config)/	talks to a socket in a room that has none
(/home|/Users|/mnt)/[a-z]	.	names a place on somebody'"'"'s machine
'

# The headers of C and of the system: the rest of what stands in <> belongs to a library.
libc='(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic|stdbool'
libc+='|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|tgmath|threads|time|uchar|wchar|wctype|dirent|endian|fcntl'
libc+='|fnmatch|getopt|grp|ifaddrs|libgen|malloc|netdb|poll|pthread|pwd|sched|semaphore|sys/[a-z_]+|net/if|netinet/[a-z]+'
libc+='|arpa/inet|syslog|termios|unistd|emmintrin|immintrin|linux/[a-z_]+|sanitizer/[a-z_]+)\.h'

check_includes() {
    find proxy plugins tests/fuzz tests/stress -name '*.[ch]' | sort | while read -r file; do
        [ -s "$file" ] && grep -nHE '^[[:space:]]*#[[:space:]]*include' "$file"
    done | awk -v rooms="$rooms" -v libraries="$libraries" -v libc="^$libc\$" '
        function mistake(why) { printf "%s:%s: %s\n", file, line, why }

        # proxy/net/tls.c is in net, proxy/worker.c in top, plugins/template/template.c in no room
        function room_of(path,   part) {
            if (split(path, part, "/") == 2) return "top"
            return part[2]
        }

        function library(name,   i) {
            for (i = 1; i <= library_count; i++) {
                if (name !~ "^" library_name[i]) continue
                if (file !~ library_place[i])
                    mistake("<" name "> lives in " place_word(library_place[i]) ", not here")
                return
            }
            mistake("<" name "> is no header of C and no library of ours")
        }

        # A plugin has no libraries but those that a row gives to its own files.
        function is_let_in(name,   i) {
            for (i = 1; i <= library_count; i++)
                if (name ~ "^" library_name[i] && library_place[i] ~ /^\^plugins\// && file ~ library_place[i]) return 1
            return 0
        }

        function place_word(place) {
            if (place == "^$") return "no room yet"
            gsub(/[\^$\\]/, "", place)
            return place
        }

        function inside(name,   room, target, part) {
            room = room_of(file)
            if (name ~ /\.\./) return mistake("\"" name "\" goes by \"..\": write it from proxy/ on")
            if (name == "weir/plugin.h") target = "plugin.h"
            else if (name == "config/config.h" && (" " may[room] " ") !~ / config /) target = "config.h"
            else if (split(name, part, "/") == 1) {
                target = room == "top" || name ~ /_table\.h$/ ? room : "?"
                if (target == "?") return mistake("\"" name "\" does not say its room: \"" room "/" name "\"")
            } else target = part[1]
            if (index(" " may[room] " ", " " target " ") == 0)
                return mistake(room " may not include \"" name "\": it knows " may[room] (target in may ? "" : " (no such room)"))
            if (name ~ /_(int|inside)\.h$/ && target != room)
                mistake("\"" name "\" is the inside of " target ": only " target " sees it")
        }

        BEGIN {
            count = split(rooms, row, "\n")
            for (i = 1; i <= count; i++) {
                name = row[i]; sub(/ .*/, "", name)
                known = row[i]; sub(/^[a-z]+ +/, "", known)
                if (name != "") may[name] = known
            }
            count = split(libraries, row, "\n")
            for (i = 1; i <= count; i++) {
                if (split(row[i], part, " ") != 2) continue
                library_name[++library_count] = part[1]
                library_place[library_count] = part[2]
            }
        }

        {
            file = $0; sub(/:.*/, "", file)
            line = $0; sub(/^[^:]*:/, "", line); sub(/:.*/, "", line)
            name = $0; sub(/^[^<"]*[<"]/, "", name); sub(/[>"].*/, "", name)
            is_system = $0 ~ /include[[:space:]]*</
            if (file ~ /^plugins\// && is_system && is_let_in(name)) next
            if (file ~ /^plugins\//) {
                if (is_system ? name !~ libc && name != "weir/plugin.h" : name ~ /\//)
                    mistake("a plugin sees <weir/plugin.h>, libc and its own folder, not " name)
            } else if (is_system && name == "weir/plugin.h") inside(name)
            else if (is_system) {
                if (name == "dlfcn.h" || name !~ libc) library(name)
            } else if (file ~ /^proxy\/include\//) mistake("the public header stands alone")
            else if (file ~ /^proxy\//) inside(name)
        }'
}

check_never() {
    local pattern where why path
    while IFS=$'\t' read -r pattern where why; do
        [ -n "$pattern" ] || continue
        find . -name .git -prune -o -path './build*' -prune -o -type f \
            \( -name '*.[ch]' -o -name '*.def' -o -name '*.py' -o -name '*.sh' -o -name '*.md' -o -name '*.yaml' \
            -o -name meson.build -o -name Dockerfile \) -print | sed 's,^\./,,' | grep -E "$where" | grep -v '^tests/lint/' | sort |
            while read -r path; do
                # what stands in a comment or a string is not a call; a path is a path anywhere
                case $where in
                .) cat -- "$path" ;;
                *) sed -E 's,"([^"\\]|\\.)*","",g; s,/\*.*\*/,,; s,^[[:space:]]*(/\*|\*[^a-z(]| \*).*,,; s,//.*,,' -- "$path" ;;
                esac | grep -nE "(^|[^A-Za-z0-9_.>])$pattern" | sed -E 's/^([0-9]+):[[:space:]]*(.*)$/\1 \2/' |
                    while read -r number text; do
                        echo "$path:$number: \`${text:0:60}\` $why"
                    done
            done
    done <<<"$never"
}

run() {
    local mistakes
    mistakes=$({
        check_includes
        check_never
    })
    if [ -n "$mistakes" ]; then
        echo "$mistakes"
        echo "layers: $(wc -l <<<"$mistakes") mistakes"
        return 1
    fi
    echo "layers: as planned"
}

# One line each: a file, what stands in it, and a part of what must be said about it. `-` in the end: nothing.
prove() {
    local tree file text want got failed=0 found=0
    tree=$(mktemp -d) || exit 3
    # shellcheck disable=SC2064
    trap "rm -rf '$tree'" EXIT
    while IFS='|' read -r file text want; do
        rm -rf "${tree:?}"/*
        mkdir -p "$tree/proxy" "$tree/tests/fuzz" "$tree/tests/stress" "$tree/plugins" "$tree/$(dirname "$file")"
        printf '\n%s\n' "$text" >"$tree/$file"
        got=$(cd "$tree" && check_includes && check_never)
        if [ "$want" = - ]; then
            [ -z "$got" ] || { echo "must be silent on $file with $text, said: $got" && failed=1; }
        elif [[ "$got" == "$file:2: "*"$want"* ]]; then
            found=$((found + 1))
        else
            echo "must say '$want' on $file with $text, said: $got" && failed=1
        fi
    done <<'EOF'
proxy/base/x.c|#include "net/loop.h"|base may not include
proxy/net/x.c|#include "http/head.h"|net may not include
proxy/policy/x.c|#include "cache/cache.h"|policy may not include
proxy/cache/x.c|#include "upstream/pool.h"|cache may not include
proxy/policy/x.c|#include "config/tree.h"|policy may not include
proxy/policy/x.c|#include "config/config.h"|-
proxy/http/x.c|#include "config/config.h"|http may not include
proxy/pipeline/x.c|#include "admin/admin.h"|pipeline may not include
proxy/pipeline/x.c|#include "net/stream_int.h"|is the inside of net
proxy/pipeline/x.c|#include "../net/stream.h"|goes by
proxy/pipeline/x.c|#include "stage.h"|does not say its room
proxy/pipeline/x.c|#include "elsewhere/stage.h"|no such room
proxy/pipeline/stages/x.c|#include "cache/cache.h"|-
proxy/admin/x.c|#include "pipeline/world.h"|-
proxy/admin/x.c|#include "worker.h"|does not say its room
proxy/cache/x.c|#include "weir/plugin.h"|cache may not include
proxy/worker.c|#include "pipeline/client.h"|-
proxy/include/weir/plugin.h|#include "base/str.h"|stands alone
proxy/pipeline/x.c|#include <event2/event.h>|lives in
proxy/upstream/x.c|#include <openssl/ssl.h>|lives in
proxy/pipeline/plugin_host.c|#include <openssl/hmac.h>|-
proxy/cache/x.c|#include <http_parser.h>|lives in
tests/fuzz/raw.c|#include <http_parser.h>|-
proxy/policy/x.c|#include <jansson.h>|lives in
proxy/policy/x.c|#include <yaml.h>|lives in
proxy/cache/x.c|#include <xxhash.h>|lives in
proxy/cache/x.c|#include <hiredis/hiredis.h>|lives in
proxy/fleet/x.c|#include <hiredis/read.h>|-
proxy/fleet/x.c|#include "cache/cache.h"|fleet may not include
proxy/fleet/x.c|#include "config/config.h"|fleet may not include
proxy/cache/x.c|#include "fleet/tier.h"|cache may not include
proxy/pipeline/x.c|#include "fleet/tier.h"|-
proxy/fleet/x.c|#include <nghttp2/nghttp2.h>|no room yet
proxy/cache/x.c|#include <curl/curl.h>|no library of ours
proxy/cache/x.c|#include <dlfcn.h>|lives in
plugins/a/a.c|#include <openssl/hmac.h>|a plugin sees
plugins/rw_split/postgres_dsn.h|#include <libpq-fe.h>|-
plugins/rw_split/choose.c|#include <libpq-fe.h>|a plugin sees
plugins/rw_split/postgres.c|#include <openssl/hmac.h>|a plugin sees
proxy/fleet/x.c|#include <libpq-fe.h>|lives in
plugins/a/a.c|#include "base/str.h"|a plugin sees
plugins/a/a.c|#include <weir/plugin.h>|-
plugins/a/a.c|#include "token.h"|-
proxy/base/x.c|    strcpy(a, b);|is unbounded
proxy/base/x.c|    /* not strcpy(a, b) */|-
proxy/base/x.c|    str_strcpy(a, b);|-
proxy/base/x.c|    assert(a);|CHECK
proxy/base/x.c|typedef struct a b;|hides
proxy/policy/x.c|    now = clock_mono_ns();|reads a clock
proxy/policy/x.c|    now = time(NULL);|reads a clock
proxy/net/x.c|    now = clock_mono_ns();|-
proxy/cache/x.c|    n = recv(fd, data, len, 0);|talks to a socket
EOF
    [ "$failed" = 0 ] && echo "layers: all $found kinds of mistakes are found"
    return "$failed"
}

case ${1:-} in
--prove) prove ;;
-*) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
*) cd "${1:-.}" && run ;;
esac
