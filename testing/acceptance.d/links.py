#!/usr/bin/env python3
"""links.py FOLDER: checks a folder of Markdown files as a reader would: every relative link leads to a file in it.

Prints {"files", "links", "images"} as JSON; ends with 1 and names the links that lead nowhere.
"""
import html
import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote

# [text](target "title"), ![alt](<target with spaces>), and what stays HTML.
INLINE = re.compile(r"(!?)\[(?:\\.|[^\]\\])*\]\(\s*(?:<([^>\n]*)>|([^\s()]*(?:\([^\s()]*\)[^\s()]*)*))")
ATTRIBUTE = re.compile(r"<(\w+)[^>]*?\s(?:src|href)=\"([^\"]*)\"")
FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1", re.M | re.S)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.S)


def body(text):
    """Without front matter and code."""
    if text.startswith("---\n"):
        text = text.split("\n---\n", 1)[-1]
    return CODE.sub("", FENCE.sub("", text))


def targets(text):
    for match in INLINE.finditer(text):
        yield match[1] == "!", match[2] if match[2] is not None else match[3]
    for match in ATTRIBUTE.finditer(text):
        yield match[1] == "img", html.unescape(match[2])


def main():
    root = Path(sys.argv[1]).resolve()
    files = sorted(root.rglob("*.md"))
    links = images = 0
    dead = []
    for file in files:
        for is_image, target in targets(body(file.read_text(encoding="utf-8"))):
            target = target.split("#")[0]
            if not target or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|/", target):
                continue
            place = (file.parent / unquote(target)).resolve()
            if place.is_file() and place.is_relative_to(root):
                links += 1
                images += is_image
            else:
                dead.append(f"{file.relative_to(root)}: {target}")
    for line in dead[:20]:
        print(line, file=sys.stderr)
    print(json.dumps({"files": len(files), "links": links, "images": images, "dead": len(dead)}))
    sys.exit(1 if dead else 0)


main()
