#!/usr/bin/env python3
"""Reads any point in time of a repository in a folder, with Python's standard library, `age` and `zstd` alone.

  read_repository.py REPOSITORY sources           the names of the sources, one a line
  read_repository.py REPOSITORY SOURCE points     the points in time, one line of JSON each, the oldest first
  read_repository.py REPOSITORY SOURCE records    the live records, one line of JSON each, in order, without "seq"
  read_repository.py REPOSITORY SOURCE blob ID    the bytes of an attachment, once their digest was checked
  read_repository.py REPOSITORY SOURCE check      compares digests, parents, and the sums of the live records

It follows ../repository-format.md; the marks (§) name its sections. Sizes, SHA-256 digests and the chain of commits are
checked whatever is read. Signatures are not, for the standard library has no Ed25519: accidents are told, attacks are
not. The lines of a source, or of the collection that is asked for, are held in memory.
An error is one line, and the exit code 1."""
import argparse, base64, hashlib, hmac, json, os, re, shutil, subprocess, sys, tempfile
from collections import namedtuple
from pathlib import Path

# Lines, or something else that commits introduce, and what is stated of the bytes.
Piece = namedtuple("Piece", "kind sequence ordinal oldest until stated")
# What a line says of its record; `order` is its sequence, its place in the commit and its place in the object.
Line = namedtuple("Line", "order until put partition sole text")
ALWAYS, UNPACK = float("inf"), ["zstd", "-dc"]
sha256 = lambda data: hashlib.sha256(data).hexdigest()
FAMILIES = {"segment": "data", "meta-segment": "meta", "delta": "data", "meta": "meta"}
TEXT = r'"((?:[^"\\]|\\.)*)"'
LINE = re.compile(
    rf'\{{"type":"(put|del)","collection":{TEXT},"id":{TEXT}(?:,"partition":{TEXT})?(,"seq":(\d+))?(,"sole":true)?[,}}]'
)


class Failure(Exception): ...  # what cannot be read, and why


def run(command, data, what, secret=None):
    """What a program makes of `data`. A secret goes through a pipe, never through a file or an argument."""
    reading, writing = os.pipe()
    os.write(writing, secret or b"")
    os.close(writing)
    command = command + (["-i", f"/dev/fd/{reading}"] if secret else [])
    done = subprocess.run(command, input=data, capture_output=True, pass_fds=[reading], check=False)
    os.close(reading)
    if done.returncode != 0:
        raise Failure(f"{what}: {' '.join(done.stderr.decode(errors='replace').split())}")
    return done.stdout


def envelope(path, **expected):
    """Header, digest of the header line, and parts (§2). None if it was cut while it was written (§6)."""
    line, ended, rest = path.read_bytes().partition(b"\n")
    signature, signed, parts = rest.partition(b"\n")
    if not ended or not signed:
        return None
    if signature.startswith(b"sha256:") and signature[7:] != sha256(line).encode():
        raise Failure(f"{path} is damaged")
    header = json.loads(line)
    if header["format"] != 1 or header.get("requires"):
        raise Failure(f"{path} is unsupported: format {header['format']}, requires {header.get('requires')}")
    if any(header.get(name, value) != value for name, value in expected.items()):
        raise Failure(f"{path} belongs somewhere else")
    return header, sha256(line), parts


def state(lines, at):
    """The line that is true at a sequence, or None (§4)."""
    kept = {}
    for line in sorted(line for line in lines if line.order[0] <= at < line.until):
        if line.partition is None or line.sole:
            kept.clear()
        kept.pop(None if line.put else line.partition, None)
        kept.update({line.partition: line} if line.put else {})
    return max(kept.values(), default=None)


def live(lines, at):
    """The records that are there at a sequence, in order: key and line."""
    return ((key, line.text) for key in sorted(lines) if (line := state(lines[key], at)))


class Source:
    """What the commits of a source say together."""

    def __init__(self, folder, name, key):
        self.folder, self.name, self.key, self.identities = folder, f"source/{name}", key, {}
        self.pieces, self.objects, self.points, self.domains = [], {}, {}, {}
        self.layout, self.broken, self.based = {"sequence": 0}, None, {"data": 0, "meta": 0}
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name) or not (folder / self.name).is_dir():
            raise Failure(f"there is no source {name}")
        header = (envelope(folder / "repo.json") or [{}])[0]
        self.encrypted, self.place = "root" in header, {"repository": header.get("id"), "source": name}
        try:
            self.read_timeline()
        except (Failure, OSError, KeyError, TypeError, ValueError) as error:
            self.broken = Failure(f"the timeline breaks off: {error}")

    def read_timeline(self):
        """Reads the commits in order (§6). What was said by those that were removed is said by a layout (§8)."""
        stated = sorted((self.folder / "roles").glob("[0-9]" * 20), reverse=True)
        stated = next((one[0] for one in map(envelope, stated) if one), {}).get("revoked", [])  # (§12)
        head, revoked = None, {w["writer"]: w["last"].get(self.place["source"], {}).get("sequence", 0) for w in stated}
        for path in sorted((self.folder / self.name / "commit").glob("[0-9]" * 20)):
            header, digest, parts = envelope(path, sequence=int(path.name), **self.place) or [None] * 3
            surplus = len(parts) - sum(part[1] for part in header["parts"]) if header else -1
            if surplus < 0 or header["sequence"] > revoked.get(header.get("writer"), ALWAYS):
                continue
            parent, sequence = header["parent"], header["sequence"]
            if parent and parent["sequence"] > (head["sequence"] if head else 0):
                self.layout = self.layout if self.layout["sequence"] else self.read_layout(parent["sequence"])
                head = parent if parent["sequence"] < self.layout["sequence"] else self.layout
            if parent != head or surplus:
                raise Failure(f"{path} was changed, or does not follow the commit before it")
            head = {"sequence": sequence, "sha256": digest}
            if sequence == self.layout["sequence"] and head != self.layout:
                raise Failure(f"{path} is not the commit that the layout names")
            if "maintenance" in header and not self.maintains(header):
                raise Failure(f"{path}: its writer may not maintain")
            if sequence > self.layout["sequence"]:
                self.apply(header, f"{self.name}/commit/{path.name}", path.stat().st_size - len(parts), len(parts))

    def maintains(self, header):
        path = self.folder / "writer" / f"{header.get('writer')}.json"
        return not self.encrypted or (envelope(path, writer=header["writer"]) or [{}])[0].get("maintains") is True

    def read_layout(self, least):
        """Takes what the newest layout of a maintainer says; gives the commit that it reaches to (§8)."""
        for path in sorted((self.folder / self.name / "layout").glob("[0-9]" * 20), reverse=True):
            try:
                header, _, part = envelope(path, sequence=int(path.name), **self.place) or [{}, None, b""]
                if int(path.name) < least or header["sha256"] != sha256(part) or not self.maintains(header):
                    continue
            except (Failure, ValueError, KeyError):  # passed over
                continue
            lines, self.pieces = [*map(json.loads, run(UNPACK, part, path).splitlines())], []
            self.points = {line["sequence"]: line["point"] for line in lines if line["type"] == "point"}
            self.objects = {line["object"]["name"]: line["object"] for line in lines if line["type"] == "object"}
            self.domains = {line["kind"]: line["id"] for line in lines if line["type"] == "domain"}
            for line in lines:
                if line["type"] == "segment":
                    self.add(line["object"], line["sequence"], line["ordinal"], line)
                elif line["type"] == "part":
                    self.add({**line, **line["place"], "name": line["place"]["object"]}, line["sequence"], ALWAYS, {})
            return {"sequence": header["head"]["sequence"], "sha256": header["head"]["sha256"]}
        raise Failure("commits are missing, and no layout of a maintainer says what they said")

    def apply(self, header, name, at, stored):
        """What a commit adds (§6), after what it changes of those before it (§10)."""
        sequence, upkeep = header["sequence"], header.get("maintenance", {})
        for merge in upkeep.get("merges", []):
            family, after, through = merge["family"], merge["after"], merge["through"]
            self.pieces = [one for one in self.pieces if one.kind != family or not after < one.sequence <= through]
            self.based[family] = through if after == 0 else self.based[family]
        self.pieces = [one for one in self.pieces if one.kind != "erased" or one.sequence > min(self.based.values())]
        for known, member in ((self.points, "forgets"), (self.objects, "drops")):
            for gone in upkeep.get(member, []):
                known.pop(gone, None)
        point = {"finished": header["at"], "status": "complete", "bytes_added": stored, **header.get("point", {})}
        self.points.update({sequence: {"started": point["finished"], **point}} if "point" in header else {})
        self.domains.update((domain["kind"], domain["id"]) for domain in header.get("domains", []))
        for ordinal, thing in enumerate(header.get("objects", [])):
            if thing["kind"] in FAMILIES:
                self.add(thing, sequence, ordinal, thing.get("covers", {}))
            elif thing["kind"] in ("blob", "pack"):
                self.objects[thing["name"]] = thing
        for kind, size, digest, *domain in header["parts"]:  # newer than all objects of the commit (§4)
            part = {"kind": kind, "sha256": digest, "domain": (domain or [self.domains.get(FAMILIES.get(kind))])[0]}
            if "maintenance" in header or kind not in ("digests", "erased"):
                self.add({**part, "name": name, "at": at, "size": size}, sequence, ALWAYS, {})
            at += size

    def add(self, stated, sequence, ordinal, covers):
        newest, until = covers.get("newest", sequence), covers.get("until", ALWAYS)
        kind, oldest = FAMILIES.get(stated["kind"], stated["kind"]), covers.get("oldest", newest)
        self.pieces.append(Piece(kind, newest, ordinal, oldest, until, stated))

    def point(self, wanted):
        """The sequence of a point. Those before a break of the chain can be believed (§6)."""
        if wanted not in self.points and (self.broken or wanted is not None or not self.points):
            raise self.broken or Failure("there is no such point in time")
        return max(self.points) if wanted is None else wanted

    def stored(self, stated):
        """An object, or from `at` on a part of one, as it is stored, compared with what is stated of it."""
        if not stated["name"].startswith(f"{self.name}/") or ".." in stated["name"].split("/"):
            raise Failure(f"{stated['name']} is no object of {self.name}")
        data = (self.folder / stated["name"]).read_bytes()
        data = data[stated["at"] : stated["at"] + stated["size"]] if "at" in stated else data
        if len(data) != stated["size"] or stated.get("sha256") not in (None, sha256(data)):
            raise Failure(f"{stated['name']} is damaged")
        return data

    def opened(self, stated):
        """The same, opened with the key of its domain, which the owner's key opens (§3)."""
        data, domain = self.stored(stated), stated.get("domain")
        if domain and domain not in self.identities:
            if self.key is None:
                raise Failure("the repository is encrypted: --key FILE is needed")
            path = self.folder / self.name / "keys" / f"{domain}.age"
            self.identities[domain] = run(["age", "-d", "-i", self.key], path.read_bytes(), path)
        return run(["age", "-d"], data, stated["name"], self.identities[domain]) if domain else data

    def plain(self, piece):
        return run(UNPACK, self.opened(piece.stated), piece.stated["name"])

    def erased(self):
        """Up to which commit lines do not count, by collection and id (§10)."""
        lists = [(piece.sequence, self.plain(piece).splitlines()) for piece in self.pieces if piece.kind == "erased"]
        return {(key["collection"], key["id"]): at for at, lines in lists for key in map(json.loads, lines)}

    def lines(self, family, at, collection=None, erased=None):
        """The lines of a family that matter at a sequence or before it, by collection and id."""
        found, erased = {}, self.erased() if erased is None else erased
        for piece in (piece for piece in self.pieces if piece.kind == family and piece.oldest <= at):
            for index, text in enumerate(self.plain(piece).decode().split("\n")):
                match = LINE.match(text)
                if match is None:
                    if text and json.loads(text)["type"] in ("put", "del"):
                        raise Failure(f"{piece.stated['name']}: the members of a line are in another order")
                    continue
                texts = [json.loads(f'"{one}"') if one and "\\" in one else one for one in match.group(2, 3, 4)]
                order = (int(match[6] or piece.sequence), piece.ordinal, -index)
                if collection in (None, texts[0]) and order[0] > erased.get((texts[0], texts[1]), 0):
                    text = text[: match.start(5)] + text[match.end(5) :] if match[5] else text
                    line = Line(order, piece.until, match[1] == "put", texts[2], match[7] is not None, text)
                    found.setdefault((texts[0], texts[1]), []).append(line)
        return found

    def write_blob(self, blob, at, out):
        """Writes the bytes of an attachment (§7)."""
        rows = dict(live(self.lines("meta", at, "_blobs"), at))
        if ("_blobs", blob) not in rows:
            raise Failure(f"there is no attachment {blob} at this point")
        row, digest = json.loads(rows["_blobs", blob])["data"], hashlib.sha256()
        for part in row["parts"]:
            whole = {"name": part["object"], "size": part["stored"], "sha256": part.get("sha256")}
            data = self.opened({**whole, "domain": part.get("domain")})[part["at"] : part["at"] + part["size"]]
            data = run(UNPACK, data, part["object"]) if part.get("zstd") else data
            digest.update(data)
            out.write(data)
        if out.tell() != row["size"] or digest.hexdigest() != row["sha256"]:
            raise Failure(f"the attachment {blob} is damaged")

    def check(self, wanted):
        """Compares digests, and adds up the live records as the newest part `digests` does (§10)."""
        points = sorted(self.points) if self.point(wanted) and wanted is None else [wanted]
        for stated in (*self.objects.values(), *(piece.stated for piece in self.pieces)):
            self.stored(stated)
        rows = self.lines("meta", ALWAYS, "_blobs")
        for (_, blob), text in (row for at in points for row in live(rows, at)):
            for part in json.loads(text)["data"]["parts"]:
                if self.objects.get(part["object"], {}).get("size") != part["stored"]:
                    raise Failure(f"the attachment {blob} lies in {part['object']}, which no commit names so")
        parts = sorted((one for one in self.pieces if one.kind == "digests"), key=lambda one: one.sequence)
        stated = json.loads(self.plain(parts[-1])) if parts else {"key": "", "points": {}}
        key, stated, lines = base64.b64decode(stated["key"]), stated["points"], self.lines("data", ALWAYS, None, {})
        compared = [at for at in points if str(at) in stated]
        for at in compared:
            sums = {}
            for (collection, record), text in live(lines, at):
                digest = hmac.digest(key, f"{collection}\0{record}\0{text}".encode(), "sha256")
                count, total = sums.get(collection, (0, 0))
                sums[collection] = count + 1, (total + int.from_bytes(digest, "big")) % 2**256
            if sums != {name: (one["records"], int(one["sum"], 16)) for name, one in stated[str(at)].items()}:
                raise Failure(f"at the point {at} the live records have other sums than stated")
        print(f"whole; {len(compared)} of {len(points)} points have sums stated, and the live records add up to them")


def main():
    usage = "read_repository.py REPOSITORY sources | REPOSITORY SOURCE points|records|blob|check [ID] [OPTION…]"
    parser = argparse.ArgumentParser(usage=usage, description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("words", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--at", type=int, metavar="SEQUENCE", help="a point; without it the latest (`check`: all)")
    parser.add_argument("--collection", metavar="NAME", help="only the records of this collection")
    parser.add_argument("--key", metavar="FILE", help="an owner's age identity, for an encrypted repository")
    given, out = parser.parse_args(), sys.stdout.buffer
    if len(given.words) == 2 and given.words[1] == "sources":
        return print(*sorted(path.name for path in Path(given.words[0], "source").iterdir()), sep="\n")
    folder, name, command, *blob = [*given.words, "", ""][: max(len(given.words), 3)]
    known = command in ("points", "records", "blob", "check") and len(blob) == (command == "blob")
    source = Source(Path(folder), name, given.key) if known else parser.error("no such command")
    if command == "points":
        for sequence, point in sorted(source.points.items()):
            print(json.dumps({"sequence": sequence, **point}))
        if source.broken:
            raise source.broken
    elif command == "records":
        at = source.point(given.at)
        out.writelines(text.encode() + b"\n" for _, text in live(source.lines("data", at, given.collection), at))
    elif command == "blob":
        with tempfile.TemporaryFile() as whole:
            source.write_blob(*blob, source.point(given.at), whole)
            whole.seek(0)
            shutil.copyfileobj(whole, out)
    else:
        source.check(given.at)


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, KeyError, TypeError, ValueError) as error:
        sys.exit(f"read_repository.py: {error if isinstance(error, (Failure, OSError)) else repr(error)}")
