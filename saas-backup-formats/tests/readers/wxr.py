"""Reads a file of WordPress eXtended RSS with two parsers that nobody here wrote, and tells what they see as JSON."""

import json
import sys

import feedparser
from lxml import etree

WP = "{http://wordpress.org/export/1.2/}"
file = sys.argv[1]
feed = feedparser.parse(file)
channel = etree.parse(file).getroot().find("channel")


def item(element):
    terms = [[one.get("domain"), one.get("nicename"), one.text] for one in element.findall("category")]
    comments = element.findall(WP + "comment")
    return {
        "title": element.findtext("title"),
        "content": element.findtext("{http://purl.org/rss/1.0/modules/content/}encoded"),
        "creator": element.findtext("{http://purl.org/dc/elements/1.1/}creator"),
        "attachment": element.findtext(WP + "attachment_url"),
        "parent": element.findtext(WP + "post_parent"),
        "terms": terms,
        "comments": [[one.findtext(WP + "comment_author"), one.findtext(WP + "comment_content")] for one in comments],
    }


authors = channel.findall(WP + "author")
fields = ("author_login", "author_email", "author_display_name")
print(json.dumps({
    "bozo": bool(feed.bozo),
    "entries": [entry.title for entry in feed.entries],
    "items": {one.findtext(WP + "post_id"): item(one) for one in channel.findall("item")},
    "authors": [[author.findtext(WP + field) for field in fields] for author in authors],
}))
