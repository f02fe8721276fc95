"""What several stories use: the admin address, an app that says what it saw, clients in numbers."""

import email.utils
import itertools
import json
import re
import threading
import time

from harness import App, Broken, Wire, patience, reply

METRIC_LINE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def echo(request):
    """An app's answer: what it was asked, as JSON; never to be stored."""
    seen = {"method": request.method, "target": request.target, "fields": dict((n.lower(), v) for n, v in request.fields),
            "body": request.body.decode("latin-1")}
    return reply(200, json.dumps(seen).encode(), "Content-Type: application/json", "Cache-Control: no-store")


def named(name):
    """An app's answer that says which app it was."""
    return lambda request: reply(200, name.encode(), "Cache-Control: no-store", f"X-App: {name}")


# --- the admin address ---


def ask(weir, method, path, *fields, body=None, host="127.0.0.1"):
    """One request to the admin address; a body is sent as JSON."""
    with Wire(weir.admin) as wire:
        if body is not None:
            fields = (*fields, "Content-Type: application/json")
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        wire.request(method, path, *fields, body=body, host=host)
        return wire.reply(method)


def tell(weir, path, body):
    """A change that must be taken."""
    answer = ask(weir, "POST", path, body=body)
    assert answer.status in (200, 202), answer
    return answer.json()


def status(weir):
    answer = ask(weir, "GET", "/api/status")
    assert answer.status == 200, answer
    return answer.json()


def metrics(weir):
    """{(name, (("label", "value"), ...)): number}"""
    answer = ask(weir, "GET", "/metrics")
    assert answer.status == 200, answer
    found = {}
    for line in answer.body.decode().splitlines():
        if line and not line.startswith("#"):
            match = METRIC_LINE.fullmatch(line)
            assert match, f"not in Prometheus' form: {line!r}"
            found[match[1], tuple(sorted(LABEL.findall(match[2] or "")))] = float(match[3])
    return found


def total(found, name, **labels):
    """The sum of all series of that name with these labels."""
    return sum(value for (key, has), value in found.items() if key == name and set(labels.items()) <= set(has))


def generation(weir):
    return status(weir)["config"]["generation"]


# --- the cache, as a client sees it ---


def cache_status(answer):
    """Cache-Status of weir as a dict: parameters without a value are True."""
    words = [word.strip() for word in answer["cache-status"].split(";")]
    assert words[0] == "weir", answer
    pairs = (word.split("=", 1) if "=" in word else (word, True) for word in words[1:])
    return dict(pairs)


def is_hit(answer):
    return cache_status(answer).get("hit") is True


def http_date(offset_s=0):
    """A date of HTTP, so many seconds from now."""
    return email.utils.formatdate(time.time() + offset_s, usegmt=True)


OUTDATED = ("Cache-Control: max-age=100", "Age: 100")  # as fields of a reply: stale from the moment it comes
BODILESS = (204, 304)


class Page:
    """What the app has under one path, and what it was asked there. Answers are numbered: their bodies are 1, 2, ... unless a test says
    otherwise, so that a stored one can be told from a new one."""

    def __init__(self, site, path):
        self.site = site
        self.path = path
        self.requests = []
        self.answer = None
        self.says()

    def __call__(self, request):
        self.requests.append(request)
        return self.answer(request)

    def says(self, *fields, status=200, body=None):
        """From now on the app answers so; `fields` of the same name come in the order given."""

        def answer(request):
            data = b"%d" % len(self.requests) if body is None else body
            if status in BODILESS:
                return reply(status, b"", *fields, length=False)
            if request.method == "HEAD":
                return reply(status, b"", *fields, f"Content-Length: {len(data)}", length=False)
            return reply(status, data, *fields)

        self.answer = answer
        return self

    def holds(self, *fields, etag=None, last_modified=None, body=b"the whole", renewed=()):
        """From now on the app has this representation and answers conditions with a 304, whose fields are `renewed`, or the same."""
        named = [f"ETag: {etag}"] * bool(etag) + [f"Last-Modified: {last_modified}"] * bool(last_modified)

        def answer(request):
            asked = request["if-none-match"]
            if asked is not None and etag:
                is_same = etag.removeprefix("W/") in [one.strip().removeprefix("W/") for one in asked.split(",")]
            else:
                is_same = last_modified and asked is None and request["if-modified-since"] == last_modified
            if is_same:
                return reply(304, b"", *named, *(renewed or fields), length=False)
            if request.method == "HEAD":
                return reply(200, b"", *named, *fields, f"Content-Length: {len(body)}", length=False)
            return reply(200, body, *named, *fields)

        self.answer = answer
        return self

    def ask(self, method, *fields, tail="", **options):
        return self.site.ask(method, self.path + tail, *fields, **options)

    def get(self, *fields, tail="", **options):
        return self.ask("GET", *fields, tail=tail, **options)

    def is_kept(self, *fields):
        """Is what the app says now stored, for who asks with these fields? Asks twice."""
        before = len(self.requests)
        first, second = self.get(*fields), self.get(*fields)
        assert first.status == second.status
        came = len(self.requests) - before
        assert came >= 1, f"it was known before: {first}"
        assert is_hit(second) == (came == 1), f"{came} requests came, and yet {second}"
        assert not is_hit(second) or first.body == second.body
        return came == 1

    def is_reused(self, *fields, **options):
        """Is a stored answer handed out now, without asking the app?"""
        before = len(self.requests)
        answer = self.get(*fields, **options)
        assert is_hit(answer) == (len(self.requests) == before), f"{len(self.requests) - before} requests came, and yet {answer}"
        return is_hit(answer)

    @property
    def last(self):
        """What the app was asked last."""
        return self.requests[-1]


class Site:
    """A weir and its app, which tests share: page() is a place there that nobody else uses."""

    def __init__(self, start, **config):
        self.pages = {}
        self.numbers = itertools.count(1)
        self.app = App(self._answer)
        self.weir = start(self.app, **config)

    def _answer(self, request):
        path = request.target.split("?")[0]
        while path and path not in self.pages:
            path = path.rpartition("/")[0]
        return self.pages[path](request) if path else reply(404, b"no such page", "Cache-Control: no-store")

    def page(self, path=None):
        path = path or f"/page{next(self.numbers)}"
        self.pages[path] = Page(self, path)
        return self.pages[path]

    def ask(self, method, target, *fields, host="test", body=None, source=None):
        with self.weir.wire(source=source) as wire:
            wire.request(method, target, *fields, host=host, body=body)
            return wire.reply(method)

    def close(self):
        self.app.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- clients in numbers ---


class Load:
    """Clients that ask one request after the other, each on a kept connection, until stopped. What goes wrong is in `failures`: whatever
    is not a 200, and each request that was sent and got no whole reply."""

    def __init__(self, weir, clients=8, target="/", fields=(), listener=0, check=None, may_be_refused=False):
        self.weir = weir
        self.target = target
        self.fields = fields
        self.listener = listener
        self.check = check
        self.may_be_refused = may_be_refused  # weir is stopping: who is not connected yet has lost nothing
        self.failures = []
        self.answers = 0
        self.reused = 0
        self.changed = threading.Condition()
        self.is_over = False
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        wire = None
        while not self.is_over:
            if not wire:
                try:
                    wire = self.weir.wire(self.listener)
                except OSError as error:
                    if not self.may_be_refused:
                        self.failures.append(f"no connection: {error}")
                    return
            else:
                self.reused += 1
            try:
                wire.request("GET", self.target, *self.fields)
                answer = wire.reply()
            except (OSError, Broken) as error:
                self.failures.append(f"no reply: {error}")
                return
            if answer.status != 200 or (self.check and not self.check(answer)):
                self.failures.append(repr(answer))
            with self.changed:
                self.answers += 1
                self.changed.notify_all()
            if (answer["connection"] or "").lower() == "close":
                wire.close()
                wire = None
        if wire:
            wire.close()

    def wait_for(self, count):
        """Until that many more answers have come."""
        with self.changed:
            wanted = self.answers + count
            assert self.changed.wait_for(lambda: self.answers >= wanted or self.failures, patience(20)), "the load got stuck"

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(patience(20))
            assert not thread.is_alive(), "a client never got its answer"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def together(count, ask_one):
    """Runs ask_one(index) in as many threads at once; returns their results in order. A failure in one fails the test."""
    results = [None] * count
    errors = []
    gate = threading.Barrier(count)

    def run(index):
        try:
            gate.wait(patience(10))
            results[index] = ask_one(index)
        except Exception as error:  # pylint: disable=broad-except
            errors.append(f"{index}: {error!r}")

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + patience(30)
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0.1))
    assert not any(thread.is_alive() for thread in threads), "somebody never got an answer"
    assert not errors, errors[:5]
    return results


__all__ = ["Load", "OUTDATED", "Page", "Site", "ask", "cache_status", "echo", "generation", "http_date", "is_hit", "metrics", "named", "status",
           "tell", "together", "total"]
