#!/usr/bin/env python3
"""The profile `minimal` of the Open Export Protocol in plain Python, written from docs/export-api.md alone.

    python3 minimal.py --port 8099        a to-do list of one customer, whose token is tok_ann

Its own interface is `PUT /todos/ID` with a text, and `DELETE /todos/ID`.
"""
import argparse, base64, gzip, hashlib, hmac, json, sqlite3, threading, time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

TOKENS = {"tok_ann": "ann"}  # which account a token is for
KEY = b"thirty-two secret random bytes.."  # from the service's secrets: cursors outlive restarts
GENERATION, LIFETIME = "1", 24 * 3600
LINES = 900  # a page needs no checkpoint before its 1,000th line

db = sqlite3.connect(":memory:", check_same_thread=False)
lock = threading.Lock()  # one at a time: the numbers of the log are given in the order of the commits (R5)
db.executescript("""
    CREATE TABLE todos (account TEXT, id INTEGER, text TEXT, version INTEGER, PRIMARY KEY (account, id));
    CREATE TABLE log (position INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, id INTEGER, at TEXT);
""")

class Problem(Exception):
    def __init__(self, status, kind, title, **more):
        self.status = status
        self.body = {"type": "urn:open-export:problem:" + kind, "status": status, "title": title, **more}

def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")

def dumps(value, **how):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), **how).encode()

def schema():
    """The id is the digest of the RFC 8785 form: with plain text and whole numbers that is JSON with sorted names."""
    record = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["text"],
              "properties": {"text": {"type": "string"}}}
    todos = {"name": "todos", "title": "To-dos", "kind": "record", "record": record, "refs": [], "blobs": [],
             "access": {"exported": False}, "supports": ["snapshot", "changes"]}
    document = {"open_export": "1.0", "collections": [todos]}
    return {**document, "schema": "sha256:" + hashlib.sha256(dumps(document, sort_keys=True)).hexdigest()}

def seal(account, kind, *position):
    content = dumps([account, GENERATION, kind, position])
    return base64.urlsafe_b64encode(hmac.digest(KEY, content, "sha256") + content).decode().rstrip("=")

def unseal(account, kind, cursor):
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    genuine = hmac.compare_digest(hmac.digest(KEY, raw[32:], "sha256"), raw[:32])
    of, generation, sealed, position = json.loads(raw[32:]) if genuine else (None,) * 4
    if (of, sealed) != (account, kind):
        raise Problem(400, "cursor-invalid", "The cursor was not issued for this request")
    if generation != GENERATION:
        resync = {"collections": ["*"], "mode": "snapshot+reconcile"}
        raise Problem(410, "generation-changed", "The account was rebuilt", resync=resync)
    return position

def put(row):
    return {"type": "put", "collection": "todos", "id": str(row[0]), "version": str(row[2]), "data": {"text": row[1]}}

def stream(account, kind, lines, more=False, start={}, **end):
    """The start, the lines, and an end that proves that nothing is missing."""
    first = {"type": "start", "open_export": "1.0", "kind": kind, "account": account, "generation": GENERATION,
             "schema": schema()["schema"], "at": now(), **start}
    text = b"".join(dumps(line) + b"\n" for line in [first, *lines])
    counts = {name: sum(line["type"] == name for line in lines) for name in ("put", "del")}
    counts = {"todos": {name: count for name, count in counts.items() if count}} if lines else {}
    digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
    return text + dumps({"type": "end", "more": more, "lines": len(lines) + 1, "counts": counts,
                         "digest": {"sha-256": digest}, **end}) + b"\n"

def snapshot(account, query):
    if "cursor" in query:
        began, position, after = unseal(account, "snapshot", query["cursor"])
    elif query.get("collections", "todos") != "todos":
        raise Problem(400, "invalid-parameter", "There is no such collection", parameters=["collections"])
    else:  # the position comes before the first row (R1)
        began, after = time.time(), -1
        position = db.execute("SELECT coalesce(max(position), 0) FROM log").fetchone()[0]
    if began + LIFETIME < time.time():
        raise Problem(410, "snapshot-expired", "The snapshot is too old: start a new one")
    limit = limit_of(query)
    rows = db.execute("SELECT id, text, version FROM todos WHERE account = ? AND id > ? ORDER BY id LIMIT ?",
                      (account, after, limit)).fetchall()  # by key, never by offset (R2)
    header = {"id": f"{began}-{position}", "consistency": "fuzzy",
              "began": datetime.fromtimestamp(began, timezone.utc).isoformat()}
    start = {"snapshot": header, "changes_cursor": seal(account, "changes", position)}
    more = len(rows) == limit
    end = {"cursor": seal(account, "snapshot", began, position, rows[-1][0])} if more else {}
    return stream(account, "snapshot", [put(row) for row in rows], more, start, **end)

def changes(account, query):
    if "since" not in query:
        raise Problem(400, "invalid-parameter", "The cursor is missing", parameters=["since"])
    [since], limit = unseal(account, "changes", query["since"]), limit_of(query)
    rows = db.execute("""SELECT log.position, log.id, log.at, todos.text, todos.version FROM log LEFT JOIN todos
        USING (account, id) WHERE account = ? AND position > ? ORDER BY position LIMIT ?""",
                      (account, since, limit)).fetchall()
    last = {id: position for position, id, *_ in rows}  # several changes are folded into the last one (R4)
    lines = [{"type": "del", "collection": "todos", "id": str(id), "at": at, "reason": "deleted"}
             if text is None else put((id, text, version))
             for position, id, at, text, version in rows if last[id] == position]
    cursor = seal(account, "changes", rows[-1][0] if rows else since)
    return stream(account, "changes", lines, len(rows) == limit, cursor=cursor)

def records(account, keys):
    wanted = [key["id"] for key in keys if key["collection"] == "todos"]
    query = f"SELECT id, text, version FROM todos WHERE account = ? AND id IN ({','.join('?' * len(wanted))})"
    return [put(row) for row in db.execute(query, (account, *wanted))]

def limit_of(query):
    if not query.get("limit", "1").isdigit() or int(query.get("limit", "1")) < 1:
        raise Problem(400, "invalid-parameter", "The limit is a number from 1", parameters=["limit"])
    return min(int(query.get("limit", LINES)), LINES)

def write(account, id, text):
    with db:
        if text is None:
            db.execute("DELETE FROM todos WHERE account = ? AND id = ?", (account, id))
        else:
            db.execute("""REPLACE INTO todos VALUES (?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM log))""",
                       (account, id, text))
        db.execute("INSERT INTO log (account, id, at) VALUES (?, ?, ?)", (account, id, now()))

class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1  # head and body in one packet

    def serve(self):
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 1 << 20))
        url, status, kind = urlsplit(self.path), 200, "application/json"
        try:
            with lock:
                path = [unquote(part) for part in url.path.strip("/").split("/")]
                answer = self.route(path, dict(parse_qsl(url.query, keep_blank_values=True)), body)
        except (KeyError, TypeError, ValueError):
            status, answer = 400, Problem(400, "invalid-parameter", "The request is not understood").body
        except Problem as problem:
            status, answer = problem.status, problem.body
        kind = kind if status == 200 else "application/problem+json"
        kind = "application/vnd.open-export+ndjson; version=1" if isinstance(answer, bytes) else kind
        body = answer if isinstance(answer, bytes) else dumps(answer)
        headers = {"Content-Type": kind, "Open-Export-Version": "1.0", "Open-Export-Generation": GENERATION,
                   "Vary": "Accept-Encoding"}
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, 3), "gzip"
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def route(self, path, query, body):
        base = f"http://{self.headers['Host']}/v1"
        if path == [".well-known", "open-export"]:
            return {"open_export_versions": ["1.0"], "api_base": base, "profiles": ["minimal"], "excluded": [],
                    "service": {"id": "todos", "name": "To-dos", "vendor": "Example Ltd"},
                    "public_schema": base + "/public-schema", "digests": ["sha-256"], "content_codings": ["gzip"],
                    "limits": {"change_retention_seconds": 30 * 24 * 3600, "snapshot_ttl_seconds": LIFETIME}}
        if path == ["v1", "public-schema"]:
            return schema()
        account = TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if account is None:
            raise Problem(401, "unauthenticated", "A valid bearer token is needed")
        if path[0] == "todos":
            return write(account, int(path[1]), body.decode() if self.command == "PUT" else None) or {}
        known = {"snapshot": {"collections", "limit", "cursor"}, "changes": {"since", "limit"}}.get(path[-1], set())
        if set(query) - known and "handling=lenient" not in self.headers.get("Prefer", ""):
            raise Problem(400, "unknown-parameter", "A parameter is not known here", known=sorted(known))
        if path == ["v1", "accounts"]:
            return {"accounts": [{"account": account}]}
        match path[3:] if path[:3] == ["v1", "accounts", account] else None:
            case ["schema"]: return schema()
            case ["snapshot"]: return snapshot(account, query)
            case ["changes"]: return changes(account, query)
            case ["records"]:
                return stream(account, "records", records(account, json.loads(body)["ids"][:500]))
            case ["records", collection, id]:
                if found := records(account, [{"collection": collection, "id": id}]):
                    return stream(account, "records", found)
        raise Problem(404, "not-found", "There is no such thing, or this grant does not see it")

    do_GET = do_POST = do_PUT = do_DELETE = serve

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=8099)
    ThreadingHTTPServer(("127.0.0.1", options.parse_args().port), Handler).serve_forever()
