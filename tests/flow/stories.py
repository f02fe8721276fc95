"""What several stories use: the admin address, an app that says what it saw, clients in numbers."""

import json
import re
import threading
import time

from harness import Broken, Wire, patience, reply

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


__all__ = ["Load", "ask", "cache_status", "echo", "generation", "is_hit", "metrics", "named", "status", "tell", "together",
           "total"]
