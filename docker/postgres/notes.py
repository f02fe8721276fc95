#!/usr/bin/python3
"""Notes in PostgreSQL: what an app needs to be behind weir, which is nothing. One process for each database.

    GET /notes    the notes, newest first; POST /notes    makes one of the body; GET /healthz    200 while the database answers

Environment: DSN, ROLE (what Server-Role says), PORT.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.pool import ThreadedConnectionPool

BODY_MAX = 4096
pool = ThreadedConnectionPool(0, 32, os.environ["DSN"])


def query(sql, *values):
    """Rows, and the commit is done when they are here."""
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()
    finally:
        pool.putconn(connection, close=connection.closed != 0)


class Notes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text, **fields):
        body = text.encode()
        self.send_response(status)
        self.send_header("Server-Role", os.environ.get("ROLE", "primary"))
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if self.close_connection:  # without a word the next request would meet a closed connection
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def handle_path(self, method):
        if method == "GET" and self.path == "/healthz":
            query("select 1")
            self.answer(200, "fine\n", Cache_Control="no-store")
        elif method == "GET" and self.path == "/notes":
            rows = query("select id, text from notes order by id desc limit 20")
            self.answer(200, "".join(f"{number} {text}\n" for number, text in rows), Cache_Control="max-age=5", Cache_Tag="notes")
        elif method == "POST" and self.path == "/notes":
            length = int(self.headers.get("Content-Length") or 0)
            if length > BODY_MAX:
                self.close_connection = True
                self.answer(413, "a note is short\n")
                return
            (number,), = query("insert into notes (text) values (%s) returning id", self.rfile.read(length).decode(errors="replace"))
            self.answer(201, f"{number}\n", Weir_Purge="notes")
        else:
            self.close_connection = True  # a body may be left
            self.answer(404, "there are only /notes\n")

    def handle_safely(self, method):
        try:
            self.handle_path(method)
        except ReadOnlySqlTransaction:
            self.answer(409, "a replica cannot write\n", Weir_Replay="primary")
        except psycopg2.Error:
            self.close_connection = True
            self.answer(503, "the database does not answer\n", Cache_Control="no-store")

    def do_GET(self):
        self.handle_safely("GET")

    def do_POST(self):
        self.handle_safely("POST")

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "3000"))), Notes).serve_forever()
