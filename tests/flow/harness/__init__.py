"""What every flow test stands on: a real weir, a scripted app behind it and a raw client before it.

Ports are chosen by the kernel, everything is on the loopback, and nothing sleeps where an event can be awaited.
"""

from .app import App, Peer, Request, chunked, reply
from .authority import Authority
from .patience import eventually, patience
from .weir import SANITIZED, Weir
from .wire import Broken, Reply, Wire

__all__ = ["App", "Authority", "Broken", "Peer", "Reply", "Request", "SANITIZED", "Weir", "Wire", "chunked", "eventually", "patience",
           "reply"]
