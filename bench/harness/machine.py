"""The machine: its cores, what a process has cost, what must be installed and built.

Costs are read from each process's own CPU clock, which counts nanoseconds over all of its
threads, also those that have ended; /proc/PID/stat counts in ticks of 10 ms.
"""

import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

BENCH = pathlib.Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
PROGRAMS = {
    "limit_responder": ["limit_responder.c"],
    "limit_relay": ["limit_relay.c"],
    "load": ["load.c", "asking.c", "crowd.c", "histogram.c", "reply.c", "zipf.c"],
    "origin": ["origin.c"],
}
# What weir itself needs to be built; only installed when there is a weir to build.
WEIR_PACKAGES = """gcc pkg-config meson ninja-build libevent-dev libssl-dev libhttp-parser-dev
    libyaml-dev libxxhash-dev libjansson-dev libhiredis-dev libcriterion-dev""".split()


def say(text):
    print(text, file=sys.stderr, flush=True)


class Problem(Exception):
    """Something the user must know about, in one sentence."""


# ---- processes -----------------------------------------------------------------------------

def family(pid):
    """The process and all its descendants."""
    children = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = pathlib.Path(entry.path, "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    members, rest = [], [pid]
    while rest:
        member = rest.pop()
        members.append(member)
        rest += children.get(member, [])
    return members


def cpu_ns(pids):
    """User and system time of whole processes so far."""
    total = 0
    for pid in pids:
        try:
            total += time.clock_gettime_ns((~pid << 3) | 2)
        except OSError:
            pass                # has ended; it is not one that serves
    return total


def user_system_ticks(pids):
    """The same in ticks and apart: good for the share of user time, not for a cost."""
    user = system = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        user, system = user + int(fields[11]), system + int(fields[12])
    return user, system


def resident_bytes(pids):
    """From smaps_rollup: the count in statm is off by some dozens of pages a thread."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def available_bytes():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise Problem("/proc/meminfo does not say what memory is available")


def core_ticks(core):
    """(busy, all) ticks of one core, whoever used it."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            ticks = [int(word) for word in line.split()[1:9]]
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    raise Problem(f"this machine has no core {core}")


def raise_descriptor_limit(wanted):
    """Returns how many files a contender may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, wanted), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (ValueError, OSError):
            continue
    return soft


def description():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model}, {os.cpu_count()} cores, Linux {os.uname().release}"


# ---- installing and building ---------------------------------------------------------------

def run_quietly(command, what):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode:
        tail = "\n    ".join(done.stdout.strip().splitlines()[-8:])
        raise Problem(f"{what} failed: {' '.join(map(str, command))}\n    {tail}")
    return done.stdout


def install(packages):
    """apt-get, without any of the packages' services being started now or at the next boot."""
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise Problem("missing and no apt-get to install them: " + " ".join(packages))
    say("installing " + " ".join(packages))
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    policy = "/usr/sbin/policy-rc.d"        # invoke-rc.d asks it; 101 is "do not start"
    is_ours = not os.path.exists(policy)
    if is_ours:
        run_quietly(sudo + ["sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' >{policy} && "
                                        f"chmod 755 {policy}"], "policy-rc.d")
    try:
        apt = sudo + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y"]
        run_quietly(apt + ["update"], "apt-get update")
        run_quietly(apt + ["install", "--no-install-recommends"] + packages, "apt-get install")
    finally:
        if is_ours:
            run_quietly(sudo + ["rm", "-f", policy], "policy-rc.d")
    if shutil.which("systemctl"):
        for unit in ("nginx", "haproxy", "varnish", "varnishncsa"):
            if unit.removesuffix("ncsa") in packages:
                subprocess.run(sudo + ["systemctl", "--quiet", "disable", unit], check=False,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def install_missing(wanted):
    """wanted: {command: package}"""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    install(sorted({package for command, package in wanted.items()
                    if not shutil.which(command)}))


def is_installed(package):
    return subprocess.run(["dpkg", "-s", package], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def meson_folder(may_install):
    """A release build of the whole project, set up once. None where there is no project yet."""
    folder = ROOT / "build-release"
    if not (ROOT / "meson.build").exists():
        return None
    if may_install:
        install([package for package in WEIR_PACKAGES if not is_installed(package)])
    if not (folder / "build.ninja").exists():
        say("setting up build-release")
        run_quietly(["meson", "setup", "--buildtype=release", "-Db_lto=true", str(folder), str(ROOT)],
                    "meson setup")
    return folder


def build_weir(folder):
    say("building weir (release)")
    run_quietly(["ninja", "-C", str(folder), "proxy/weir"], "building weir")
    return folder / "proxy" / "weir"


def build_programs(folder, scratch):
    """{name: path} of the C programs, by ninja where the project knows them, else by cc."""
    known = ""
    if folder:
        known = run_quietly(["ninja", "-C", str(folder), "-t", "targets", "all"], "ninja")
    if folder and all(f"bench/{name}:" in known for name in PROGRAMS):
        run_quietly(["ninja", "-C", str(folder)] + [f"bench/{name}" for name in PROGRAMS],
                    "building bench")
        return {name: folder / "bench" / name for name in PROGRAMS}
    for name, sources in PROGRAMS.items():
        run_quietly(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O3", "-o", str(scratch / name)]
                    + [str(BENCH / source) for source in sources] + ["-lm"], f"building {name}")
    return {name: scratch / name for name in PROGRAMS}
