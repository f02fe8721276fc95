# The tour of conf/quickstart: requests on the left, what came back on the right, and under each whether it was as promised.
# To be sourced; tour() is all that others call.
# shellcheck shell=bash
# shellcheck disable=SC2016 # what promises eval is expanded there

tour_failures=0
tour_step=0

# Sends a request and keeps the answer in status, body and the file of heads.
#     ask TENANT METHOD PATH [curl options...]
ask() {
    local tenant=$1 method=$2 path=$3

    shift 3
    asked=("$method $path" "X-Tenant: $tenant")
    status=$(curl -s -o "$tour_work/body" -D "$tour_work/heads" -w '%{http_code}' --max-time 10 \
        -X "$method" -H "X-Tenant: $tenant" "$@" "$tour_weir$path")
    body=$(cat "$tour_work/body" 2>/dev/null)
}

# The field's values in the last answer, a line each; nothing if it has none.
fields() {
    sed -n "s/^$1: *//Ip" "$tour_work/heads" | tr -d '\r'
}

# The last of them.
field() {
    fields "$1" | tail -n 1
}

# The next station, and why one would stop there.
station() {
    tour_step=$((tour_step + 1))
    printf '\n%s%2d. %s%s\n' "$tour_bold" $tour_step "$1" "$tour_plain"
}

# The last request beside its answer: status and body, then the fields named.
show() {
    local lines=("$status $body") name value row

    for name in "$@"; do
        value=$(field "$name")
        [ -z "$value" ] || lines+=("$name: $value")
    done
    for ((row = 0; row < ${#lines[@]} || row < ${#asked[@]}; row++)); do
        printf '    %-28s %s\n' "${asked[row]-}" "$(shorten "${lines[row]-}" 91)"
    done
}

# Takes the middle out of what is longer than $2: in a list, what is new stands at the end.
shorten() {
    local half=$((($2 - 5) / 2))

    if [ ${#1} -gt "$2" ]; then
        printf '%s ... %s' "${1:0:half}" "${1: -half}"
    else
        printf '%s' "$1"
    fi
}

#     promise WHAT COMMAND...: it holds if the command succeeds
promise() {
    local what=$1

    shift
    if "$@"; then
        printf '    %sas promised:%s %s\n' "$tour_good" "$tour_plain" "$what"
    else
        printf '    %sNOT AS PROMISED:%s %s\n' "$tour_bad" "$tour_plain" "$what"
        tour_failures=$((tour_failures + 1))
    fi
}

is() { [ "$1" = "$2" ]; }
has() { [[ $1 == *"$2"* ]]; }
lacks() { [[ $1 != *"$2"* ]]; }

visit_cache() {
    # weir has just begun, and knows nothing of writes before. What replicas say it stores once it has run for
    # longer than they may lag: the window, 2 s.
    sleep 2.1
    station "A miss: nobody has asked for this yet, so a replica is"
    ask acme GET /v2/items
    show Cache-Status Server-Role Served-By
    promise "200, not from the cache" eval 'is "$status" 200 && has "$(field Cache-Status)" "weir; fwd=uri-miss"'
    promise "read on a replica" is "$(field Server-Role)" replica

    station "A hit: the app said nothing about freshness, the route's ttl did"
    ask acme GET /v2/items
    show Cache-Status Age
    promise "from the cache" has "$(field Cache-Status)" "weir; hit"

    station "Another tenant is kept apart: the same address, an answer of its own"
    ask tiny GET /v2/items
    show Cache-Status
    promise "not acme's answer" eval 'has "$(field Cache-Status)" "fwd=uri-miss" && lacks "$body" anvil'
    promise "tiny's own" has "$body" '"tenant":"tiny"'

    station "What the app says itself about freshness is followed"
    ask acme GET /v2/items/1
    ask acme GET /v2/items/1
    show Cache-Status Cache-Control ETag
    promise "kept for at most 10 s, as it says" eval '[[ $(field Cache-Status) =~ hit\;\ ttl=([0-9]|10)(\;|$) ]]'
}

visit_replicas() {
    local jar=$tour_work/cookies id

    station "A write goes to the primary; the reply carries a signed note of when it was"
    ask acme POST /v2/items -c "$jar" -H 'Content-Type: application/json' -d '{"name":"parasol","stock":1}'
    id=${body#*\"id\":}
    id=${id%%,*}
    show Server-Role Weir-Position
    promise "201 from the primary" eval 'is "$status" 201 && is "$(field Server-Role)" primary'
    promise "a token, as header and as cookie" eval 'has "$(field Weir-Position)" "v1.main." && has "$(fields Set-Cookie)" weir_position='

    station "Somebody else reads at once: replicas lag by half a second, so he may see what was"
    ask acme GET /v2/items
    show Cache-Status Server-Role
    promise "200 from a replica" eval 'is "$status" 200 && is "$(field Server-Role)" replica'

    station "Who wrote reads his own write: past that answer in the cache, from the primary"
    ask acme GET /v2/items -b "$jar"
    asked+=("Cookie: weir_position=...")
    show Cache-Status Server-Role
    promise "the new item is there" has "$body" parasol
    promise "read on the primary" is "$(field Server-Role)" primary

    station "Two seconds later the replicas have it too"
    sleep 2.1
    ask acme GET "/v2/items/$id" -b "$jar"
    asked+=("Cookie: weir_position=...")
    show Cache-Status Server-Role
    promise "the new item, from a replica" eval 'has "$body" parasol && is "$(field Server-Role)" replica'
}

visit_versions() {
    station "The old version still works, and says until when"
    ask acme GET /v1/items
    show Deprecation Sunset Link
    promise "v1's answer knows no stock" eval 'is "$status" 200 && lacks "$body" stock'
    promise "Deprecation, Sunset and Link" eval 'is "$(field Deprecation)" @1782777600 &&
        is "$(field Sunset)" "Wed, 30 Jun 2027 00:00:00 GMT" && has "$(field Link)" "rel=\"deprecation\""'
}

# Twelve requests on one connection are quicker than 5/s by far.
visit_limits() {
    local codes refused

    station "Too much: tiny may ask 5 times a second and asks 12 times at once"
    codes=$(curl -s -o "$tour_work/shed_#1" -D "$tour_work/all" -w '%{http_code}\n' --max-time 10 -H 'X-Tenant: tiny' \
        "$tour_weir/v2/items?n=[1-12]")
    refused=$(grep -n '^429$' <<<"$codes" | tail -n 1 | cut -d : -f 1)
    awk -v RS='\r\n\r\n' '/^HTTP\/1.1 429/ { last = $0 } END { print last }' "$tour_work/all" >"$tour_work/heads"
    asked=("12 x GET /v2/items?n=..." "X-Tenant: tiny")
    status=$(sort <<<"$codes" | uniq -c | awk '{ printf "%s%s x %s", sep, $1, $2; sep = ", " }')
    body=$(cat "$tour_work/shed_${refused:-none}" 2>/dev/null)
    show RateLimit RateLimit-Policy Retry-After
    promise "some answered, some refused with 429" eval 'has "$codes" 200 && has "$codes" 429'
    promise "the refusal says why and when to come back" eval 'has "$body" tenant-rate && [ -n "$(field Retry-After)" ]'

    station "Meanwhile acme notices nothing"
    ask acme GET /v2/items
    show Cache-Status
    promise "200" is "$status" 200
}

visit_slow() {
    local report took

    station "A report takes a second and a half, and nobody waits behind it"
    curl -s -o /dev/null -w '%{http_code} %{time_total}' --max-time 10 -H 'X-Tenant: acme' \
        "$tour_weir/v2/reports/daily" >"$tour_work/report" &
    report=$!
    sleep 0.3
    took=$(curl -s -o /dev/null -w '%{time_total}' --max-time 10 -H 'X-Tenant: acme' "$tour_weir/v2/items/2")
    wait $report
    read -r status body <"$tour_work/report"
    asked=("GET /v2/reports/daily" "GET /v2/items/2, meanwhile")
    : >"$tour_work/heads"
    printf '    %-28s %s in %s s\n    %-28s in %s s\n' "${asked[0]}" "$status" "$body" "${asked[1]}" "$took"
    promise "the report came, in about 1.5 s" eval 'is "$status" 200 && awk "BEGIN { exit !($body >= 1.4) }"'
    promise "the item came long before" awk "BEGIN { exit !($took < 1.0) }"
}

# One row of JSON a line, then its values in columns.
print_latency() {
    sed 's/},/}\n/g' "$tour_work/latency" | awk '
        function value(key,    at, text) {
            at = index($0, "\"" key "\":")
            if (!at)
                return ""
            text = substr($0, at + length(key) + 3)
            sub(/^ */, "", text)
            if (substr(text, 1, 1) == "\"") {
                text = substr(text, 2)
                return substr(text, 1, index(text, "\"") - 1)
            }
            match(text, /^[-+0-9.eE]+/)
            return substr(text, 1, RLENGTH)
        }
        function ms(key) { return sprintf("%.3f", value(key) * 1000) }
        BEGIN { printf "    %-8s %-8s %-10s %7s %10s %10s %10s %10s\n", "tenant", "version", "route", "count", "p50 ms", "p90 ms", "p99 ms", "max ms" }
        value("count") + 0 > 0 {
            printf "    %-8s %-8s %-10s %7d %10s %10s %10s %10s\n", value("tenant"), value("version"), value("route"),
                value("count"), ms("p50"), ms("p90"), ms("p99"), ms("max")
        }'
}

visit_latency() {
    local table

    station "Where the time went, by tenant, version and route"
    curl -s --max-time 10 "$tour_admin/api/latency" >"$tour_work/latency"
    table=$(print_latency)
    echo "$table"
    promise "acme's and tiny's items are told apart" eval '[[ $table =~ acme\ +v2\ +items ]] && [[ $table =~ tiny\ +v2\ +items ]]'
    promise "the slow report stands out" awk '$1 == "acme" && $3 == "reports" { slow = $8 } END { exit !(slow >= 1400) }' <<<"$table"
}

#     tour WEIR_URL ADMIN_URL FOLDER: false if anything was not as promised
tour() {
    tour_weir=$1
    tour_admin=$2
    tour_work=$3
    tour_bold='' tour_good='' tour_bad='' tour_plain=''
    if [ -t 1 ]; then
        tour_bold=$'\e[1m' tour_good=$'\e[32m' tour_bad=$'\e[31m' tour_plain=$'\e[0m'
    fi

    visit_cache
    visit_replicas
    visit_versions
    visit_limits
    visit_slow
    visit_latency

    if [ $tour_failures -gt 0 ]; then
        printf '\n%s%d of the promises did not hold.%s\n' "$tour_bad" $tour_failures "$tour_plain"
        return 1
    fi
    printf '\n%sAll of it was as promised.%s\n' "$tour_good" "$tour_plain"
}
