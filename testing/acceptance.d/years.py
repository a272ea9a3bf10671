#!/usr/bin/env python3
"""What a long run asks for, with other code than the command's: the standard library, and the reader in docs/reader.

years.py change URL USER SEED HOUR        what happens to a WordPress in an hour; prints what; the password is in SITE_PASSWORD
years.py leave URL USER AUTHOR            an author leaves a WordPress, with all that they wrote
years.py same BEFORE AFTER [AUTHOR]       compares two jsonl exports, all bytes of attachments included, without an author
years.py author EXPORT                    the id and the address of who wrote most, but for the administrator
years.py reader EXPORT REPOSITORY KEY AT [blobs]
                                          compares an export with what docs/reader reads at that point
years.py locked URL BUCKET                all objects came with a lock, and the one that is locked for longest is not deleted
"""
import base64
import hashlib
import json
import os
import random
import runpy
import struct
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as tree
import zlib
from pathlib import Path

# Python has a module of this name, too.
Site = runpy.run_path(str(Path(__file__).with_name("site.py")))["Site"]
READER = Path(__file__).resolve().parents[2] / "docs/reader/read_repository.py"


class Editor(Site):
    """A person at work on a site."""

    def send(self, method, path, body=None, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        headers = {"Content-Type": "application/json", **self.headers, **headers}
        request = urllib.request.Request(f"{self.url}/wp-json/wp/v2/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)

    def ids(self, path, **parameters):
        return [one["id"] for one in self.get(path, per_page=100, orderby="id", _fields="id", **parameters)[0]]


def picture(draw):
    width, height = draw.randrange(20, 60), draw.randrange(20, 60)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + draw.randbytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def change(url, user, password, seed, hour):
    site, draw, done = Editor(url, user, password), random.Random(f"{seed}/{hour}"), []
    text = lambda: f"<p>Hour {hour}: " + " ".join(f"{draw.getrandbits(48):x}" for _ in range(draw.randrange(5, 200))) + "</p>"
    writers = [one["id"] for one in site.get("users", context="edit", per_page=100, orderby="id")[0]
               if {"administrator", "editor", "author"} & set(one["roles"])]
    posts = site.ids("posts", status="publish")

    def edit():
        site.send("POST", f"posts/{draw.choice(posts)}", {"content": text()})

    def write():
        post = {"title": f"Hour {hour}", "content": text(), "status": "publish", "author": draw.choice(writers)}
        posts.append(site.send("POST", "posts", post)["id"])

    def delete():
        gone = posts.pop(draw.randrange(len(posts)))
        site.send("DELETE", f"posts/{gone}" + draw.choice(["", "?force=true"]))

    def comment():
        author = draw.choice(writers)
        site.send("POST", "comments", {"post": draw.choice(posts), "author": author, "content": text()})

    def upload():
        name = {"Content-Type": "image/png", "Content-Disposition": f'attachment; filename="hour-{hour}.png"'}
        file = site.send("POST", "media", picture(draw), **name)
        site.send("POST", f"media/{file['id']}", {"author": draw.choice(writers), "caption": text()})
        site.send("POST", f"posts/{draw.choice(posts)}", {"featured_media": file["id"]})

    def remove():
        site.send("DELETE", f"media/{draw.choice(site.ids('media'))}?force=true")

    def describe():
        tags = site.ids("tags")
        site.send("POST", f"tags/{draw.choice(tags)}", {"description": f"Hour {hour}"})

    # In some hours nothing happens. What hangs on few posts or files waits until there are more.
    work = [(edit, 10), (write, 5), (delete, 3 if len(posts) > 5 else 0), (comment, 4), (upload, 3), (describe, 1),
            (remove, 2 if len(site.ids("media")) > 3 else 0)]
    for one in draw.choices(*zip(*work), k=draw.choice([0, 1, 1, 1, 2, 2, 3])):
        one()
        done.append(one.__name__)
    return done


def leave(url, user, password, who):
    site = Editor(url, user, password)
    for comment in site.list("comments", author=who, status="any"):
        site.send("DELETE", f"comments/{comment['id']}?force=true")
    # Posts and media go with whom they are of.
    site.send("DELETE", f"users/{who}?force=true&reassign=false")


class Export:
    """A folder of jsonl."""

    def __init__(self, folder):
        self.folder, self.records = Path(folder), {}
        for file in sorted(self.folder.glob("records/*.jsonl")):
            for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
                self.records[line["collection"], line["id"]] = line
        if not self.records:
            sys.exit(f"{folder} holds no records")

    def without(self, author):
        """Neither their record, nor what they wrote. All, if it is nobody."""
        if author is None:
            return self.records
        return {key: line for key, line in self.records.items()
                if key != ("users", author) and line.get("by", {}).get("id") != author}

    def files(self):
        """The digests of the attachments that are there, each worked out anew."""
        files = (file for file in self.folder.glob("blobs/**/*") if file.is_file())
        return {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def digests(records):
    blobs = (blob for line in records.values() for blob in line.get("blobs", []))
    found = (blob.get("digest", {}).get("sha-256") for blob in blobs)
    return {base64.b64decode(one).hex() for one in found if one}


def differences(before, after):
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield f"{'/'.join(key)}: {json.dumps(before.get(key))[:300]} is now {json.dumps(after.get(key))[:300]}"


def same(before, after, author=None):
    old, new = Export(before), Export(after)
    expected, found = old.without(author), new.records
    wrong = list(differences(expected, found))
    wrong += [f"the attachment {one} is not there" for one in sorted(digests(expected) & old.files() - new.files())]
    return wrong, {"records": len(found), "attachments": len(new.files()), "erased": len(old.records) - len(expected)}


def author(export):
    records, wrote = Export(export).records, {}
    for line in records.values():
        who = line.get("by", {}).get("id", "1")
        if line["collection"] == "posts" and who != "1":
            wrote[who] = wrote.get(who, 0) + 1
    most = max(sorted(wrote), key=wrote.get)
    return f"{most} {records['users', most]['data']['email']}"


def read(*words):
    return subprocess.run([sys.executable, str(READER), *words], check=True, stdout=subprocess.PIPE).stdout


def reader(export, repository, key, at, blobs=None):
    given = Export(export)
    words = ["--at", at, "--key", key]
    found = {}
    for line in map(json.loads, read(repository, "blog", "records", *words).decode().splitlines()):
        found[line["collection"], line["id"]] = line
    # The reader leaves out which commit a line came with.
    for line in given.records.values():
        line.pop("seq")
    wrong, compared = list(differences(given.records, found)), 0
    for line in found.values() if blobs else ():
        for blob in line.get("blobs", []):
            if "digest" in blob:
                data = read(repository, "blog", "blob", blob["blob"], *words)
                compared += 1
                if hashlib.sha256(data).digest() != base64.b64decode(blob["digest"]["sha-256"]):
                    wrong.append(f"the attachment {blob['blob']} has another digest")
    return wrong, {"records": len(found), "attachments": compared}


def locked(url, bucket):
    space, wrong = "{http://s3.amazonaws.com/doc/2006-03-01/}", []
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, Signature=any"}
    ask = lambda method, address: urllib.request.urlopen(
        urllib.request.Request(address, headers=signed, method=method), timeout=60)
    listing = tree.fromstring(ask("GET", f"{url}/{bucket}?versions&max-keys=100000").read())
    versions = [(one.find(f"{space}Key").text, one.find(f"{space}VersionId").text) for one in listing.findall(f"{space}Version")]
    newest = "", ""
    for name, version in versions:
        address = f"{url}/{bucket}/{urllib.parse.quote(name)}?versionId={version}"
        until = ask("HEAD", address).headers["x-amz-object-lock-retain-until-date"]
        if until is None:
            wrong.append(f"{name} was not locked")
        newest = max(newest, (until or "", address))
    try:
        # Locks of older ones may have ended.
        ask("DELETE", newest[1])
        wrong.append(f"{newest[1]} could be deleted")
    except urllib.error.HTTPError as refusal:
        if refusal.code != 403:
            raise
    return wrong, {"objects": len(versions)}


def main():
    command, *words = sys.argv[1:]
    if command == "change":
        url, user, seed, hour = words
        print(json.dumps(change(url, user, os.environ["SITE_PASSWORD"], seed, int(hour))))
    elif command == "leave":
        url, user, who = words
        leave(url, user, os.environ["SITE_PASSWORD"], who)
    elif command == "author":
        print(author(*words))
    else:
        wrong, summary = {"same": same, "reader": reader, "locked": locked}[command](*words)
        print(json.dumps(summary))
        for line in wrong[:5]:
            print(line, file=sys.stderr)
        sys.exit(bool(wrong))


main()
