"""A running weir: started with a config, ready when it says so, judged by how it ends."""

import json
import os
import re
import select
import signal
import subprocess
from pathlib import Path

from .patience import eventually, patience
from .wire import Wire

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("WEIR_BIN", REPOSITORY / "build/proxy/weir")).resolve()
SANITIZED = bool(os.environ.get("WEIR_SANITIZED"))

SANITIZER_SAYS = re.compile(r"ERROR: \w*Sanitizer|runtime error:|WARNING: ThreadSanitizer|SUMMARY: \w*Sanitizer")


class Weir:
    """A weir with `config`: YAML text, or the same as a dict (JSON is YAML too)."""

    def __init__(self, config, folder, environment=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "weir.yaml"
        self.file.write_text(config if isinstance(config, str) else json.dumps(config, indent=2))
        self.stderr = folder / "stderr.log"
        self.has_ended_well = None
        self.is_asked_to_stop = False
        variables = dict(os.environ, **(environment or {}))
        variables.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
        variables.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        with self.stderr.open("wb") as errors:
            self.process = subprocess.Popen([BINARY, "-c", self.file], stdout=subprocess.PIPE, stderr=errors, env=variables)
        try:
            self._read_ready()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _read_ready(self):
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self.process.stdout], [], [], patience(5))[0], f"weir was not ready in time:\n{self.log()}"
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, f"weir ended instead of being ready:\n{self.log()}"
            line += piece
        words = line.decode().split()
        assert words[0] == "ready:", line
        here, admin = words[1 : words.index("admin")], words[words.index("admin") + 1]
        self.addresses = [self._address(word) for word in here]
        self.address = self.addresses[0]
        self.admin = self._address(admin)

    @staticmethod
    def _address(word):
        if "://" not in word:
            return word
        host, port = word.split("://")[1].rsplit(":", 1)
        return host.strip("[]"), int(port)

    def wire(self, listener=0, **options):
        return Wire(self.addresses[listener], **options)

    def get(self, target="/", *fields):
        """One GET on a connection of its own."""
        with self.wire() as wire:
            wire.request("GET", target, *fields)
            return wire.reply()

    def rss(self):
        """Resident bytes now."""
        return self._status("VmRSS")

    def rss_peak(self):
        return self._status("VmHWM")

    def _status(self, name):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"/proc says nothing about {name}")

    def freeze(self):
        """Stops every thread, so that several things can come to be before it looks again; thaw() lets it go on."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        eventually(lambda: all((task / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for task in tasks.iterdir()))

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log(self):
        return self.stderr.read_text(errors="replace")

    def accesses(self):
        """The access log so far: a dict for each request."""
        lines = self.log().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def access(self, **wanted):
        """The first line of the access log with all these values, once it is there."""

        def look():
            return next((line for line in self.accesses() if all(line.get(key) == value for key, value in wanted.items())), None)

        return eventually(look, why=f"no line of the access log has {wanted}")

    def is_running(self):
        return self.process.poll() is None

    def ask_to_stop(self):
        """Once: a second SIGTERM would end it at once, without draining."""
        if not self.is_asked_to_stop and self.is_running():
            self.is_asked_to_stop = True
            self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Stops it, and is content only if it drained, exited with 0 and no sanitizer had anything to say."""
        if self.has_ended_well is None:
            self.ask_to_stop()
            try:
                code = self.process.wait(patience(30))
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)
                self.process.wait()
                code = "none: it did not stop"
            self.process.stdout.close()
            log = self.log()
            self.has_ended_well = code == 0 and not SANITIZER_SAYS.search(log)
            lines = [line for line in log.split("\n") if not line.startswith("{")]
            self.last_words = f"{self.file.parent.name}: exit code {code}\n" + "\n".join(lines)[-8000:]
        assert self.has_ended_well, self.last_words
