"""Judges a history: what each client did, when, and what it was told, beside what the database holds in the end.

Pure: no clocks, no sockets. Every rule is asked of single clients, as each of them can ask it: a client does one thing at a time, so "after" is
the order of its own lines, and no clock of two machines is compared.
"""

import collections
import dataclasses


@dataclasses.dataclass
class Operation:
    client: int
    tenant: str  # whom it asked for
    told_tenant: str  # whose answer it got
    start_us: int
    end_us: int
    is_write: bool
    key: str
    version: int  # -1: it was not told
    op: str  # the name of its write, or of the write it read; "-": none
    status: int  # 0: no answer
    is_hit: bool
    app: str
    role: str
    reason: str

    @property
    def is_done(self):
        return self.status == 200 and self.version >= 0


@dataclasses.dataclass
class Written:
    """What the database holds of one write."""

    op: str
    tenant: str
    key: str
    version: int


def read_history(path):
    operations = []
    with open(path) as file:
        for line in file:
            client, tenant, told, start, end, kind, key, version, op, status, hit, app, role, reason = line.rstrip("\n").split("\t")
            operations.append(Operation(int(client), tenant, told, int(start), int(end), kind == "W", key, int(version), op, int(status),
                                        hit == "hit", app, role, reason))
    return operations


RULES = ("read-your-writes", "monotonic-reads", "lost-write", "doubled-write", "foreign-answer", "invented-answer", "504")


class Judgement:
    def __init__(self):
        self.violations = {rule: [] for rule in RULES}
        self.refusals = collections.Counter()

    def say(self, rule, sentence):
        self.violations[rule].append(sentence)

    def count(self, rule):
        return len(self.violations[rule])

    @property
    def is_clean(self):
        return not any(self.violations.values())

    def __str__(self):
        lines = []
        for rule, found in self.violations.items():
            lines.append(f"{len(found):7} {rule}")
            lines += [f"          {sentence}" for sentence in found[:5]]
        return "\n".join(lines)


def by_client(operations):
    clients = collections.defaultdict(list)
    for operation in operations:
        clients[operation.client].append(operation)
    for mine in clients.values():
        mine.sort(key=lambda operation: operation.start_us)
    return clients


def judge(operations, written):
    """`written` is every row that the database holds in the end, or None: what it holds is not known."""
    judgement = Judgement()
    for mine in by_client(operations).values():
        _judge_client(mine, judgement)
    for operation in operations:
        if operation.status == 504:
            judgement.say("504", f"client {operation.client} {operation.key}")
        if operation.status != 200:
            judgement.refusals[operation.status, operation.reason] += 1
        if operation.told_tenant != operation.tenant:
            judgement.say("foreign-answer", f"client {operation.client} of {operation.tenant} was told what is {operation.told_tenant}'s")
        if operation.reason in ("garbled", "other-op"):
            judgement.say("invented-answer", f"client {operation.client} {operation.key}: {operation.reason}")
    if written is not None:
        _judge_database(operations, written, judgement)
    return judgement


def _judge_client(mine, judgement):
    """The oldest version that a client may still be told of each key: what it wrote, and what it has read."""
    wrote, read = {}, {}
    for operation in mine:
        if not operation.is_done:
            continue
        key, version = (operation.tenant, operation.key), operation.version
        if operation.is_write:
            wrote[key] = max(wrote.get(key, 0), version)
            continue
        told = f"client {operation.client} at {operation.start_us}: {operation.key} is {version}{' from the cache' * operation.is_hit} of {operation.app}"
        if version < wrote.get(key, 0):
            judgement.say("read-your-writes", f"{told}, it wrote {wrote[key]}")
        elif version < read.get(key, 0):
            judgement.say("monotonic-reads", f"{told}, it had read {read[key]}")
        read[key] = max(read.get(key, 0), version)


def _judge_database(operations, written, judgement):
    rows = collections.defaultdict(list)
    places = collections.defaultdict(list)
    for row in written:
        rows[row.op].append(row)
        places[row.tenant, row.key, row.version].append(row)
    for op, found in rows.items():
        if len(found) > 1:
            judgement.say("doubled-write", f"{op} is there {len(found)} times")
    for place, found in places.items():
        if len(found) > 1:
            judgement.say("doubled-write", f"{place} was written by {[row.op for row in found]}")
    for operation in operations:
        if not operation.is_done:
            continue
        found = places.get((operation.tenant, operation.key, operation.version), [])
        is_there = any(row.op == operation.op for row in found)
        if operation.is_write and not is_there:
            judgement.say("lost-write", f"{operation.op}: {operation.key} version {operation.version} was acknowledged, there is {found}")
        if not operation.is_write and operation.version > 0 and not is_there:
            judgement.say("invented-answer", f"client {operation.client} read {operation.key} version {operation.version} of {operation.op}, "
                                             f"there is {found}")
