"""How many reads stay off the primary: as weir did it, and as others would have done it with the very same reads and writes.

`rails` is Rails' database selector: for two seconds after a client's write its reads go to the primary. `fast` is MaxScale's causal_reads=fast: a
replica that is known to be at or past the client's last write, without waiting for one, else the primary. What is known is taken from samples of how
far each server had come, which are finer here than such a proxy's own.
"""

import bisect
import dataclasses

from .checker import by_client


@dataclasses.dataclass
class Sample:
    at_us: int
    positions: dict  # of each server's name


class Samples:
    def __init__(self, samples):
        self.samples = sorted(samples, key=lambda sample: sample.at_us)
        self.times = [sample.at_us for sample in self.samples]

    def before(self, at_us):
        """The newest one that is not after it, or None."""
        index = bisect.bisect_right(self.times, at_us)
        return self.samples[index - 1] if index else None

    def after(self, at_us):
        index = bisect.bisect_left(self.times, at_us)
        return self.samples[index] if index < len(self.samples) else None


def share(off, total):
    return off / total if total else 1.0


def shares(operations, samples=None, primary=None, replicas=(), window_us=2_000_000):
    """{who: (share of all reads, share of those that the cache did not answer)}: reads that the primary did not have to answer."""
    tallies = {who: [0, 0] for who in ("weir", "rails", "fast")}
    reads = hits = 0
    for mine in by_client(operations).values():
        last_write_us, needed = None, 0
        for operation in mine:
            if operation.is_write:
                last_write_us = operation.end_us
                said = samples and samples.after(operation.end_us)
                needed = said.positions[primary] if said else needed
                continue
            if operation.status != 200:
                continue
            reads += 1
            hits += operation.is_hit
            known = samples and samples.before(operation.start_us)
            is_off = {
                "weir": operation.is_hit or operation.role != "primary",
                "rails": last_write_us is None or operation.start_us - last_write_us >= window_us,
                "fast": needed == 0 or bool(known) and any(known.positions[name] >= needed for name in replicas),
            }
            for who, is_it in is_off.items():
                tallies[who][0] += is_it
                tallies[who][1] += is_it and not operation.is_hit
    return {who: (share(off, reads), share(off_servers, reads - hits)) for who, (off, off_servers) in tallies.items()}
