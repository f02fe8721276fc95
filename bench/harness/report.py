"""From rounds to medians, ratios and a table."""

from statistics import median

ORDER = ["limit", "weir", "weir+log", "haproxy", "nginx", "varnish"]
BESIDE = ["weir+plain", "weir+10k", "limit+10k"]     # have no column of their own
TITLES = {"haproxy": "HAProxy", "varnish": "Varnish"}


def ratios(rounds, key, above, below):
    """above/below of one figure in every round that has both."""
    return [r[above][key] / r[below][key] for r in rounds
            if above in r and below in r and r[below][key] > 0]


def spread(values):
    return {"median": median(values), "min": min(values), "max": max(values),
            "rounds": len(values)} if values else None


def summarise(row, rounds):
    """What the table and the JSON say about one row."""
    key = "kib" if row.kind == "idle" else "cpu_us"
    names = [name for name in ORDER + BESIDE if any(name in r for r in rounds)]
    figures = {}
    for name in names:
        own = [r[name] for r in rounds if name in r]
        figures[name] = {key: spread([o[key] for o in own])}
        for more in ("rps", "user_share", "load_core_busy", "server_core_busy"):
            if more in own[0]:
                figures[name][more] = median(o[more] for o in own)
        if "latency_us" in own[0]:
            figures[name]["p99_us"] = median(o["latency_us"]["p99"] for o in own)
        for more in ("reached", "time_ratio", "payload_share", "resident", "stored_cpu_us"):
            if more in own[0]:
                figures[name][more] = spread([o[more] for o in own])
        for more in ("cold_ms", "stored_ms"):
            if more in own[0]:
                figures[name][more] = {at: spread([o[more][at] for o in own]) for at in own[0][more]}
    peers = [name for name in names if not name.startswith(("limit", "weir"))]
    versus = {"peers": {}, "limit": None}
    if "weir" in names and row.kind == "load":
        for peer in peers:
            versus["peers"][peer] = {"cost": spread(ratios(rounds, key, "weir", peer)),
                                     "rate": spread(ratios(rounds, "rps", "weir", peer))}
        if "limit" in names:
            versus["limit"] = spread(ratios(rounds, key, "weir", "limit"))
    peers_of_limit = {name: spread(ratios(rounds, key, name, "limit"))
                      for name in peers if "limit" in names}
    return {"figures": figures, "weir_against": versus, "peers_against_limit": peers_of_limit,
            "log": spread(ratios(rounds, key, "weir+log", "weir")) if row.kind == "log" else None,
            "goals": goals(row, figures, versus, rounds)}


def goals(row, figures, versus, rounds):
    """[(what, measured spread or None, sign, target)], as the row sets them."""
    found = []
    costs = [p["cost"] for p in versus["peers"].values() if p["cost"]]
    rates = [p["rate"] for p in versus["peers"].values() if p["rate"]]
    if row.peer_cost:
        # The best peer is the one that weir compares worst with.
        found.append(("CPU / best peer", max(costs, key=lambda c: c["median"], default=None),
                      "<=", row.peer_cost))
    if row.peer_rate:
        found.append(("requests/s / best peer",
                      min(rates, key=lambda c: c["median"], default=None), ">=", row.peer_rate))
    if row.limit_cost:
        found.append(("CPU / limit", versus["limit"], "<=", row.limit_cost))
    if row.idle_kib:
        found.append(("KiB each", figures.get("weir", {}).get("kib"), "<=", row.idle_kib))
    if row.log_cost:
        found.append(("CPU with log / without",
                      spread(ratios(rounds, "cpu_us", "weir+log", "weir")), "<=", row.log_cost))
    own = figures.get("weir", {})
    if row.baseline:
        found.append((f"CPU / {row.baseline_title}",
                      spread(ratios(rounds, "cpu_us", "weir", row.baseline)), "<=",
                      row.baseline_cost))
        if not row.peer_cost and costs:
            found.append(("CPU / best peer", max(costs, key=lambda c: c["median"]), "<=", None))
        below = row.baseline.replace("weir", "limit")
        if below in figures:
            found.append(("what that is for the limit", spread(ratios(rounds, "cpu_us", "limit", below)),
                          "<=", None))
    if row.payload_share:
        found.append(("resident memory / payload", own.get("payload_share"), "<=",
                      row.payload_share))
    if row.cold_time:
        reached = own.get("reached")
        # The worst round counts: once is once too often.
        found.append(("requests that reached the app",
                      reached and dict(reached, median=reached["max"]), "<=", 1))
        found.append(("time from the app's answer / as many plain hits", own.get("time_ratio"),
                      "<=", row.cold_time))
    return [{"what": what, "measured": measured, "sign": sign, "target": target,
             "reached": None if not measured or target is None else
             measured["median"] <= target if sign == "<=" else measured["median"] >= target}
            for what, measured, sign, target in found]


# ---- markdown ------------------------------------------------------------------------------

def thousands(rate):
    return f"{rate / 1000:.0f}k/s" if rate >= 100000 else \
        f"{rate / 1000:.1f}k/s" if rate >= 10000 else f"{rate:.0f}/s"


def cell(figure):
    if not figure:
        return "-"
    if "kib" in figure:
        return f"{figure['kib']['median']:.2f} KiB"
    cost = figure["cpu_us"]["median"]
    if "cold_ms" in figure:
        return f"{cost:.1f} us"
    return f"{cost:.1f} us, {thousands(figure['rps'])}" if cost < 100 else \
        f"{cost:.0f} us, {thousands(figure['rps'])}"


def spread_text(measured):
    if not measured:
        return "-"
    return f"{measured['median']:.2f} ({measured['min']:.2f} to {measured['max']:.2f})"


def goal_cells(goal):
    measured = goal["measured"]
    sign = goal["sign"].replace("<=", "at most").replace(">=", "at least")
    if goal["target"] is None:
        return spread_text(measured), "none", "-"
    if not measured:
        return "-", f"{sign} {goal['target']:.2f}", "not measured"
    return (spread_text(measured), f"{sign} {goal['target']:.2f}", "yes" if goal["reached"] else "**no**")


def lines_of(cells):
    return "| " + " | ".join(cells) + " |"


def markdown(rows, summaries, about):
    shown = [row for row in rows if row.name in summaries]
    names = [name for name in ORDER if any(name in summaries[row.name]["figures"] for row in shown)]
    if "weir" not in names:
        names.insert(1, "weir")
    out = [about, "", "CPU time per request (user and system, all processes and threads) and "
           "requests per second; medians.", ""]
    out.append(lines_of(["work"] + [TITLES.get(name, name) for name in names]))
    out.append(lines_of(["---"] * (len(names) + 1)))
    for row in shown:
        figures = summaries[row.name]["figures"]
        out.append(lines_of([row.title] + [cell(figures.get(name)) for name in names]))
        if row.baseline:
            beside = {name.partition("+")[0]: figures[name] for name in BESIDE if name in figures}
            out.append(lines_of(["... " + row.baseline_title]
                                + [cell(beside.get(name)) for name in names]))
    out += ["", "weir's ratios: median of the rounds (least to most).", "",
            lines_of(["work", "ratio", "measured", "target", "reached"]), lines_of(["---"] * 5)]
    for row in shown:
        for goal in summaries[row.name]["goals"]:
            out.append(lines_of([row.title, goal["what"], *goal_cells(goal)]))
    for row in shown:
        if row.kind == "cold":
            out += cold_table(row, summaries[row.name]["figures"])
    out += ["", "How busy the cores were (median): where the load's core is full and the server's "
            "is not, requests per second are a lower bound.", "",
            lines_of(["work"] + [TITLES.get(name, name) for name in names]),
            lines_of(["---"] * (len(names) + 1))]
    for row in shown:
        if row.kind not in ("idle", "cold"):
            figures = summaries[row.name]["figures"]
            out.append(lines_of([row.title] + [busy_cell(figures.get(name)) for name in names]))
    return "\n".join(out)


def busy_cell(figure):
    if not figure:
        return "-"
    return f"server {figure['server_core_busy']:.0%}, load {figure['load_core_busy']:.0%}"


def cold_table(row, figures):
    """How long the connections waited: for the cold key, and for a stored reply."""
    points = ["p50", "p90", "p99", "max"]
    out = ["", f"{row.title}: requests that reached the app, and the milliseconds until the "
           "connections had their reply, counted from the app's answer; beside them the same for a "
           "stored reply, counted from the first request. Medians.", "",
           lines_of(["", "reached the app", *points]
                    + [f"stored: {point}" for point in points] + ["stored: CPU"]),
           lines_of(["---"] * 11)]
    for name, figure in figures.items():
        out.append(lines_of(
            [TITLES.get(name, name), f"{figure['reached']['median']:.0f}"]
            + [f"{figure[kind][point]['median']:.1f}" for kind in ("cold_ms", "stored_ms")
               for point in points] + [f"{figure['stored_cpu_us']['median']:.1f} us"]))
    return out
