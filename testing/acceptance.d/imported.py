#!/usr/bin/env python3
"""imported.py ORIGINAL COPY: says whether a site into which another one's WXR was imported holds what the other one holds.

Both are dumps of site.py: what the sites say themselves. What WXR does not carry, or what no importer takes from it, is not
compared: times of change, menus, widgets, settings and earlier versions. Prints the differences and a summary as JSON.
"""
import hashlib
import json
import sys
import urllib.parse
import urllib.request

POST = ["title.raw", "content.raw", "excerpt.raw", "slug", "status", "date", "date_gmt", "password", "comment_status",
        "ping_status", "menu_order", "sticky", "parent", "featured_media", "categories", "tags", "author"]
MEMBERS = {
    "posts": POST,
    "pages": POST,
    "blocks": POST,
    "navigation": POST,
    # What the theme itself has is there without an import.
    "templates": ["title.raw", "content.raw", "status", "source", "theme"],
    "template-parts": ["title.raw", "content.raw", "status", "source", "theme", "area"],
    "media": ["title.raw", "caption.raw", "description.raw", "alt_text", "mime_type", "date", "date_gmt", "slug", "post",
              "author", "bytes"],
    "comments": ["content.raw", "author_name", "author_email", "author_url", "date", "date_gmt", "status", "type", "post",
                 "parent", "author"],
    "categories": ["name", "description", "parent", "count"],
    "tags": ["name", "description", "count"],
    "users": ["name", "email", "first_name", "last_name"],
}


def member(record, path):
    for name in path.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    return record


class Site:
    """A dump whose records are known by what both sites have: posts keep their numbers, the rest does not."""

    def __init__(self, file):
        with open(file, encoding="utf-8") as dump:
            self.records = json.load(dump)

    def key(self, collection, id):
        record = self.records[collection].get(str(id))
        if record is None:
            return None
        if collection == "comments":
            return (record["post"], record["date_gmt"], record["author_name"], record["content"]["raw"])
        return record.get({"categories": "slug", "tags": "slug", "users": "username"}.get(collection, "id"))

    def value(self, collection, record, path):
        if path == "bytes":
            with urllib.request.urlopen(urllib.parse.quote(record["source_url"], safe="/:%"), timeout=60) as response:
                return hashlib.sha256(response.read()).hexdigest()
        value = member(record, path)
        if path in ("categories", "tags"):
            return sorted(self.key(path, id) for id in value or [])
        if path == "author":
            return self.key("users", value)
        if path == "parent" and collection in ("categories", "comments"):
            return self.key(collection, value)
        # XML has one kind of line end.
        return value.replace("\r\n", "\n") if value and path.endswith(".raw") else value


def main():
    original, copy = map(Site, sys.argv[1:])
    differences, compared = [], {}
    for collection, members in MEMBERS.items():
        there = {copy.key(collection, id): record for id, record in copy.records[collection].items()}
        for id, record in original.records[collection].items():
            key = original.key(collection, id)
            if key not in there:
                differences.append([collection, key, "not there"])
                continue
            compared[collection] = compared.get(collection, 0) + 1
            found = there.pop(key)
            for path in members:
                expected = original.value(collection, record, path)
                value = copy.value(collection, found, path)
                if expected != value:
                    differences.append([collection, key, path, expected, value])
        differences += [[collection, key, "nobody exported it"] for key in there]
    for difference in differences[:40]:
        print(json.dumps(difference, ensure_ascii=False)[:400], file=sys.stderr)
    json.dump({"compared": compared, "differences": len(differences)}, sys.stdout)
    print()


main()
