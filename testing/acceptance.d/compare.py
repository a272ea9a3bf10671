#!/usr/bin/env python3
"""compare.py ORIGINAL COPY RESTORED: says whether a restored site is the original, ids and addresses aside.

ORIGINAL and COPY are jsonl exports of the backups of both sites, RESTORED is what the restore printed, with its id
map. What should stand in the copy is worked out here, from the original and the id map, with other code than the
restore's own. A difference that the restore told of (a loss, or a record that was there already) counts apart: WordPress
itself changes some values. Prints the differences and a summary as JSON.
"""
import json
import re
import sys
from pathlib import Path

# What a restore has to bring back. Times of change, rendered texts, counters and links follow from it.
TEXT = ["slug", "status", "date_gmt", "password", "template", "format", "sticky", "menu_order", "comment_status", "ping_status", "meta"]
MEMBERS = {
    "posts": ["title.raw", "content.raw", "excerpt.raw", *TEXT],
    "pages": ["title.raw", "content.raw", "excerpt.raw", *TEXT],
    "blocks": ["title.raw", "content.raw", "slug", "status", "date_gmt"],
    "navigation": ["title.raw", "content.raw", "slug", "status", "date_gmt"],
    "media": ["title.raw", "caption.raw", "description.raw", "alt_text", "mime_type"],
    "comments": ["content.raw", "author_name", "author_email", "author_url", "date_gmt", "status", "type"],
    "categories": ["name", "slug", "description", "taxonomy"],
    "tags": ["name", "slug", "description", "taxonomy"],
    "menus": ["name", "slug", "description"],
    "menu-items": ["title.raw", "type", "type_label", "object", "menu_order", "target", "status"],
    "users": ["username", "name", "email", "description", "roles"],
}
# Members that hold ids, and the collection that they point to; `*` is the collection itself.
POINTERS = {
    "author": "users",
    "parent": "*",
    "featured_media": "media",
    "categories": "categories",
    "tags": "tags",
    "menus": "menus",
}


class Archive:
    def __init__(self, folder):
        self.records = {}
        for file in sorted(Path(folder, "records").glob("*.jsonl")):
            with file.open(encoding="utf-8") as lines:
                for line in map(json.loads, lines):
                    self.records[(line["collection"], line["id"])] = line

    def of(self, collection):
        return {key: line for key, line in self.records.items() if key[0] == collection}

    def home(self):
        """The site's address, as its media know it."""
        return next(iter(self.of("media").values()))["data"]["source_url"].split("/wp-content/")[0]

    def files(self, key):
        """The addresses of a media record's files, by what each is."""
        data = self.records[key]["data"]
        sizes = data.get("media_details", {}).get("sizes") or {}
        return {"file": data["source_url"], **{name: size["source_url"] for name, size in sizes.items()}}


def member(data, path):
    for name in path.split("."):
        data = data.get(name) if isinstance(data, dict) else None
    return data


class Comparison:
    def __init__(self, original, copy, restored):
        self.original, self.copy = original, copy
        key = lambda one: (one["collection"], one["id"])
        self.ids = ids = {key(pair["from"]): key(pair["to"]) for pair in restored["ids"]}
        self.left_alone = {key(one["key"]) for one in restored["report"]["refused"] if not one["rejected"]}
        # How many differences of a member the restore told of, by collection and member.
        self.told_of = {}
        for collection, reasons in restored["report"]["losses"].items():
            for reason, count in reasons.items():
                place = (collection, reason.split(":")[0].split("/")[2])
                self.told_of[place] = self.told_of.get(place, 0) + count
        self.differences = []
        self.told = []
        self.compared = 0
        self.homes = (original.home(), copy.home())
        # The longest first: the address of a file begins like that of its smaller copies.
        addresses = {}
        for key in original.of("media"):
            if key in ids and ids[key] in copy.records:
                there = copy.files(ids[key])
                addresses |= {url: there[name] for name, url in original.files(key).items() if name in there}
        self.addresses = sorted(addresses.items(), key=lambda pair: -len(pair[0]))

    def differ(self, key, what, expected, found):
        difference = {"key": "/".join(key), "what": what, "expected": expected, "found": found}
        place = (key[0], what.split(".")[0])
        if what == "record" and key in self.left_alone:
            self.told.append(difference)
        elif self.told_of.get(place, 0) > 0:
            self.told_of[place] -= 1
            self.told.append(difference)
        else:
            self.differences.append(difference)

    def id(self, collection, old):
        """The new id of a record, as a number; 0 stays 0."""
        new = self.ids.get((collection, str(old)))
        return int(new[1]) if new else old

    def text(self, text):
        """The text as it should stand in the copy."""
        for old, new in self.addresses:
            text = text.replace(old, new)
        text = text.replace(*self.homes)
        swap = lambda collection: lambda match: match[1] + str(self.id(collection, match[2]))
        text = re.sub(r"(wp-image-)(\d+)", swap("media"), text)
        text = re.sub(r'(<!-- wp:(?:image|file|video|audio|cover) \{"id":)(\d+)', swap("media"), text)
        text = re.sub(r'(<!-- wp:block \{"ref":)(\d+)', swap("blocks"), text)
        text = re.sub(r'(<!-- wp:navigation-link \{[^}]*"id":)(\d+)', swap("pages"), text)
        text = re.sub(r"([?]p=)(\d+)", swap("posts"), text)
        each = lambda match: match[1] + ",".join(str(self.id("media", old)) for old in match[2].split(",")) + '"'
        return re.sub(r'(\[gallery ids=")([\d,]+)"', each, text)

    def value(self, path, value):
        """A commenter's own site is nobody's text."""
        return self.text(value) if isinstance(value, str) and path != "author_url" else value

    def record(self, key, line):
        new_key = self.ids.get(key)
        there = self.copy.records.get(new_key) if new_key else None
        if there is None:
            self.differ(key, "record", "there", "missing")
            return
        self.compared += 1
        old, new = line["data"], there["data"]
        for path in MEMBERS[key[0]]:
            expected, found = self.value(path, member(old, path)), member(new, path)
            if expected != found:
                self.differ(key, path, expected, found)
        for name, target in POINTERS.items():
            if name not in old or (key[0] == "comments" and name == "parent" and old[name] == 0):
                continue
            collection = key[0] if target == "*" else target
            if key[0] == "media" and name == "parent":
                continue
            many = old[name] if isinstance(old[name], list) else [old[name]]
            expected = [self.id(collection, one) if one else one for one in many]
            found = new[name] if isinstance(new[name], list) else [new[name]]
            if sorted(expected) != sorted(found):
                self.differ(key, name, expected, found)
        if key[0] == "comments":
            expected = self.id("posts", old["post"])
            if expected != new["post"]:
                self.differ(key, "post", expected, new["post"])
        self.blobs(key, line, there)

    def blobs(self, key, line, there):
        digests = lambda record: sorted(
            (blob.get("digest") or {}).get("sha-256", "missing")
            for blob in record.get("blobs", [])
            if blob["role"] in ("attachment", "original")
        )
        if digests(line) != digests(there):
            self.differ(key, "media bytes", digests(line), digests(there))

    def run(self, collections):
        for collection in collections:
            for key, line in sorted(self.original.of(collection).items()):
                self.record(key, line)


def main():
    original, copy, restored = sys.argv[1:]
    with open(restored, encoding="utf-8") as file:
        comparison = Comparison(Archive(original), Archive(copy), json.load(file))
    comparison.run(MEMBERS)
    for what, differences in (("told", comparison.told), ("NOT TOLD", comparison.differences)):
        for difference in differences[:20]:
            print(f"{what}: {json.dumps(difference, ensure_ascii=False)[:600]}", file=sys.stderr)
    summary = {"compared": comparison.compared, "differences": len(comparison.differences), "told": len(comparison.told)}
    print(json.dumps(summary))


main()
