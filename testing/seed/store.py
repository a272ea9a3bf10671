#!/usr/bin/env python3
"""store.py s3|s3-locked|s3-default|s3-denied|gcs|azure URL NAME [ACCOUNT KEY]: creates one empty bucket or container, with the
standard library alone; `s3-locked` with object lock and so with versions, `s3-default` with a lock of one day on whatever comes,
too, `s3-denied` with versions and a policy against deletion."""
import base64
import email.utils
import hashlib
import hmac
import json
import sys
import urllib.parse
import urllib.request


def send(method, url, headers=None, body=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status


def azure(url, name, account, key):
    """Signs with the shared key, as the service demands."""
    path = urllib.parse.urlsplit(url).path
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "PUT" + "\n" * 12
    signed += "".join(f"{key}:{value}\n" for key, value in sorted(headers.items()))
    signed += f"/{account}{path}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
    return send("PUT", f"{url}/{name}?restype=container", headers)


def main():
    kind, url, name, *rest = sys.argv[1:]
    if kind == "s3":
        status = send("PUT", f"{url}/{name}")
    elif kind == "s3-locked":
        status = send("PUT", f"{url}/{name}", {"x-amz-bucket-object-lock-enabled": "true"})
    elif kind == "s3-default":
        rule = "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>"
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        lock = f'<ObjectLockConfiguration xmlns="{space}"><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>'
        status = [
            send("PUT", f"{url}/{name}", {"x-amz-bucket-object-lock-enabled": "true"}),
            send("PUT", f"{url}/{name}?object-lock", {"Content-Type": "application/xml"}, lock.encode()),
        ]
    elif kind == "s3-denied":
        versions = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{name}/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [denial]}).encode()
        status = [
            send("PUT", f"{url}/{name}{question}", {"Content-Type": "application/xml"}, body)
            for question, body in (("", None), ("?versioning", versions), ("?policy", policy))
        ]
    elif kind == "gcs":
        body = json.dumps({"name": name}).encode()
        status = send("POST", f"{url}/storage/v1/b?project=test", {"Content-Type": "application/json"}, body)
    else:
        status = azure(url, name, *rest)
    print(f"{kind}: {name} created ({status})")


main()
