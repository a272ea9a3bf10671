#!/usr/bin/env python3
"""The profiles `core` and `incremental` of the Open Export Protocol in plain Python, from docs/export-api.md alone.

    python3 incremental.py --port 8098    the lists of one customer: tok_ann reads all, tok_lists the lists alone

Its own interface: `PUT /lists/ID {"name": …}`, `PUT /todos/ID {"text": …, "list": ID}` (and "private", "trashed"),
`PUT /todos/ID/files/NAME` with bytes, and `DELETE` of all of them. `minimal.py` shows what is asked for at least.
"""
import argparse, base64, gzip, hashlib, hmac, json, re, sqlite3, threading, time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

TOKENS = {"tok_ann": ("ann", {"export.read", "export.blobs"}), "tok_lists": ("ann", {"export.read:lists"})}
ISSUER = "https://login.example.com"  # who gives out tokens, and takes them back
KEY = b"thirty-two secret random bytes.."  # from the service's secrets: cursors outlive restarts
GENERATION, LIFETIME, RETENTION = "1", 24 * 3600, 30 * 24 * 3600
LINES = 900  # a page needs no checkpoint before its 1,000th line
MAX_WAIT, QUOTA, WINDOW = 30, 60_000, 60
COLLECTIONS = ["lists", "todos"]

db = sqlite3.connect(":memory:", check_same_thread=False)
commit = threading.Condition()  # one at a time: the numbers of the log are given in the order of the commits (R5)
db.executescript("""
    CREATE TABLE records (account TEXT, collection TEXT, id TEXT, data TEXT, list TEXT, private INTEGER,
                          state TEXT, version INTEGER, PRIMARY KEY (account, collection, id));
    CREATE TABLE files (id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, todo TEXT, name TEXT, bytes BLOB);
    CREATE TABLE log (position INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, collection TEXT, id TEXT, at REAL);
""")
COLUMNS = "collection, id, data, list, private, state, version"
used = {}  # the window of each token, and its requests in it

class Problem(Exception):
    def __init__(self, status, kind, title, headers={}, **more):
        self.status, self.headers = status, headers
        kind = kind if ":" in kind else "urn:open-export:problem:" + kind
        self.body = {"type": kind, "status": status, "title": title, **more}

def moment(seconds=None):
    when = datetime.now(timezone.utc) if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
    return when.isoformat(timespec="milliseconds")

def dumps(value, **how):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), **how).encode()

def sha(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()

def schema():
    """The id is the digest of the RFC 8785 form: with plain text and whole numbers that is JSON with sorted names."""
    def described(name, title, member, refs, blobs):
        record = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": [member],
                  "properties": {member: {"type": "string"}}}
        return {"name": name, "title": title, "kind": "record", "record": record, "refs": refs, "blobs": blobs,
                "access": {"exported": False}, "supports": ["snapshot", "changes", "inventory"]}
    to_list = {"name": "list", "to": ["lists"], "min": 0, "max": 1, "required_on_import": False}
    document = {"open_export": "1.0", "collections": [
        described("lists", "Lists", "name", [], []),
        described("todos", "To-dos", "text", [to_list], [{"role": "attachment"}])]}
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
        raise Problem(410, "generation-changed", "The account was rebuilt", resync=RESYNC)
    return position

RESYNC = {"collections": ["*"], "mode": "snapshot+reconcile"}

class Grant:
    """What a token may see of an account."""
    def __init__(self, account, scopes):
        self.account, self.scopes = account, scopes
        self.reads = [name for name in COLLECTIONS if scopes & {"export.read", "export.read:" + name}]

    def needs(self, scope):
        if scope not in self.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise Problem(403, "insufficient-scope", "The token does not allow this", {"WWW-Authenticate": challenge},
                          scope=scope)

    def wanted(self, query):
        """The collections of a request: what it names, or all that the token reads."""
        names = query["collections"].split(",") if "collections" in query else self.reads
        if not names or set(names) - set(COLLECTIONS):
            raise Problem(400, "invalid-parameter", "There is no such collection", parameters=["collections"])
        for name in names:
            if name not in self.reads:
                self.needs("export.read:" + name)
        return [name for name in COLLECTIONS if name in names]

def head(account):
    return db.execute("SELECT coalesce(max(position), 0) FROM log").fetchone()[0]

def line_of(row, inventory=False):
    """A record as a line; one that cannot be read leaves a line that says so, and never vanishes."""
    collection, id, data, in_list, _, state, version = row
    if inventory:
        return {"type": "item", "collection": collection, "id": id, "version": str(version)}
    try:
        data = json.loads(data)
    except ValueError:
        problem = {"type": "urn:open-export:problem:record-unavailable", "title": "The record cannot be exported"}
        return {"type": "err", "collection": collection, "id": id, "problem": problem, "retry": False}
    line = {"type": "put", "collection": collection, "id": id, "version": str(version), "state": state}
    if in_list:
        line["refs"] = {"list": {"collection": "lists", "id": in_list}}
    files = db.execute("SELECT id, name, bytes FROM files WHERE todo = ? ORDER BY id", (id,)).fetchall()
    if collection == "todos" and files:
        line["blobs"] = [{"blob": f"f{file}", "role": "attachment", "name": name, "size": len(content),
                          "digest": {"sha-256": sha(content)}, "status": "available"} for file, name, content in files]
    return {**line, "data": data}

def stream(account, kind, lines, more=False, start={}, **end):
    """The start, the lines, and an end that proves that nothing is missing."""
    first = {"type": "start", "open_export": "1.0", "kind": kind, "account": account, "generation": GENERATION,
             "schema": schema()["schema"], "at": moment(), **start}
    text = b"".join(dumps(line) + b"\n" for line in [first, *lines])
    counts = {}
    for line in lines:
        if line["type"] in ("put", "del", "item", "err"):
            of_it = counts.setdefault(line["collection"], {})
            of_it[line["type"]] = of_it.get(line["type"], 0) + 1
    return text + dumps({"type": "end", "more": more, "lines": len(lines) + 1, "counts": counts,
                         "digest": {"sha-256": sha(text)}, **end}) + b"\n"

def snapshot(grant, query, kind):
    account, limit = grant.account, limit_of(query)
    if "cursor" in query:
        began, position, names, at, after = unseal(account, kind, query["cursor"])
        if "collections" in query and grant.wanted(query) != names:
            raise Problem(400, "cursor-invalid", "The cursor was issued for other collections")
    else:  # the position comes before the first row (R1)
        began, position, names, at, after = time.time(), head(account), grant.wanted(query), 0, ""
    if began + LIFETIME < time.time() or set(names) - set(grant.reads):
        raise Problem(410, "snapshot-expired", "The snapshot is too old: start a new one")
    rows = db.execute(f"""SELECT {COLUMNS} FROM records WHERE account = ? AND collection = ? AND id > ? AND NOT private
        ORDER BY id LIMIT ?""", (account, names[at], after, limit)).fetchall()  # by key, never by offset (R2)
    at, after = (at, rows[-1][1]) if len(rows) == limit else (at + 1, "")
    more = at < len(names)
    header = {"id": f"{began}-{position}", "consistency": "fuzzy", "began": moment(began),
              "expires": moment(began + LIFETIME)}
    start = {"snapshot": header} if kind == "snapshot" else {}
    start["changes_cursor"] = seal(account, "changes", position, names, grant.reads)
    end = {"cursor": seal(account, kind, began, position, names, at, after)} if more else {}
    return stream(account, kind, [line_of(row, kind == "inventory") for row in rows], more, start, **end)

def changes(grant, query):
    account, limit = grant.account, limit_of(query)
    if "since" not in query:
        raise Problem(400, "invalid-parameter", "The cursor is missing", parameters=["since"])
    since, names, read = unseal(account, "changes", query["since"])
    until = time.monotonic() + min(number_of(query, "wait", 0), MAX_WAIT)
    while head(account) <= since and (left := until - time.monotonic()) > 0:
        commit.wait(left)  # others may write meanwhile
    oldest = db.execute("SELECT min(position) FROM log").fetchone()[0]
    if oldest is not None and since < oldest - 1:
        raise Problem(410, "cursor-expired", "The cursor is too old: read a snapshot", resync=RESYNC)
    # The token reads more than it did, or less: those collections are read anew.
    regranted = sorted(set(names) & (set(read) ^ set(grant.reads)))
    lines = [{"type": "reset", "collections": regranted, "reason": "coverage-changed"}] if regranted else []
    logged = db.execute("""SELECT position, collection, id, at FROM log WHERE account = ? AND position > ?
        ORDER BY position LIMIT ?""", (account, since, limit)).fetchall()
    last = {(collection, id): position for position, collection, id, _ in logged}
    for position, collection, id, at in logged:
        if last[collection, id] != position or collection not in set(names) & set(grant.reads):
            continue  # several changes are folded into the last one (R4)
        row = row_of(account, collection, id)
        if row and not row[4]:
            lines.append(line_of(row))
        else:
            lines.append({"type": "del", "collection": collection, "id": id, "at": moment(at),
                          "reason": "access_lost" if row else "deleted"})
    more = len(logged) == limit
    position = logged[-1][0] if more else head(account)
    end = {"cursor": seal(account, "changes", position, names, grant.reads)}
    if not more and query.get("drift") == "1":
        end["drift"] = sums(account, [name for name in names if name in grant.reads])
    return stream(account, "changes", lines, more, **end)

def sums(account, names):
    listed = []
    for name in names:
        rows = db.execute("SELECT id, version FROM records WHERE account = ? AND collection = ? AND NOT private",
                          (account, name)).fetchall()
        total = 0
        for id, version in rows:
            total ^= int.from_bytes(hashlib.sha256(f"{name}\0{id}\0{version}".encode()).digest(), "big")
        listed.append({"name": name, "count": len(rows), "xor_sha256": f"{total:064x}"})
    return listed

def drift(grant, query):
    names = grant.wanted(query)
    if "at" in query:
        at, filtered, _ = unseal(grant.account, "changes", query["at"])
        names = names if "collections" in query else [name for name in filtered if name in grant.reads]
        if at != head(grant.account):
            raise Problem(409, "drift-moved", "The account has changed since this cursor")
    cursor = seal(grant.account, "changes", head(grant.account), names, grant.reads)
    return {"cursor": cursor, "collections": sums(grant.account, names), "at": moment()}

def coverage(grant):
    listed = []
    for name in COLLECTIONS:
        if name not in grant.reads:
            listed.append({"name": name, "visible": "none", "reason": "scope", "grant": "export.read:" + name})
            continue
        seen, hidden = db.execute("""SELECT count(*), coalesce(sum(private), 0) FROM records
            WHERE account = ? AND collection = ?""", (grant.account, name)).fetchone()
        entry = {"name": name, "visible": "partial" if hidden else "all", "count": seen - hidden}
        listed.append({**entry, "hidden_count": hidden, "reason": "private"} if hidden else entry)
    return {"account": grant.account, "generation": GENERATION, "as_of": moment(), "collections": listed}

def records(grant, keys):
    rows = [row_of(grant.account, key["collection"], key["id"]) for key in keys if key["collection"] in grant.reads]
    return [line_of(row) for row in rows if row and not row[4]]

def row_of(account, collection, id):
    return db.execute(f"SELECT {COLUMNS} FROM records WHERE account = ? AND collection = ? AND id = ?",
                      (account, collection, id)).fetchone()

def file_of(grant, id):
    grant.needs("export.blobs")
    row = db.execute("SELECT bytes, todo FROM files WHERE account = ? AND 'f' || id = ?", (grant.account, id)).fetchone()
    todo = row and row_of(grant.account, "todos", row[1])
    if not todo or todo[4] or "todos" not in grant.reads:
        raise Problem(404, "not-found", NOTHING)
    return row[0]

NOTHING = "There is no such thing, or this token does not see it"

def number_of(query, name, default):
    if not query.get(name, "0").isdigit():
        raise Problem(400, "invalid-parameter", "A parameter is not a number", parameters=[name])
    return int(query.get(name, default))

def limit_of(query):
    limit = number_of(query, "limit", LINES)
    if limit < 1:
        raise Problem(400, "invalid-parameter", "The limit is a number from 1", parameters=["limit"])
    return min(limit, LINES)

def write(account, collection, id, new):
    """One transaction: the record, and its entry in the log. A version is never given again."""
    with db:
        version = head(account) + 1
        if new is None:
            db.execute("DELETE FROM records WHERE (account, collection, id) = (?, ?, ?)", (account, collection, id))
            db.execute("DELETE FROM files WHERE account = ? AND todo = ? AND ? = 'todos'", (account, id, collection))
        else:
            in_list, private, trashed = new.pop("list", None), new.pop("private", False), new.pop("trashed", False)
            db.execute("REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                       (account, collection, id, dumps(new).decode(), in_list, private,
                        "trashed" if trashed else "live", version))
        note(account, collection, id)
        db.execute("DELETE FROM log WHERE at < ? AND position < ?", (time.time() - RETENTION, version))
    commit.notify_all()
    return {}

def attach(account, todo, name, content):
    with db:
        db.execute("INSERT INTO files (account, todo, name, bytes) VALUES (?, ?, ?, ?)", (account, todo, name, content))
        db.execute("UPDATE records SET version = ? WHERE collection = 'todos' AND id = ?", (head(account) + 1, todo))
        note(account, "todos", todo)
    commit.notify_all()
    return {}

def note(account, collection, id):
    db.execute("INSERT INTO log (account, collection, id, at) VALUES (?, ?, ?, ?)", (account, collection, id, time.time()))

class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1  # head and body in one packet

    def serve(self):
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 1 << 24))
        url, self.out, status = urlsplit(self.path), {}, 200
        try:
            with commit:
                path = [unquote(part) for part in url.path.strip("/").split("/")]
                answer = self.route(path, dict(parse_qsl(url.query, keep_blank_values=True)), body)
        except (KeyError, TypeError, ValueError):
            status, answer = 400, Problem(400, "invalid-parameter", "The request is not understood").body
        except Problem as problem:
            status, answer = problem.status, problem.body
            self.out.update(problem.headers)
        if isinstance(answer, tuple):
            status, answer = answer  # the bytes of a file, which are sent as they are
        elif isinstance(answer, bytes):
            self.out["Content-Type"] = "application/vnd.open-export+ndjson; version=1"
            answer = self.packed(answer)
        else:
            status, answer = self.document(status, answer)
        self.send_response(status)
        headers = {"Open-Export-Version": "1.0", "Vary": "Accept-Encoding", "Content-Length": str(len(answer))}
        for name, value in {**headers, **self.out}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(answer)

    def document(self, status, answer):
        self.out["Content-Type"] = "application/json" if status == 200 else "application/problem+json"
        if status == 200:  # what only tells the time does not make another document
            lasting = {name: value for name, value in answer.items() if name not in ("as_of", "at")}
            tag = self.out["ETag"] = f'W/"{hashlib.sha256(dumps(lasting)).hexdigest()}"'
            known = [each.strip().removeprefix("W/") for each in self.headers.get("If-None-Match", "").split(",")]
            if tag.removeprefix("W/") in known:
                return 304, b""
        return status, self.packed(dumps(answer))

    def packed(self, body):
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self.out["Content-Encoding"] = "gzip"
            return gzip.compress(body, 3)
        return body

    def file(self, content):
        """Ranges and digests (RFC 9110, RFC 9530)."""
        tag, size, status = f'"{hashlib.sha256(content).hexdigest()}"', len(content), 200
        self.out |= {"ETag": tag, "Accept-Ranges": "bytes", "Repr-Digest": f"sha-256=:{sha(content)}:",
                     "Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked and any(asked.groups()) and self.headers.get("If-Range", tag) == tag:
            first, last = asked.groups()
            begin = int(first) if first else max(size - int(last), 0)
            end = min(int(last) + 1, size) if first and last else size
            if begin >= end:
                raise Problem(416, "range-not-satisfiable", "It ends before", {"Content-Range": f"bytes */{size}"})
            status, content = 206, content[begin:end]
            self.out |= {"Content-Range": f"bytes {begin}-{end - 1}/{size}",
                         "Content-Digest": f"sha-256=:{sha(content)}:"}
        return status, content

    def grant(self, metadata):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in TOKENS:
            challenge = {"WWW-Authenticate": f'Bearer resource_metadata="{metadata}"'}
            raise Problem(401, "unauthenticated", "A valid bearer token is needed", challenge)
        window = int(time.time()) // WINDOW
        since, count = used.get(token, (window, 0))
        used[token] = (window, count + 1 if since == window else 1)
        left, resets = QUOTA - used[token][1], WINDOW - int(time.time()) % WINDOW
        self.out |= {"RateLimit-Policy": f'"export";q={QUOTA};w={WINDOW}',
                     "RateLimit": f'"export";r={max(left, 0)};t={resets}'}
        if left < 0:
            kind = "https://iana.org/assignments/http-problem-types#quota-exceeded"
            raise Problem(429, kind, "Too many requests", {"Retry-After": str(resets)},
                          **{"violated-policies": ["export"]})
        return Grant(*TOKENS[token])

    def route(self, path, query, body):
        origin = f"http://{self.headers['Host']}"
        base, metadata = origin + "/v1", origin + "/.well-known/oauth-protected-resource/v1"
        if path == [".well-known", "open-export"]:
            return {"open_export_versions": ["1.0"], "api_base": base, "profiles": ["minimal", "core", "incremental"],
                    "service": {"id": "lists", "name": "Lists", "vendor": "Example Ltd"}, "excluded": [],
                    "public_schema": base + "/public-schema", "resource_metadata": metadata,
                    "digests": ["sha-256"], "content_codings": ["gzip"],
                    "limits": {"change_retention_seconds": RETENTION, "snapshot_ttl_seconds": LIFETIME,
                               "max_wait_seconds": MAX_WAIT, "full_export_target_seconds": 24 * 3600}}
        if path == [".well-known", "oauth-protected-resource", "v1"]:
            scopes = ["export.read", "export.blobs", *("export.read:" + name for name in COLLECTIONS)]
            return {"resource": base, "authorization_servers": [ISSUER], "scopes_supported": scopes,
                    "bearer_methods_supported": ["header"]}
        if path == ["v1", "public-schema"]:
            return schema()
        grant = self.grant(metadata)
        match path, self.command:
            case [collection, id], "PUT" | "DELETE" if collection in COLLECTIONS:
                return write(grant.account, collection, id, json.loads(body) if self.command == "PUT" else None)
            case ["todos", id, "files", name], "PUT":
                return attach(grant.account, id, name, body)
        walk = {"collections", "limit", "cursor"}
        known = {"snapshot": walk, "inventory": walk, "changes": {"since", "limit", "wait", "drift"},
                 "drift": {"at", "collections"}}.get(path[-1], set())
        if set(query) - known and "handling=lenient" not in self.headers.get("Prefer", ""):
            raise Problem(400, "unknown-parameter", "A parameter is not known here", known=sorted(known))
        if path == ["v1", "accounts"]:
            return {"accounts": [{"account": grant.account}]}
        if path[:3] != ["v1", "accounts", grant.account]:
            raise Problem(404, "not-found", NOTHING)
        self.out["Open-Export-Generation"] = quote(GENERATION)
        match path[3:]:
            case ["schema"]: return schema()
            case ["coverage"]: return coverage(grant)
            case ["status"]:
                cursor = seal(grant.account, "changes", head(grant.account), grant.reads, grant.reads)
                return {"account": grant.account, "generation": GENERATION, "schema": schema()["schema"],
                        "cursor": cursor, "as_of": moment()}
            case ["snapshot" | "inventory" as kind]: return snapshot(grant, query, kind)
            case ["changes"]: return changes(grant, query)
            case ["drift"]: return drift(grant, query)
            case ["blobs", id]: return self.file(file_of(grant, id))
            case ["records"]: return stream(grant.account, "records", records(grant, json.loads(body)["ids"][:500]))
            case ["records", collection, id]:
                if found := records(grant, [{"collection": collection, "id": id}]):
                    return stream(grant.account, "records", found)
        raise Problem(404, "not-found", NOTHING)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=8098)
    ThreadingHTTPServer(("127.0.0.1", options.parse_args().port), Handler).serve_forever()
