#!/usr/bin/env python3
"""What a WordPress site holds by its own word, read through its REST API with the standard library alone.

site.py dump URL USER        every record as JSON: {collection: {id: record}}; the password is in SITE_PASSWORD
site.py changes BEFORE AFTER the keys that were created, changed and deleted between two dumps
"""
import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

STATES = "publish,future,draft,pending,private,trash"
COLLECTIONS = {
    "posts": {"status": STATES},
    "pages": {"status": STATES},
    "media": {"status": "inherit,private,trash"},
    "blocks": {"status": STATES},
    "navigation": {"status": STATES},
    "menu-items": {"status": STATES},
    "comments": {"status": "any"},
    "categories": {},
    "tags": {},
    "menus": {},
    "users": {},
}


class Site:
    def __init__(self, url, user, password):
        self.url = url
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {token}"}

    def get(self, path, **parameters):
        address = f"{self.url}/wp-json/wp/v2/{path}?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(address, headers=self.headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response), response.headers

    def list(self, path, **parameters):
        items, page, pages = [], 1, 1
        while page <= pages:
            found, headers = self.get(path, context="edit", per_page=100, page=page, orderby="id", **parameters)
            pages = int(headers["X-WP-TotalPages"])
            items += found
            page += 1
        return items

    def dump(self):
        everything = {}
        for name, parameters in COLLECTIONS.items():
            everything[name] = {str(record["id"]): record for record in self.list(name, **parameters)}
        everything["revisions"] = {}
        for parents in ("posts", "pages", "blocks", "navigation"):
            for parent in everything[parents]:
                for revision in self.list(f"{parents}/{parent}/revisions"):
                    everything["revisions"][f"{parents}/{parent}/{revision['id']}"] = revision
        for name in ("templates", "template-parts"):
            everything[name] = {record["id"]: record for record in self.get(name, context="edit")[0]}
        everything["settings"] = {"settings": self.get("settings")[0]}
        return everything


def changes(before, after):
    """Keys, as collection/id."""
    found = {"created": [], "changed": [], "deleted": []}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, {}), after.get(name, {})
        found["created"] += [f"{name}/{id}" for id in sorted(new.keys() - old.keys())]
        found["deleted"] += [f"{name}/{id}" for id in sorted(old.keys() - new.keys())]
        found["changed"] += [f"{name}/{id}" for id in sorted(old.keys() & new.keys()) if old[id] != new[id]]
    return found


def main():
    command, first, second = sys.argv[1:]
    if command == "dump":
        result = Site(first, second, os.environ["SITE_PASSWORD"]).dump()
    else:
        with open(first, encoding="utf-8") as before, open(second, encoding="utf-8") as after:
            result = changes(json.load(before), json.load(after))
    json.dump(result, sys.stdout, ensure_ascii=False, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
