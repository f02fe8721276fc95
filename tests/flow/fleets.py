"""Several weirs before one app, which share a Redis."""

import itertools

from harness import eventually
from stories import Site, metrics, status, total

NUMBERS = itertools.count(1)
BUDGET = "1s"  # where a story is not about the budget: a loaded machine shall not decide it


def sharing(redis, **settings):
    """The part of a config that makes a weir share what it stores; who has the same prefix shares it."""
    return {"redis": {"url": redis if isinstance(redis, str) else redis.url, "budget": BUDGET, **settings}}


def fleet_state(weir):
    return status(weir)["cache"]["redis"]


def joined(weir, nodes=1):
    """Waits until it asks the second tier, hears the others, and has caught up with them."""

    def is_joined():
        state = fleet_state(weir)
        return state["state"] == "up" and state["connected"] and state["trusted"] and state["nodes"] >= nodes

    eventually(is_joined, why="it did not join its fleet")
    return weir


def tier_count(weir, result):
    """How often the second tier was asked and that came of it."""
    return total(metrics(weir), "weir_second_tier_total", result=result)


class Fleet(Site):
    """A Site of several weirs. What a test asks goes to the one that at() named last, the first one to begin with."""

    def __init__(self, start, redis, count=2, cache=None, settings=None, is_joined=True, **config):
        self.redis = redis
        self.prefix = f"fleet{next(NUMBERS)}"
        self.start = start
        self.config = dict(config, cache={**(cache or {}), **sharing(redis, **{"prefix": self.prefix, **(settings or {})})})
        super().__init__(start, **self.config)
        self.weirs = [self.weir]
        for _ in range(count - 1):
            self.weirs.append(start(self.app, **self.config))
        if is_joined:
            for weir in self.weirs:
                joined(weir, count)

    def add(self):
        """One more, with nothing in memory; returns its number."""
        self.weirs.append(joined(self.start(self.app, **self.config)))
        return len(self.weirs) - 1

    def at(self, number):
        self.weir = self.weirs[number]
        return self

    def get(self, page, *fields, **options):
        return page.get(*fields, **options)

    def post(self, page, **options):
        return page.ask("POST", body=b"", **options)

    def page(self, path=None):
        return super().page(path or f"/{next(NUMBERS)}-page")

    def values(self, *pages):
        """The keys of what stands in Redis: all, or of these pages."""
        keys = self.redis.values(self.prefix)
        return [key for key in keys if any(page.path.encode() in self.redis.text(key) for page in pages)] if pages else keys

    def stored(self, count, *pages):
        """Waits until so many answers stand in Redis, and returns their keys."""
        found = []

        def is_there():
            found[:] = self.values(*pages)
            return len(found) == count

        try:
            eventually(is_there)
        except AssertionError as error:
            raise AssertionError(f"{len(found)} answers are in Redis, not {count}: {found}") from error
        return found
