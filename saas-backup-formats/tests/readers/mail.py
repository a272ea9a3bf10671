"""Reads mail with Python's own library: no defect, no message more or less, and every byte of an original."""

import email
import email.policy
import hashlib
import json
import mailbox
import os
import sys

root = sys.argv[1]
with open(os.path.join(root, "labels.json"), encoding="utf-8") as file:
    labels = json.load(file)
with open(os.path.join(root, "names.json"), encoding="utf-8") as file:
    digests = {(entry["collection"], entry.get("id")): entry.get("sha256") for entry in json.load(file)
               if entry.get("role") == "message"}


def defects(message):
    found = [str(defect) for part in message.walk() for defect in part.defects]
    for name in ("From", "To", "Cc", "Subject", "Date", "Message-ID"):
        found += [str(defect) for header in message.get_all(name, []) for defect in getattr(header, "defects", [])]
    return found


def show(content, entry):
    message = email.message_from_bytes(content, policy=email.policy.default)
    # Originals are as they are.
    assert entry["original"] or not defects(message), (entry["file"], defects(message))
    parts = [(part.get_content_type(), part.get_filename()) for part in message.walk() if not part.is_multipart()]
    print(entry["mailbox"], entry["id"], message["From"], message["Subject"], message["Date"], parts, sep=" | ")
    if not entry["original"]:
        for part in message.walk():
            if not part.is_multipart() and part.get_content_type().startswith("text/") and part.get_filename() is None:
                print("    " + repr(part.get_content()))


boxes = {}
for entry in labels:
    boxes.setdefault(entry["file"], []).append(entry)
for path, entries in sorted(boxes.items()):
    path = os.path.join(root, path)
    if not path.endswith(".mbox"):
        (entry,) = entries
        with open(path, "rb") as file:
            content = file.read()
        digest = digests[entry["collection"], entry["id"]]
        assert digest in (None, hashlib.sha256(content).hexdigest())
        show(content, entry)
        continue
    box = mailbox.mbox(path, create=False)
    assert len(box) == len(entries), (path, len(box), len(entries))
    for number, entry in enumerate(entries):
        show(box.get_bytes(number), entry)
for above, below, _ in os.walk(root):
    if {"cur", "new", "tmp"} <= set(below):
        box = mailbox.Maildir(above, create=False)
        box.colon = ";"
        entries = [entry for entry in labels if os.path.dirname(entry["file"]) == os.path.relpath(above, root) + "/cur"]
        flags = sorted("".join(message.get_flags()) for message in box)
        names = {"draft": "D", "flagged": "F", "forwarded": "P", "answered": "R", "seen": "S"}
        assert flags == sorted("".join(sorted(names[flag] for flag in entry.get("flags", []))) for entry in entries)
        assert len(box) == len(entries)
