"""Reads address books with vobject, and imports them into radicale."""

import os
import sys

import vobject

from dav import Server

server, number = Server(), 0
root = sys.argv[1]
for above, _, here in sorted(os.walk(root)):
    if os.path.relpath(above, root).startswith("_"):
        continue
    for name in sorted(here):
        if not name.endswith(".vcf"):
            continue
        with open(os.path.join(above, name), "rb") as file:
            content = file.read()
        cards = list(vobject.readComponents(content.decode("utf-8")))
        for card in cards:
            card.validate(raiseException=True)
            assert card.version.value == ("3.0" if name.endswith(" - vCard 3.vcf") else "4.0")
            emails = [email.value for email in card.contents.get("email", [])]
            parts = card.n.value if hasattr(card, "n") else None
            print(name, card.fn.value, parts and (parts.family, parts.given), emails, sep=" | ")
        number += 1
        if cards:
            items = server.count(f"/user/{number}.vcf/", content, "text/vcard")
            assert items == len(cards), (name, items, len(cards))
            print(name, f"{items} in radicale", sep=" | ")
